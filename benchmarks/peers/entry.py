"""Who takes part, in words from which any process can load it: the race itself, and the fresh ones beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from coke_edge.benchmarks.peers.peer import Contestant


@dataclasses.dataclass(frozen=True)
class Entry:
    """A network's file and how it is run."""

    family: str  # a key of FAMILIES
    path: str  # of its file; "demo" is the bundle in the package
    variant: str  # of a peer that has several; the precision of ours
    threads: int

    def load(self) -> Contestant:
        """Ready to run. Raises CokeError if it cannot be."""
        return FAMILIES[self.family](self)

    def words(self) -> str:
        """For progress and sentences."""
        return f"{Path(self.path).name}{' ' if self.variant else ''}{self.variant}, {self.threads} thread(s)"


# Each imports its own family alone, as a program that runs nothing else would.
def ours(entry: Entry) -> Contestant:
    """A bundle of ours."""
    from coke_edge.benchmarks.peers.ours import Ours
    from coke_edge.bundle import Bundle

    return Ours(Bundle(entry.path), entry.variant, entry.threads)


def blazepose(entry: Entry) -> Contestant:
    """MediaPipe's."""
    from coke_edge.benchmarks.peers.blazepose import BlazePose

    return BlazePose(entry.variant, Path(entry.path), entry.threads)


def movenet(entry: Entry) -> Contestant:
    """Google's."""
    from coke_edge.benchmarks.peers.movenet import MoveNet

    return MoveNet(entry.variant, Path(entry.path), entry.threads)


def yolo(entry: Entry) -> Contestant:
    """An exported file."""
    from coke_edge.benchmarks.peers.yolo import Yolo

    return Yolo(Path(entry.path), entry.threads)


FAMILIES: dict[str, Callable[[Entry], Contestant]] = {
    "ours": ours,
    "blazepose": blazepose,
    "movenet": movenet,
    "yolo": yolo,
}
