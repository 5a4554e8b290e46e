"""What the gate says of a graph: the measured differences from torch, the limits, and what is beyond them."""

from __future__ import annotations

import math
from typing import Any

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """What a graph may differ by; None is no limit. The defaults are for float32."""

    pixels: float | None = 0.05  # any keypoint's distance in crop pixels, ties apart
    median: float | None = None  # the same, of the middle keypoint …
    p99: float | None = None  # … and of the hundredth from the top
    hidden_median: float | None = None  # the median of those that stand where they are if hidden
    response: float | None = 1e-3  # similarity and clutter responses
    ties: float | None = 0.01  # share of peaks that changed places with an equal one
    pck_drop: float = 0.1  # points of PCK, beyond what chance explains (`Pck.chance`)
    visibility: float | None = 1e-3  # mean change of P(visible)


# Chosen on the demo model, see benchmarks/NOTES-precision.md. The noise of 8 bits moves every keypoint a little and
# flips a few between almost equally good places, which PCK judges: so there is no limit for the far tail there.
# PCK has no word on hidden places, which are not annotated as such; they are few and wide, so their middle may move
# twice as far.
LIMITS: dict[str, Limits] = {
    "fp32": Limits(),
    "fp16": Limits(
        pixels=None,
        median=0.1,
        p99=1.0,
        hidden_median=0.2,
        response=None,
        ties=None,
        pck_drop=0.2,
        visibility=0.01,
    ),
    "int8": Limits(
        pixels=None, median=1.0, hidden_median=2.0, response=None, ties=None, pck_drop=1.0, visibility=0.05
    ),
    "uint8": Limits(
        pixels=None, median=1.0, hidden_median=2.0, response=None, ties=None, pck_drop=1.0, visibility=0.05
    ),
    "fp8": Limits(
        pixels=None, median=2.0, hidden_median=4.0, response=None, ties=None, pck_drop=1.0, visibility=0.05
    ),
}
ENOUGH = 10  # hidden keypoints: fewer have no median to speak of


class Worst(msgspec.Struct, frozen=True):
    """A keypoint that moved far."""

    image: str
    keypoint: str
    pixels: float


class Pck(msgspec.Struct, frozen=True):
    """Percentages of correct keypoints, of torch and of the graph, on the same crops."""

    truth: str  # annotations, or torch where there are none
    keypoints: int  # counted
    torch: float
    graph: float
    lost: int  # keypoints that are right in torch alone …
    gained: int  # … and in the graph alone

    @property
    def drop(self) -> float:
        """Points lost."""
        return self.torch - self.graph

    @property
    def chance(self) -> float:
        """One standard deviation of `drop` in points, if each keypoint that changed did so by the toss of a coin.

        Between two equally good places, noise decides: on few images that alone moves PCK by points.
        """
        return 100 * math.sqrt(self.lost + self.gained) / self.keypoints


class Hidden(msgspec.Struct, frozen=True):
    """How far the keypoints moved that torch places where they are if hidden, crop pixels."""

    keypoints: int
    median: float


class Visibility(msgspec.Struct, frozen=True):
    """How far P(visible) moved."""

    mean: float
    max: float


class Blame(msgspec.Struct, frozen=True):
    """The layer whose own error is the largest: its output against that of float32 for the same input."""

    layer: str
    error: float  # relative to the output; infinite if it is not finite
    next_layer: str  # the runner-up …
    next_error: float  # … and its error


