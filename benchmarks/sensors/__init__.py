"""Clocks, temperatures, throttling, power and energy per frame of the machine that a benchmark runs on."""

from coke_edge.benchmarks.sensors.cpu import governor
from coke_edge.benchmarks.sensors.jetson import power_mode
from coke_edge.benchmarks.sensors.merging import merge
from coke_edge.benchmarks.sensors.recording import Sensors

__all__ = ["Sensors", "governor", "merge", "power_mode"]
