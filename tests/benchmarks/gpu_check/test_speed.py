"""The benchmark of the head as rows of a check."""

from __future__ import annotations

import json
from pathlib import Path

from coke_edge.benchmarks.gpu_check import report, speed
from coke_edge.benchmarks.gpu_check.rows import Options


def test_the_benchmark_becomes_rows_and_a_table(tmp_path: Path) -> None:
    form = {"median_ms": 0.5, "extra_bytes": 100}
    measured = [
        {"ceilings": {"bandwidth": 3e12, "peak": 6e14, "launch_ms": 0.001, "two_launches_ms": 0.002}},
        {"name": "B1 1024 cells C128 N2560", "forms": {"fused": form}, "roofline_ms": 0.1, "floor_ms": 0.2},
    ]
    kept = report.Report(tmp_path, ["environment", "speed"])
    for found in speed.rows(Options(), measured):
        kept.add("speed", found)
    written = json.loads((tmp_path / "gpu-check.json").read_text())
    assert written["head"]["ceilings"]["bandwidth"] == 3e12
    assert any(v["value"] == 2.5 and v["met"] for v in written["head"]["verdicts"])
    assert "500 µs" in (tmp_path / "gpu-check.md").read_text()
