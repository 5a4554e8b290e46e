"""How long one detection takes on this machine: `python -m coke_edge.benchmarks.latency [BUNDLE] [--out FILE]`.

Timed is what a user waits for: from the decoded frame in memory to its keypoints (crop, network, head, decode), one
object at a time, after a warm-up. The numbers of threads are interleaved round by round, so that a noisy machine
disturbs all of them alike. Raw samples are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from coke_edge.benchmarks.environment import processor
from coke_edge.detector import Detector
from coke_edge.files import replacing

WARM_UP, ROUNDS, PER_ROUND = 5, 20, 10
REGION = "from the decoded frame in memory to its keypoints (crop, network, head, decode)"


def measure(bundle: str, threads: tuple[int, ...], rounds: int = ROUNDS) -> dict[str, Any]:
    """Milliseconds by number of threads: median, p95 and all samples, with the machine and the versions."""
    import cv2
    import onnxruntime

    detectors = {n: Detector(bundle, threads=n) for n in threads}
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    box = (170, 40, 470, 440)
    samples: dict[int, list[float]] = {n: [] for n in threads}
    for detector in detectors.values():
        for _ in range(WARM_UP):
            detector(frame, box)
    for _ in range(rounds):
        for n, detector in detectors.items():
            for _ in range(PER_ROUND):
                start = time.perf_counter()
                detector(frame, box)
                samples[n].append(1000 * (time.perf_counter() - start))
    return {
        "bundle": bundle,
        "region": REGION,
        "machine": {"cpu": processor(), "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {
            "onnxruntime": onnxruntime.__version__,
            "opencv": cv2.__version__,
            "numpy": np.__version__,
        },
        "latency_ms": {
            str(n): {
                "median": float(np.median(values)),
                "p95": float(np.quantile(values, 0.95)),
                "samples": [round(v, 4) for v in values],
            }
            for n, values in samples.items()
        },
    }


def main() -> None:
    """Measure, print a line per number of threads, and write the result with --out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", nargs="?", default="demo", help="bundle, or demo")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads to compare"
    )
    parser.add_argument("--out", type=Path, help="JSON file for the result with its raw samples")
    arguments = parser.parse_args()
    result = measure(arguments.bundle, tuple(arguments.threads))
    print(f"{result['machine']['cpu']}, {result['machine']['cores']} cores, {REGION}:")
    for threads, row in result["latency_ms"].items():
        print(f"  {threads} thread(s): median {row['median']:.2f} ms, p95 {row['p95']:.2f} ms")
    if arguments.out:
        with replacing(arguments.out) as file:
            file.write((json.dumps(result, indent=1) + "\n").encode())
        print(f"Wrote {arguments.out}")


if __name__ == "__main__":
    main()
