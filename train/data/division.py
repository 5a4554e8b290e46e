"""Dividing images into a training and a held-out part, the same on every machine."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import TypeVar

Name = TypeVar("Name", int, str, int | str)


def ranked(images: Iterable[Name], seed: int) -> list[Name]:
    """The images ordered by a hash of seed and name, so that neither their order nor a random generator matters."""
    return sorted(images, key=lambda image: sha256(f"{seed}:{image}".encode()).digest())


def tenth(count: int) -> int:
    """How many of so many images are held out: a tenth, and at least one."""
    return max(1, round(count / 10))
