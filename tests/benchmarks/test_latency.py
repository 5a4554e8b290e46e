"""The latency benchmark measures what it says, in turns, and keeps its samples."""

from __future__ import annotations

from coke_edge.benchmarks.latency import PER_ROUND, measure


def test_samples_and_their_summary() -> None:
    result = measure("demo", [1, 2], ["fp32"], rounds=1)
    rows = result["latency_ms"]
    assert [(row["precision"], row["threads"]) for row in rows] == [("fp32", 1), ("fp32", 2)]
    for row in rows:
        assert row["backend"] == "onnxruntime"
        assert len(row["samples"]) == PER_ROUND
        assert 0 < min(row["samples"]) <= row["median"] <= row["p95"] <= max(row["samples"]) + 1e-3
    assert result["machine"]["cores"] >= 1
    assert result["machine"]["vnni"] in (True, False, None)
    assert set(result["versions"]) == {"onnxruntime", "opencv", "numpy"}
