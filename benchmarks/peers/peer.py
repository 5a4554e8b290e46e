"""What takes part in the race: frame and box in, keypoints in the frame out, with the time of the parts."""

from __future__ import annotations

import abc
import dataclasses
import time
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from coke_edge.geometry import Affine, box_to_crop, invert, transform

Float = NDArray[np.float64]
Image = NDArray[np.uint8]
Border = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Card:
    """What a contestant is."""

    name: str
    sha256: str  # of the file that is run
    backend: str
    precision: str
    threads: int
    size: tuple[int, int]  # height, width of the input
    margin: float  # what the box is scaled by before it is cut out
    joints: tuple[str, ...]  # K names of what it finds; those that LSP labels too have LSP's names
    notes: tuple[str, ...] = ()
    unmeasurable: str = ""  # why its accuracy cannot be measured, if it cannot

    @property
    def artefact(self) -> str:
        """Which network this is, whatever the number of threads."""
        return f"{self.name}, {self.precision}"


class Contestant(Protocol):
    """A network with all that it needs from the frame to the keypoints."""

    card: Card

    def stages(self, frame: Image, box: ArrayLike) -> tuple[Float, dict[str, float]]:
        """Keypoints [K, 2] in frame px of the object in `box` [4], and the milliseconds of warp, network and decode.

        `frame` is uint8 [H, W, 3] BGR. All that brings pixels into the form that the network takes counts to "warp",
        and all from the network's output to the keypoints to "decode".
        """
        ...


class Peer(abc.ABC):
    """A contestant with a square input that is cut out of the frame like ours, in three timed steps."""

    card: Card

    @abc.abstractmethod
    def prepare(self, frame: Image, affine: Affine) -> Any:
        """What `run` takes, for an affine [2, 3] from frame to crop."""

    @abc.abstractmethod
    def run(self, prepared: Any) -> Any:
        """The network, and nothing else."""

    @abc.abstractmethod
    def decode(self, outputs: Any) -> NDArray[Any]:
        """Keypoints [K, 2] in crop px, pixel centres at integers."""

    def stages(self, frame: Image, box: ArrayLike) -> tuple[Float, dict[str, float]]:
        """See `Contestant`."""
        start = time.perf_counter()
        height, width = self.card.size
        affine = box_to_crop(box, width, height, self.card.margin)
        prepared = self.prepare(frame, affine)
        ready = time.perf_counter()
        outputs = self.run(prepared)
        done = time.perf_counter()
        found = transform(invert(affine), self.decode(outputs))
        end = time.perf_counter()
        return found, {
            "warp": 1e3 * (ready - start),
            "network": 1e3 * (done - ready),
            "decode": 1e3 * (end - done),
        }


def warp(frame: Image, affine: Affine, side: int, border: Border = (0, 0, 0)) -> NDArray[Any]:
    """The crop uint8 [side, side, 3] BGR, bilinear, as `coke_edge.preprocess` cuts ours."""
    return cv2.warpAffine(
        frame,
        affine,
        (side, side),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=border,
    )


def warp_rgb(frame: Image, affine: Affine, side: int) -> NDArray[Any]:
    """The same in RGB, black outside the frame."""
    return cv2.cvtColor(warp(frame, affine, side), cv2.COLOR_BGR2RGB)
