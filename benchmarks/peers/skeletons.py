"""The keypoints of each network, in the order of its output, under LSP's names where LSP labels the same joint.

LSP labels the person's own left and right, and so do all of these networks.
"""

from __future__ import annotations

ARMS = ("shoulder", "elbow", "wrist")
LEGS = ("hip", "knee", "ankle")


def both(*parts: str) -> tuple[str, ...]:
    """Each part's left and right."""
    return tuple(f"{side}_{part}" for part in parts for side in ("left", "right"))


# COCO's 17, of MoveNet and YOLO.
COCO = ("nose", *both("eye", "ear", *ARMS, *LEGS))

# BlazePose's 33.
BLAZEPOSE = (
    "nose",
    *(f"{side}_eye{part}" for side in ("left", "right") for part in ("_inner", "", "_outer")),
    *both("ear", "mouth", *ARMS, "pinky", "index", "thumb", *LEGS, "heel", "foot_index"),
)
