"""The latency benchmark measures what it says and keeps its samples."""

from __future__ import annotations

from coke_edge.benchmarks.latency import PER_ROUND, measure


def test_samples_and_their_summary() -> None:
    result = measure("demo", (1,), rounds=1)
    row = result["latency_ms"]["1"]
    assert len(row["samples"]) == PER_ROUND
    assert 0 < min(row["samples"]) <= row["median"] <= row["p95"] <= max(row["samples"]) + 1e-3
    assert result["machine"]["cores"] >= 1
    assert set(result["versions"]) == {"onnxruntime", "opencv", "numpy"}
