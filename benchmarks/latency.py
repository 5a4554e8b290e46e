"""How long one detection takes on this machine: `python -m coke_edge.benchmarks.latency [BUNDLE] [--out FILE]`.

Timed is what a user waits for: from the decoded frame in memory to its keypoints (crop, network, head, decode), one
object at a time, after a warm-up. Precisions and numbers of threads take turns round by round, so that a noisy machine
disturbs all of them alike; the ratio is to the first precision with as many threads, in the same run. Raw samples are
kept.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coke_edge.benchmarks.environment import processor
from coke_edge.detector import Detector
from coke_edge.files import replacing

WARM_UP, ROUNDS, PER_ROUND = 5, 20, 10
FRAME, BOX = (480, 640, 3), (170, 40, 470, 440)
REGION = "from the decoded frame in memory to its keypoints (crop, network, head, decode)"

Setting = tuple[str, int]  # precision, number of threads


def measure(
    bundle: str, threads: Sequence[int], precisions: Sequence[str] = ("auto",), rounds: int = ROUNDS
) -> dict[str, Any]:
    """Milliseconds by precision and number of threads: median, p95 and all samples, with machine and versions."""
    import cv2
    import onnxruntime

    detectors = {(p, n): Detector(bundle, threads=n, precision=p) for p in precisions for n in threads}
    samples = interleaved(detectors, rounds)
    return {
        "bundle": bundle,
        "region": REGION,
        "machine": {
            "cpu": processor(),
            "cores": os.cpu_count(),
            "vnni": has_vnni(),
            "system": platform.platform(),
        },
        "versions": {
            "onnxruntime": onnxruntime.__version__,
            "opencv": cv2.__version__,
            "numpy": np.__version__,
        },
        "latency_ms": [
            {
                "precision": precision,
                "threads": n,
                "backend": detectors[precision, n].backend.name,
                "median": float(np.median(values)),
                "p95": float(np.quantile(values, 0.95)),
                "samples": [round(value, 4) for value in values],
            }
            for (precision, n), values in samples.items()
        ],
    }


def interleaved(detectors: dict[Setting, Detector], rounds: int) -> dict[Setting, list[float]]:
    """Milliseconds of every detection, in turns."""
    frame = np.random.default_rng(0).integers(0, 256, FRAME, dtype=np.uint8)
    for detector in detectors.values():
        for _ in range(WARM_UP):
            detector(frame, BOX)
    samples: dict[Setting, list[float]] = {setting: [] for setting in detectors}
    for _ in range(rounds):
        for setting, detector in detectors.items():
            for _ in range(PER_ROUND):
                start = time.perf_counter()
                detector(frame, BOX)
                samples[setting].append(1000 * (time.perf_counter() - start))
    return samples


def has_vnni() -> bool | None:
    """Whether the CPU multiplies and adds bytes in one instruction, as Linux has it; None if that is not known."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return None
    return bool({"avx512_vnni", "avx_vnni"} & set(flags))


def main() -> None:
    """Measure, print a line for each precision and number of threads, and write the result with --out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", nargs="?", default="demo", help="bundle, or demo")
    parser.add_argument("--precisions", nargs="+", default=["auto"], help="to compare, as in fp32 int8")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads to compare"
    )
    parser.add_argument("--out", type=Path, help="JSON file for the result with its raw samples")
    arguments = parser.parse_args()
    result = measure(arguments.bundle, arguments.threads, arguments.precisions)
    machine, rows = result["machine"], result["latency_ms"]
    print(f"{machine['cpu']}, {machine['cores']} cores, VNNI {machine['vnni']}, {REGION}:")
    first = {row["threads"]: row["median"] for row in rows if row["precision"] == arguments.precisions[0]}
    for row in rows:
        print(
            f"  {row['precision']} on {row['backend']}, {row['threads']} thread(s): median {row['median']:.2f} ms, "
            f"p95 {row['p95']:.2f} ms, {first[row['threads']] / row['median']:.2f} times as fast"
        )
    if arguments.out:
        with replacing(arguments.out) as file:
            file.write((json.dumps(result, indent=1) + "\n").encode())
        print(f"Wrote {arguments.out}")


if __name__ == "__main__":
    main()
