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

from coke_edge.keypoints import ELSEWHERE_BELOW, Keypoints
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
    gone: float = 0.2  # below this P(visible) a keypoint goes to where it is if hidden …
    back: float = 0.4  # … and from this one on back to where it is if visible


class Smoother:
    """Smooths the objects of frame after frame; who is who, the region says.

    Only the places change. A keypoint without a peak stays without one, and starts anew when it comes back after more
    than `hold` seconds. Time that stands still or runs back starts everything anew.
    """

    def __init__(self, settings: OneEuro | None = None) -> None:
        self._settings = settings or OneEuro()
        self._time = -math.inf
        self._objects: dict[int, Smoothed] = {}

    def __call__(self, seen: Sequence[Seen], time: float | None) -> tuple[Keypoints, ...]:
        """The objects with their places smoothed, given the frame's time in seconds.

        Frames without a time are pictures, not a film: they pass as they are.
        """
        if time is None or time <= self._time:
            self._objects = {}
        if time is None:
            return tuple(keypoints for _, keypoints in seen)
        self._time = time
        self._objects = {
            number: self._objects.get(number) or Smoothed(self._settings, keypoints)
            for number, keypoints in seen
        }
        return tuple(self._objects[number](keypoints, time) for number, keypoints in seen)


class Smoothed:
    """One object: the filter of its places, and which of its keypoints stand where they are if hidden.

    Seen and hidden place of a keypoint are smoothed each for itself, so that what vanishes behind something, or comes
    out, goes from one steady place to the other at once; and it goes only when P(visible) has left a band, since the
    two may lie far apart.
    """

    def __init__(self, settings: OneEuro, first: Keypoints) -> None:
        self._settings = settings
        self._elsewhere = first.visible < ELSEWHERE_BELOW
        self._filter = Filter(settings, len(states(first)) * len(first))

    def __call__(self, keypoints: Keypoints, time: float) -> Keypoints:
        """The same keypoints at their smoothed places."""
        visible, both = keypoints.visible, states(keypoints)
        self._elsewhere = visible < np.where(self._elsewhere, self._settings.back, self._settings.gone)
        size = object_size(dataclasses.replace(keypoints, elsewhere=self._elsewhere))
        places = self._filter(np.concatenate(both), np.tile(visible, len(both)), size, time)
        xy, *hidden = places.reshape(len(both), -1, 2)
        if not hidden:
            return dataclasses.replace(keypoints, xy=xy)
        return dataclasses.replace(keypoints, xy=xy, hidden_xy=hidden[0], elsewhere=self._elsewhere)


def states(keypoints: Keypoints) -> list[Vector]:
    """Where the keypoints [K, 2] are if visible and, from a model that says it, where if hidden."""
    return [keypoints.xy] if keypoints.hidden_xy is None else [keypoints.xy, keypoints.hidden_xy]


class Filter:
    """The state of one object's R places: those of its K keypoints, and where hidden ones are placed, of these too."""

    def __init__(self, settings: OneEuro, count: int) -> None:
        self._settings = settings
        self._xy = np.full((count, 2), np.nan)  # x̂
        self._raw = np.full((count, 2), np.nan)  # the last x
        self._velocity = np.zeros((count, 2))  # pixels per second, low-passed
        self._time = np.full(count, np.nan)  # when each was seen last
        self._last = np.nan  # the last frame

    def __call__(self, places: Vector, visible: Vector, size: float, time: float) -> Vector:
        """The smoothed places [R, 2], NaN where there is no peak: P(visible) [R], the object's size in pixels."""
        settings, here = self._settings, np.asarray(np.isfinite(places).all(axis=1))
        step = time - self._time
        go_on = here & ((self._time == self._last) | (step <= settings.hold))
        start = here & ~go_on
        dt = np.where(go_on, step, 1.0)[:, None]
        velocity = np.where(go_on[:, None], (places - self._raw) / dt, 0.0)
        self._velocity = np.where(
            go_on[:, None],
            self._velocity + alpha(settings.speed_cutoff, dt) * (velocity - self._velocity),
            np.where(start[:, None], 0.0, self._velocity),
        )
        moved = self._xy + alpha(self._cutoff(visible, size), dt) * (places - self._xy)
        self._xy = np.where(go_on[:, None], moved, np.where(start[:, None], places, self._xy))
        self._raw = np.where(here[:, None], places, self._raw)
        self._time = np.where(here, time, self._time)
        self._last = time
        return np.where(here[:, None], self._xy, np.nan)

    def _cutoff(self, visible: Vector, size: float) -> Vector:
        """fc [R, 1] in Hz."""
        settings = self._settings
        speed = np.linalg.norm(self._velocity, axis=1) / size
        share = settings.hidden + (1 - settings.hidden) * np.where(np.isnan(visible), 1.0, visible)
        return np.asarray(((settings.min_cutoff + settings.beta * speed) * share)[:, None])


def alpha(cutoff: float | Vector, dt: Vector) -> Vector:
    """The weight of the new value in a first-order low-pass filter."""
    return np.asarray(1 / (1 + 1 / (2 * math.pi * np.maximum(cutoff, 1e-9) * dt)))


def object_size(keypoints: Keypoints) -> float:
    """The longer side of the box around all keypoints, in pixels; at least one."""
    found = keypoints.places[keypoints.found]
    return max(1.0, float(np.ptp(found, axis=0).max())) if len(found) else 1.0
