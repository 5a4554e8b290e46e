"""`--split train|val|test`: the part of a data set that a command works on."""

from __future__ import annotations

import enum


class SplitName(str, enum.Enum):
    """The parts of a data set."""

    train = "train"
    val = "val"
    test = "test"
