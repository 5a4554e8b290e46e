"""Which keypoints change places when an image is mirrored."""

from __future__ import annotations

import re
from collections.abc import Sequence

# A side begins a word (left_eye, leftcorner, eye-left) or a hump (eyeLeft); `upright` is no side.
SIDE = re.compile(r"(?<![A-Za-z])(left|right|Left|Right|LEFT|RIGHT)|(?<=[a-z])(Left|Right)")
OTHER = {"left": "right", "Left": "Right", "LEFT": "RIGHT"}
OTHER |= {right: left for left, right in OTHER.items()}


def mirrored_name(name: str) -> str:
    """The name of the keypoint on the other side; the same name where it tells no side."""
    return SIDE.sub(lambda match: OTHER[match.group()], name)


def flip_pairs_by_name(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Index pairs of the names that differ in their side alone, in order of their first member."""
    index = {name: k for k, name in enumerate(names)}
    partners = [index.get(mirrored_name(name), k) for k, name in enumerate(names)]
    return tuple((k, partner) for k, partner in enumerate(partners) if k < partner)
