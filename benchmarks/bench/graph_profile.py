"""How much of a graph's time in ONNX Runtime is the head's: from a profiled run of the same graph."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coke_edge.backends.onnxruntime import INPUT, OUTPUTS, graph_entry, session_options
from coke_edge.bundle import Bundle

FUNCTION = "_inlfunc_Match_"  # what ONNX Runtime puts before the nodes of the function coke::Match
TIMED = "_kernel_time"
WARM_UP, RUNS = 3, 20


def head_share(bundle: Bundle, precision: str, threads: int, batch: int) -> float | None:
    """The head's part of the time of all nodes, 0 … 1; None for a graph whose head is not `coke::Match`.

    Profiling makes every node a little slower, small ones the most in proportion: the head, which has many of them,
    rather comes out too large than too small.
    """
    import onnxruntime

    size = bundle.manifest.model.input
    images = np.random.default_rng(0).integers(0, 256, (batch, size.height, size.width, 3), np.uint8)
    options = session_options(threads)
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(
            bundle.read(graph_entry(bundle, precision)), options, providers=["CPUExecutionProvider"]
        )
        for _ in range(WARM_UP + RUNS):
            session.run(OUTPUTS, {INPUT: images})
        events = json.loads(Path(session.end_profiling()).read_text())
    return share(events)


def share(events: Sequence[dict[str, Any]]) -> float | None:
    """The head's part of the node times in a profile, from the median of each node over all runs after the warm-up.

    Nodes run one after the other, and all of the head needs the features: so the head is whatever runs from its first
    node on, also what the optimiser made of its nodes under other names.
    """
    times: dict[str, list[float]] = {}
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith(TIMED):
            index = event.get("args", {}).get("node_index", "")
            times.setdefault(f"{name} {index}", []).append(float(event["dur"]))
    medians = {name: float(np.median(values[WARM_UP:] or values)) for name, values in times.items()}
    first = next((i for i, name in enumerate(medians) if name.startswith(FUNCTION)), None)
    whole = sum(medians.values())
    if first is None or whole == 0:
        return None
    return sum(list(medians.values())[first:]) / whole
