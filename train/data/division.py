"""Dividing images into a training and a held-out part, the same on every machine."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import sha256
from typing import TypeVar

Name = TypeVar("Name", int, str, int | str)


def ranked(images: Iterable[Name], seed: int) -> list[Name]:
    """The images ordered by a hash of seed and name, so that neither their order nor a random generator matters."""
    return sorted(images, key=lambda image: sha256(f"{seed}:{image}".encode()).digest())


def tenth(count: int) -> int:
    """How many of so many images are held out: a tenth, and at least one."""
    return max(1, round(count / 10))


def held_out(groups: Iterable[Collection[Name]], seed: int = 0) -> set[Name]:
    """The images of a training list that are for validation: the first tenth of each group, ranked.

    Of a group of two images or more it is at least one; a single image stays in training. An image that is held out
    for one group is held out for all, and as all groups are ranked alike, groups that overlap mostly hold out the same
    images. Which images a group holds out does not depend on the other groups.
    """
    held: set[Name] = set()
    for group in groups:
        order = ranked(set(group), seed)
        held.update(order[: min(tenth(len(order)), len(order) - 1)])
    return held
