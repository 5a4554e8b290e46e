"""The head's part of a graph's time, from ONNX Runtime's profile."""

from __future__ import annotations

from typing import Any

import pytest

from coke_edge.benchmarks.bench import graph_profile
from coke_edge.benchmarks.bench.graph_profile import RUNS, WARM_UP, head_share, share
from coke_edge.bundle import Bundle

NODES = [
    ("conv_1", 60),
    ("features", 20),
    ("_inlfunc_Match_MatMul_node_8", 10),
    ("Transpose", 5),
    ("_inlfunc_Match_TopK", 5),
]


def events(nodes: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """A profile of all runs, the first ones slow."""
    found: list[dict[str, Any]] = [{"cat": "Session", "name": "model_run", "dur": 1000}]
    for run in range(WARM_UP + RUNS):
        for index, (name, duration) in enumerate(nodes):
            slow = 10 if run < WARM_UP else 1
            node = {"cat": "Node", "args": {"node_index": str(index)}}
            found.append({**node, "name": f"{name}_fence_before", "dur": 3})
            found.append({**node, "name": f"{name}_kernel_time", "dur": slow * duration})
    return found


def test_the_head_is_what_runs_from_its_first_node_on() -> None:
    assert share(events(NODES)) == pytest.approx(0.2)  # with the transpose that has lost its name


def test_a_graph_without_the_function_has_no_share() -> None:
    assert share(events(NODES[:2])) is None
    assert share([]) is None


def test_the_demo_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_profile, "RUNS", 2)
    part = head_share(Bundle("demo"), "fp32", 1, 1)
    assert part is not None
    assert 0 < part < 0.5
