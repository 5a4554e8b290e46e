"""What a smaller clutter bank changed, what it may change, and what was decided."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Rows = int | Literal["auto", "all"]


class Limits(msgspec.Struct, frozen=True):
    """What a bank may change and still count as lossless.

    P(visible) of the demo model is itself off by 0.03 (its calibration error), so less than that is not seen.
    """

    pixels: float = 0.5  # 99th percentile of a keypoint's distance in crop pixels
    pck: float = 0.1  # percentage points lost, where the images are labelled
    visible: float = 0.02  # mean difference of P(visible)
    visible_p99: float = 0.1  # its 99th percentile
    images: int = 20  # fewer than these show nothing, and "auto" keeps the full bank
    response: float = 0.02  # 99th percentile of c and ĉ, where there is no P(visible) that is made of them


class Difference(msgspec.Struct, frozen=True):
    """A smaller bank against the full one, on the best peaks that either finds."""

    rows: int
    moved: float  # share of keypoints in another cell
    pixels: dict[str, float]  # distance in crop pixels: median, p99, max
    pck_drop: float | None  # percentage points; None without labels
    visible: dict[str, float] | None  # |difference of P(visible)|: mean, p99, max; None without calibration
    response_p99: float  # of c and ĉ

    def failures(self, limits: Limits) -> list[str]:
        """What is beyond the limits, in words; empty if the bank is lossless."""
        sentences = []
        if self.pixels["p99"] > limits.pixels:
            sentences.append(
                f"{self.moved:.1%} of the keypoints lie in other cells, "
                f"p99 {self.pixels['p99']:.4g} px off (limit {limits.pixels:g} px)"
            )
        if self.pck_drop is not None and self.pck_drop > limits.pck:
            sentences.append(f"PCK drops by {self.pck_drop:.2f} points (limit {limits.pck:g})")
        if self.visible is None:
            if self.response_p99 > limits.response:
                sentences.append(f"responses differ by {self.response_p99:g} (limit {limits.response:g})")
        elif self.visible["mean"] > limits.visible or self.visible["p99"] > limits.visible_p99:
            sentences.append(
                f"P(visible) differs by {self.visible['mean']:g} on average, p99 {self.visible['p99']:g} "
                f"(limits {limits.visible:g}, {limits.visible_p99:g})"
            )
        return sentences


class Report(msgspec.Struct, frozen=True):
    """Which bank was taken and why; goes into the manifest."""

    asked: Rows
    rows: int  # of the bank that was taken
    full: int  # rows before
    images: int
    tried: tuple[Difference, ...]  # smallest first
    limits: Limits

    @property
    def failures(self) -> list[str]:
        """What the bank that was taken changes beyond the limits: only a number of rows that was asked for can."""
        taken = [difference for difference in self.tried if difference.rows == self.rows]
        return [sentence for difference in taken for sentence in difference.failures(self.limits)]

    def sentence(self) -> str:
        """What was decided, for people."""
        if self.rows < self.full:
            verdict = "; ".join(self.failures) or "lossless within the limits"
            return f"clutter bank: {self.rows} of {self.full} rows, {verdict}"
        if not self.tried and self.asked == "auto" and self.images < self.limits.images:
            few = f"{self.images} images are too few to measure a smaller one on"
            return f"clutter bank: all {self.full} rows, since {few}"
        if not self.tried:
            return f"clutter bank: all {self.full} rows"
        nearest = self.tried[-1]
        reason = "; ".join(nearest.failures(self.limits))
        return f"clutter bank: all {self.full} rows, since with {nearest.rows} {reason}"

    def to_manifest(self) -> dict[str, Any]:
        """Plain data for the manifest."""
        numbers: dict[str, Any] = msgspec.to_builtins(self)
        return {"passed": not self.failures, **numbers}
