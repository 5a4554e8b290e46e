"""What the One-Euro filter takes and what it costs: jitter left at rest, milliseconds of lag in motion.

    python -m coke_edge.benchmarks.smoothing

The keypoints are made here: an object of 200 pixels whose points jitter by a pixel (standard deviation, each frame
anew) and move together at a constant speed. Lag is how far the smoothed points, averaged over the jitter, are behind
the true ones, divided by the speed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence

import numpy as np

from coke_edge.keypoints import Keypoints, Vector
from coke_edge.manifest import Keypoints2D
from coke_edge.stream.smoothing import OneEuro, Smoother

SIZE = 200.0  # pixels
JITTER = 0.005  # of the size
SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)  # object sizes per second
COUNT = 16  # keypoints
SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Effect:
    """Of one filter at one frame rate."""

    frames_per_second: float
    visible: float  # P(visible) of the points
    jitter_left: float  # at rest: standard deviation from the true place, smoothed over raw
    lag_ms: dict[str, float]  # by speed in object sizes per second


def effect(
    settings: OneEuro, frames_per_second: float = 30.0, visible: float = 1.0, speeds: Sequence[float] = SPEEDS
) -> Effect:
    """Jitter and lag of a filter."""
    raw, smooth, _ = play(settings, frames_per_second, visible, 0.0)
    lags = {}
    for speed in speeds:
        _, moving, times = play(settings, frames_per_second, visible, speed)
        behind = speed * SIZE * times[:, None] - moving[..., 0]
        lags[f"{speed:g}"] = float(1000 * behind.mean() / (speed * SIZE))
    return Effect(frames_per_second, visible, float(smooth.std() / raw.std()), lags)


def play(
    settings: OneEuro, frames_per_second: float, visible: float, speed: float
) -> tuple[Vector, Vector, Vector]:
    """Deviation of the raw points [T, K, 2], the smoothed ones relative to the start [T, K, 2], and the times [T].

    The first second, in which the filter settles, is left out.
    """
    rng = np.random.default_rng(0)
    start = SIZE * rng.uniform(0, 1, (COUNT, 2))
    start[0], start[1] = 0.0, SIZE  # the size of the object is its extent
    layout = Keypoints2D(tuple(map(str, range(COUNT))))
    one, p = np.ones(COUNT), np.full(COUNT, visible)
    smoother = Smoother(settings)
    times = np.arange(round(SECONDS * frames_per_second)) / frames_per_second
    deviation = rng.normal(0, JITTER * SIZE, (len(times), COUNT, 2))
    smooth = []
    for time, noise in zip(times, deviation, strict=True):
        xy = start + noise + np.array([speed * SIZE * time, 0.0])
        [out] = smoother([(0, Keypoints(layout, xy, one, one, one, p, np.zeros(4)))], float(time))
        smooth.append(out.xy - start)
    kept = times >= 1.0
    return deviation[kept], np.array(smooth)[kept], times[kept]


def main() -> None:
    """Print one JSON object for each frame rate and visibility."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for field in dataclasses.fields(OneEuro):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=float, default=field.default)
    parser.add_argument("--fps", type=float, nargs="+", default=[15.0, 30.0, 60.0])
    options = parser.parse_args()
    settings = OneEuro(**{field.name: getattr(options, field.name) for field in dataclasses.fields(OneEuro)})
    for frames_per_second in options.fps:
        for visible in (1.0, 0.0):
            print(json.dumps(dataclasses.asdict(effect(settings, frames_per_second, visible))), flush=True)


if __name__ == "__main__":
    main()
