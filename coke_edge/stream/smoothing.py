"""The One-Euro filter on keypoints: steady where they rest, with little lag where they move.

    fc   = (f_min + β·v) · (h + (1 − h)·P(visible))        cut-off in Hz
    x̂_t = x̂_{t−1} + α·(x_t − x̂_{t−1})                     α = 1 / (1 + 1 / (2π·fc·Δt))

v is the keypoint's speed in object sizes per second, itself low-passed at f_v Hz; Δt is the time between frames.
G. Casiez, N. Roussel, D. Vogel: 1€ Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive
Systems. CHI 2012. Three things are ours: both coordinates share one cut-off, from the length of the velocity; the
speed is divided by the object's size, so that one β serves near and far objects; a hidden point smooths more.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coke_edge.keypoints import Keypoints
from coke_edge.stream.region import Seen

Vector = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class OneEuro:
    """How much to smooth. `coke_edge.benchmarks.smoothing` measures the jitter left and the lag added."""

    min_cutoff: float = 1.0  # f_min, Hz: lower is steadier at rest
    beta: float = 20.0  # Hz per (object size per second): higher lags less in motion
    speed_cutoff: float = 1.0  # f_v, Hz, the paper's
    hidden: float = 0.3  # h, the share of the cut-off that a point with P(visible) = 0 has
    hold: float = 0.25  # seconds that a keypoint may be missing and still go on from where it was


class Smoother:
    """Smooths the objects of frame after frame; who is who, the region says.

    Only the places change. A keypoint without a peak stays without one, and starts anew when it comes back after more
    than `hold` seconds. Time that stands still or runs back starts everything anew.
    """

    def __init__(self, settings: OneEuro | None = None) -> None:
        self._settings = settings or OneEuro()
        self._filters: dict[int, Filter] = {}

    def __call__(self, seen: Sequence[Seen], time: float | None) -> tuple[Keypoints, ...]:
        """The objects with their places smoothed, given the frame's time in seconds.

        Frames without a time are pictures, not a film: they pass as they are.
        """
        if time is None:
            self._filters = {}
            return tuple(keypoints for _, keypoints in seen)
        self._filters = {
            number: self._filters.get(number) or Filter(self._settings, len(keypoints))
            for number, keypoints in seen
        }
        return tuple(
            dataclasses.replace(keypoints, xy=self._filters[number](keypoints, time))
            for number, keypoints in seen
        )


class Filter:
    """The state of one object's K keypoints."""

    def __init__(self, settings: OneEuro, count: int) -> None:
        self._settings = settings
        self._xy = np.full((count, 2), np.nan)  # x̂
        self._raw = np.full((count, 2), np.nan)  # the last x
        self._velocity = np.zeros((count, 2))  # pixels per second, low-passed
        self._time = np.full(count, np.nan)  # when each was seen last
        self._last = np.nan  # the last frame

    def __call__(self, keypoints: Keypoints, time: float) -> Vector:
        """The smoothed places [K, 2]; NaN where there is no peak."""
        settings, here = self._settings, keypoints.found
        step = time - self._time
        go_on = here & (step > 0) & ((self._time == self._last) | (step <= settings.hold))
        start = here & ~go_on
        dt = np.where(go_on, step, 1.0)[:, None]
        velocity = np.where(go_on[:, None], (keypoints.xy - self._raw) / dt, 0.0)
        self._velocity = np.where(
            go_on[:, None],
            self._velocity + alpha(settings.speed_cutoff, dt) * (velocity - self._velocity),
            np.where(start[:, None], 0.0, self._velocity),
        )
        moved = self._xy + alpha(self._cutoff(keypoints), dt) * (keypoints.xy - self._xy)
        self._xy = np.where(go_on[:, None], moved, np.where(start[:, None], keypoints.xy, self._xy))
        self._raw = np.where(here[:, None], keypoints.xy, self._raw)
        self._time = np.where(here, time, self._time)
        self._last = time
        return np.where(here[:, None], self._xy, np.nan)

    def _cutoff(self, keypoints: Keypoints) -> Vector:
        """fc [K, 1] in Hz."""
        settings = self._settings
        speed = np.linalg.norm(self._velocity, axis=1) / object_size(keypoints)
        visible = np.where(np.isnan(keypoints.visible), 1.0, keypoints.visible)
        share = settings.hidden + (1 - settings.hidden) * visible
        return np.asarray(((settings.min_cutoff + settings.beta * speed) * share)[:, None])


def alpha(cutoff: float | Vector, dt: Vector) -> Vector:
    """The weight of the new value in a first-order low-pass filter."""
    return np.asarray(1 / (1 + 1 / (2 * math.pi * np.maximum(cutoff, 1e-9) * dt)))


def object_size(keypoints: Keypoints) -> float:
    """The longer side of the box around all keypoints, in pixels; at least one."""
    found = keypoints.xy[keypoints.found]
    return max(1.0, float(np.ptp(found, axis=0).max())) if len(found) else 1.0
