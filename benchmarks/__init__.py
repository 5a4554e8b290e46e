"""Measurements on the device and on the workstation, and what they gave."""
