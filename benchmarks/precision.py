"""Latency of a bundle's precisions on this CPU: `python -m coke_edge.benchmarks.precision BUNDLE [--out FILE]`.

Timed is one detection, from the decoded frame in memory to its keypoints (crop, network, head, decode). Precisions and
numbers of threads take turns round by round, so that a noisy machine disturbs all of them alike; the ratio to float32
is that of the medians of the same run. Raw samples are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from coke_edge.benchmarks.environment import processor
from coke_edge.benchmarks.latency import REGION, WARM_UP
from coke_edge.bundle import Bundle
from coke_edge.detector import Detector
from coke_edge.files import replacing

ROUNDS, PER_ROUND = 20, 10
FRAME, BOX = (480, 640, 3), (170, 40, 470, 440)


def measure(path: str, precisions: list[str], threads: list[int], rounds: int = ROUNDS) -> dict[str, Any]:
    """Milliseconds by precision and number of threads: median, p95, and all samples."""
    import onnxruntime

    bundle = Bundle(path)
    detectors = {(p, n): Detector(bundle, "onnxruntime", n, p) for p in precisions for n in threads}
    samples = interleaved(detectors, rounds)
    return {
        "bundle": bundle.manifest.name,
        "region": REGION,
        "machine": {"cpu": processor(), "cores": os.cpu_count(), "vnni": has_vnni()},
        "versions": {"onnxruntime": onnxruntime.__version__, "numpy": np.__version__},
        "latency_ms": [
            {
                "precision": precision,
                "threads": n,
                "median": float(np.median(values)),
                "p95": float(np.quantile(values, 0.95)),
                "samples": [round(value, 4) for value in values],
            }
            for (precision, n), values in samples.items()
        ],
    }


def interleaved(
    detectors: dict[tuple[str, int], Detector], rounds: int
) -> dict[tuple[str, int], list[float]]:
    """Milliseconds of every detection, in turns."""
    frame = np.random.default_rng(0).integers(0, 256, FRAME, dtype=np.uint8)
    for detector in detectors.values():
        for _ in range(WARM_UP):
            detector(frame, BOX)
    samples: dict[tuple[str, int], list[float]] = {key: [] for key in detectors}
    for _ in range(rounds):
        for key, detector in detectors.items():
            for _ in range(PER_ROUND):
                start = time.perf_counter()
                detector(frame, BOX)
                samples[key].append(1000 * (time.perf_counter() - start))
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
    parser.add_argument("bundle", help="bundle with several precisions")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "int8"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, help="JSON file for the result with its raw samples")
    arguments = parser.parse_args()
    result = measure(arguments.bundle, arguments.precisions, arguments.threads)
    machine = result["machine"]
    print(f"{machine['cpu']}, {machine['cores']} cores, VNNI {machine['vnni']}, {REGION}:")
    rows = result["latency_ms"]
    exact = {row["threads"]: row["median"] for row in rows if row["precision"] == "fp32"}
    for row in rows:
        ratio = f", {exact[row['threads']] / row['median']:.2f} × fp32" if row["threads"] in exact else ""
        print(
            f"  {row['precision']}, {row['threads']} thread(s): "
            f"median {row['median']:.2f} ms, p95 {row['p95']:.2f} ms{ratio}"
        )
    if arguments.out:
        with replacing(arguments.out) as file:
            file.write((json.dumps(result, indent=1) + "\n").encode())
        print(f"Wrote {arguments.out}")


if __name__ == "__main__":
    main()
