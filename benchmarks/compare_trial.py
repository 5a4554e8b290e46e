"""Whether `bench compare` keeps its promises on this machine: `python -m coke_edge.benchmarks.compare_trial [BUNDLE]`.

Two copies of the same model take turns, as with `coke-edge bench A --against B`: as they are, and with one stage of B
made slower by a wait. Counted is how often all is called equal in the first case, and how often that stage is called
slower, and another one wrongly, in the second.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coke_edge.benchmarks.bench import run
from coke_edge.benchmarks.bench.compare import Verdict, compare
from coke_edge.benchmarks.bench.model import open_detector
from coke_edge.benchmarks.bench.settings import Artefact, Settings
from coke_edge.bundle import Bundle
from coke_edge.detector import Detector
from coke_edge.geometry import Affine
from coke_edge.kernels.reference import Peaks

STAGES = ("warp", "network")


class Slower:
    """A backend of which one stage takes so much of its own time again."""

    def __init__(self, backend: Any, stage: str, share: float) -> None:
        self._backend, self._stage, self._share = backend, stage, share
        self.name, self.precision = backend.name, backend.precision

    def __call__(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> Peaks:
        return self.stages(frame, crops)[0]

    def stages(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> tuple[Peaks, dict[str, float]]:
        """See `backends.Staged`."""
        peaks, parts = self._backend.stages(frame, crops)
        start = time.perf_counter()
        until = start + self._share * parts[self._stage] / 1e3
        while time.perf_counter() < until:  # a sleep would be far longer
            pass
        parts[self._stage] += 1e3 * (time.perf_counter() - start)
        return peaks, parts


def trial(settings: Settings, stage: str, share: float) -> list[Verdict]:
    """The verdicts of one run in turns, B's `stage` being slower by `share` of its time."""
    opened: list[Detector] = []

    def opening(model: str | Bundle, artefact: Artefact) -> Detector:
        opened.append(open_detector(model, artefact))
        if share and len(opened) == 2:
            opened[1].backend = Slower(opened[1].backend, stage, share)
        return opened[-1]

    a, b = run.measure_in_turns([settings, settings], "", opening=opening)
    return compare(a, b)


def main() -> None:
    """Try, and print a line for each try and the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", nargs="?", default="demo")
    parser.add_argument("--tries", type=int, default=20, help="of each kind")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each row")
    parser.add_argument("--stage", choices=STAGES, default="warp")
    parser.add_argument("--slower", type=float, default=0.1, help="share of its time")
    arguments = parser.parse_args()
    settings = Settings(
        arguments.bundle,
        backends=("onnxruntime",),
        precisions=("fp32",),
        threads=(1,),
        modes=("back to back",),
        seconds=arguments.seconds,
        cold=0,
    )
    counts = dict.fromkeys(("equal everywhere", "found", "found elsewhere"), 0)
    for number in range(arguments.tries):
        same = trial(settings, arguments.stage, 0.0)
        counts["equal everywhere"] += all(verdict.outcome == "equal" for verdict in same)
        slower = trial(settings, arguments.stage, arguments.slower)
        found = {verdict.what for verdict in slower if verdict.outcome != "equal"}
        counts["found"] += arguments.stage in found
        counts["found elsewhere"] += bool(found - {arguments.stage, "whole"})
        stage = next(verdict for verdict in slower if verdict.what == arguments.stage)
        print(f"{number + 1}: {counts}; {stage.sentence}", flush=True)


if __name__ == "__main__":
    main()
