"""Whose joint is which: the keypoints of each network, under LSP's names where LSP labels the same joint.

LSP labels the person's own left and right, and so do all of these networks. What LSP has and they have not (neck, head
top), and what they have and LSP has not (face, hands, feet), is left out of the comparison: 12 joints are common.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coke_edge.benchmarks.peers.peer import Float
from coke_edge.errors import DataError

COMMON = (
    "right_ankle",
    "right_knee",
    "right_hip",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_wrist",
    "right_elbow",
    "right_shoulder",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
)

LIMBS = ("shoulder", "elbow", "wrist")
LEGS = ("hip", "knee", "ankle")


def both(*parts: str) -> tuple[str, ...]:
    """Each part's left and right."""
    return tuple(f"{side}_{part}" for part in parts for side in ("left", "right"))


# COCO's 17, of MoveNet and YOLO.
COCO = ("nose", *both("eye", "ear", *LIMBS, *LEGS))

# BlazePose's 33.
BLAZEPOSE = (
    "nose",
    *(f"{side}_eye{part}" for side in ("left", "right") for part in ("_inner", "", "_outer")),
    *both("ear", "mouth", *LIMBS, "pinky", "index", "thumb", *LEGS, "heel", "foot_index"),
)


def common(found: Float, joints: Sequence[str]) -> Float:
    """Of keypoints [..., K, 2] with these K names the 12 common joints [..., 12, 2], in the order of `COMMON`.

    Raises DataError if the names lack one of them.
    """
    missing = [name for name in COMMON if name not in joints]
    if missing:
        raise DataError(
            f"the race is about people: a network with the joint {missing[0]} is needed, not one that finds "
            f"{', '.join(joints[:3])}, …"
        )
    return np.asarray(found)[..., [joints.index(name) for name in COMMON], :]
