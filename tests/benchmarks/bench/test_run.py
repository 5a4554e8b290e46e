"""A whole run: every row is there, with its samples, and says what it is."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from coke_edge.benchmarks.bench import graph_profile, modes, run
from coke_edge.benchmarks.bench.model import open_model, pairs
from coke_edge.benchmarks.bench.result import read_result, write_result
from coke_edge.benchmarks.bench.run import measure
from coke_edge.benchmarks.bench.settings import Settings, rows
from coke_edge.benchmarks.bench.steady import Rule
from coke_edge.bundle import Bundle
from coke_edge.doctor.machine import Machine
from coke_edge.doctor.report import Facts, examine
from coke_edge.errors import BackendError, BundleError, CokeError

SHORT = Settings(
    "demo",
    backends=("onnxruntime",),
    batches=(2,),
    threads=(1,),
    fps=100.0,
    seconds=0.01,
    cold=1,
    rule=Rule(calls=2, seconds=0.0, windows=2, most_seconds=0.2),
    slices=2,
    least=3,
)


@pytest.fixture(scope="module")
def facts() -> Facts:
    return examine(Machine())


def test_a_run_from_end_to_end(tmp_path: Path, facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "PACED_LEAD_IN", 0.05)
    monkeypatch.setattr(graph_profile, "RUNS", 2)
    monkeypatch.setattr(run, "examine", lambda _: facts)
    said: list[str] = []
    result = measure(SHORT, "coke-edge bench demo", said.append)
    write_result(result, tmp_path / "result.json")
    assert read_result(tmp_path / "result.json") == result
    assert [(row.mode, row.batch) for row in result.rows] == [("back to back", 2), ("paced", 2)]
    for row in result.rows:
        assert (row.backend, row.precision, row.threads) == ("onnxruntime", "fp32", 1)
        assert (row.model, row.sha256) == ("person.coke", Bundle("demo").sha256)
        assert len(row.slices) == SHORT.slices
        assert min(row.slices) >= SHORT.least
        assert sum(row.slices) == len(row.samples_ms)
        assert {len(samples) for samples in row.stage_samples_ms.values()} == {len(row.samples_ms)}
        assert sum(row.stages_ms.values()) == pytest.approx(row.latency_ms.mean)
        assert {"capture", "warp", "backbone", "head", "decode", "other"} <= set(row.stages_ms)
        assert ("wait" in row.stages_ms) == (row.late_frames is not None) == (row.mode == "paced")
        assert row.first_result_ms is not None
        assert row.first_result_ms > row.latency_ms.p50
        assert any("one graph" in note for note in row.notes)
        assert "--data" in row.absent["accuracy"]
        assert len(row.warm_up_ms) == row.warm_up["calls"]
    assert any("round 2 of 2" in text for text in said)
    assert result.protocol.frame == (480, 640)
    assert len(result.machine.name) == 12
    assert {"python", "onnxruntime", "numpy"} <= set(result.versions)


def test_what_did_not_become_steady_is_told(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_profile, "RUNS", 2)
    monkeypatch.setattr(run, "examine", lambda _: facts)
    never = Rule(calls=2, tolerance=0.0, most_seconds=0.05)
    settings = dataclasses.replace(SHORT, rule=never, cold=0, batches=(1,), modes=("back to back",))
    [row] = measure(settings, "").rows
    assert row.warm_up["steady"] == 0
    assert "without becoming steady" in row.notes[0]
    assert "no fresh process" in row.absent["first_result_ms"]


def test_rows_are_what_is_at_hand_or_asked_for(facts: Facts) -> None:
    model, machine = open_model("demo"), Machine()

    def found(**changes: object) -> list[tuple[str, str]]:
        return pairs(model, dataclasses.replace(SHORT, **changes), machine, facts)  # type: ignore[arg-type]

    assert ("onnxruntime", "fp32") in found(backends=())
    assert found() == [("onnxruntime", "fp32")]
    assert found(precisions=("fp32", "int8")) == [("onnxruntime", "fp32"), ("onnxruntime", "int8")]
    assert found(backends=("magic",)) == [("magic", "auto")]


def test_a_device_measures_without_training_packages() -> None:
    code = (
        "import sys; import coke_edge.benchmarks.bench.run, coke_edge.benchmarks.bench.first_result; "
        "import coke_edge.benchmarks.bench.compare; "
        "print({m.split('.')[0] for m in sys.modules} & {'torch', 'matplotlib', 'scipy', 'onnx', 'triton'} or 'none')"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "none"


def test_threads_are_onnx_runtimes_alone() -> None:
    settings = dataclasses.replace(SHORT, threads=(1, 2), batches=(1,), modes=("paced", "back to back"))
    found = rows(settings, [("onnxruntime", "fp32"), ("tensorrt", "fp16")])
    assert [(s.mode, s.artefact.backend, s.artefact.threads) for s in found] == [
        (mode, *artefact)
        for mode in ("back to back", "paced")
        for artefact in (("onnxruntime", 1), ("onnxruntime", 2), ("tensorrt", 0))
    ]


def test_what_cannot_be_measured(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot read the bundle"):
        measure(dataclasses.replace(SHORT, model=str(tmp_path / "none.coke")), "")
    with pytest.raises(BundleError, match="cannot read the checkpoint"):
        measure(dataclasses.replace(SHORT, model=str(tmp_path)), "")
    with pytest.raises(BackendError, match="no int8 graph"):
        measure(dataclasses.replace(SHORT, precisions=("int8",)), "")
    with pytest.raises(CokeError, match="--batches"):
        dataclasses.replace(SHORT, batches=(0,))