class Verdict(msgspec.Struct, frozen=True):
    """How a graph differs from torch; goes into the manifest."""

    images: int
    keypoints: int  # compared: the best peaks that both have, ties apart
    pixels: dict[str, float]  # distance in crop pixels: median, p99, max
    response_max: float  # largest difference of similarity, clutter and soft clutter at a common peak
    peaks: int  # all that torch has, the M of a keypoint counted singly
    ties: int  # of them, at another cell whose score in torch is within TIE
    displaced: int  # lower-ranked peaks at another cell beyond a tie
    missing: int  # found by one and not by the other, or not finite
    worst: Worst
    limits: Limits
    moved: float = 0.0  # share of the compared keypoints that lie more than a crop pixel off
    pck: Pck | None = None  # None if no keypoint counts
    hidden: Hidden | None = None  # None if no keypoint stands at a hidden place
    visibility: Visibility | None = None  # None if the model is not calibrated
    worst_images: tuple[Worst, ...] = ()  # the images whose keypoints moved farthest, the worst first
    kept: tuple[str, ...] = ()  # layers left in higher precision
    blame: Blame | None = None  # of a failing graph
    allowed: bool = False  # kept in spite of failing, because the user said so

    def failures(self) -> list[str]:
        """What is beyond the limits, in words; empty if the graph passes."""
        limit, worst = self.limits, self.worst
        where, elsewhere = f"{worst.keypoint} of {worst.image}", self.ties + self.displaced
        sentences = []
        if not self.peaks:
            sentences.append("torch finds no keypoint in these images, so nothing was compared")
        if self.missing:
            sentences.append(f"{self.missing} peaks missing or not finite, the first is {where}")
        elif exceeds(worst.pixels, limit.pixels):
            sentences.append(f"{where} lies {worst.pixels:g} px off (limit {limit.pixels:g} px)")
        for key, most in (("median", limit.median), ("p99", limit.p99)):
            if exceeds(self.pixels[key], most):
                sentences.append(f"the {key} distance is {self.pixels[key]:g} px (limit {most:g} px)")
        if (
            self.hidden
            and self.hidden.keypoints >= ENOUGH
            and exceeds(self.hidden.median, limit.hidden_median)
        ):
            sentences.append(
                f"the median distance of {self.hidden.keypoints} hidden keypoints is {self.hidden.median:g} px "
                f"(limit {limit.hidden_median:g} px)"
            )
        if exceeds(self.response_max, limit.response):
            sentences.append(f"responses differ by {self.response_max:g} (limit {limit.response:g})")
        if limit.ties is not None and elsewhere > limit.ties * self.peaks:
            sentences.append(f"{elsewhere} of {self.peaks} peaks lie in other cells (limit {limit.ties:.0%})")
        if self.pck and self.pck.drop > limit.pck_drop + self.pck.chance:
            fall = f"from {self.pck.torch:.2f} to {self.pck.graph:.2f}"
            allowed = f"limit {limit.pck_drop:g} points and {self.pck.chance:.2f} for chance"
            sentences.append(f"PCK falls {fall} ({allowed})")
        if self.visibility and exceeds(self.visibility.mean, limit.visibility):
            sentences.append(
                f"P(visible) changes by {self.visibility.mean:g} on average (limit {limit.visibility:g})"
            )
        return sentences

    @property
    def passed(self) -> bool:
        """Whether everything is within the limits."""
        return not self.failures()

    def culprits(self) -> str:
        """Which layer and which images are to blame, in words; empty if nothing is known."""
        parts = []
        if self.blame:
            known = self.blame.error < float("inf")
            by_itself = f"{self.blame.error:.0%} off by itself" if known else "not finite"
            parts.append(f"the layer to blame is {self.blame.layer}, whose output is {by_itself}")
        if self.worst_images:
            parts.append(f"the worst images are {', '.join(worst.image for worst in self.worst_images)}")
        return "; ".join(parts)

    def to_manifest(self) -> dict[str, Any]:
        """Plain data for the manifest."""
        numbers: dict[str, Any] = msgspec.to_builtins(self)
        if self.pck:
            numbers["pck"]["drop"] = round(self.pck.drop, 3)
        present = {key: value for key, value in numbers.items() if value is not None}
        return {"passed": self.passed, **present}


def exceeds(value: float, limit: float | None) -> bool:
    """Whether there is a limit and the value is beyond it."""
    return limit is not None and value > limit
