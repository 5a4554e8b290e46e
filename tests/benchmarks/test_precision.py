"""Precisions take turns, and all samples are kept."""

from __future__ import annotations

from coke_edge.benchmarks.precision import PER_ROUND, measure


def test_samples_by_precision_and_threads() -> None:
    result = measure("demo", ["fp32"], [1, 2], rounds=1)
    assert [(row["precision"], row["threads"]) for row in result["latency_ms"]] == [("fp32", 1), ("fp32", 2)]
    for row in result["latency_ms"]:
        assert len(row["samples"]) == PER_ROUND
        assert 0 < min(row["samples"]) <= row["median"] <= row["p95"] <= max(row["samples"]) + 1e-3
    assert result["machine"]["vnni"] in (True, False, None)
