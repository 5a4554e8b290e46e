"""The joints of arms and legs as LSP and MPII name them, the person's own left and right, in their common order."""

from __future__ import annotations

LEGS = ("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle")
ARMS = ("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist")
