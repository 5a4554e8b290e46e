"""A whole run: every row is there, with its samples, and says what it is."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from coke_edge.benchmarks.bench import graph_profile, modes, run
from coke_edge.benchmarks.bench.lane import Sample, Tally
from coke_edge.benchmarks.bench.model import open_detector, open_model, pairs
from coke_edge.benchmarks.bench.result import Reading, read_result, write_result
from coke_edge.benchmarks.bench.run import measure
from coke_edge.benchmarks.bench.settings import MODES, Artefact, Setting, Settings, rows
from coke_edge.benchmarks.bench.steady import Rule
from coke_edge.benchmarks.sensors import Sensors
from coke_edge.bundle import Bundle
from coke_edge.doctor.gpu import Device
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
        parts = np.sum(list(row.stage_samples_ms.values()), axis=0)
        assert (parts <= np.array(row.samples_ms)).all()  # no stage is counted twice, in no call
        assert np.median(parts / row.samples_ms) > 0.9  # and little is left out
        assert row.stages_ms["other"] == pytest.approx(row.latency_ms.mean - parts.mean())
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
    never = Rule(calls=2, tolerance=0.0, most_seconds=0.05)
    settings = dataclasses.replace(SHORT, rule=never, cold=0, batches=(1,), modes=("back to back",))
    device = Device("A GPU", 90, 1, 1, 1, "0000:65:00.0")
    monkeypatch.setattr(
        run,
        "examine",
        lambda _: dataclasses.replace(facts, gpu=dataclasses.replace(facts.gpu, devices=(device,))),
    )
    places: list[str] = []
    monkeypatch.setattr(run, "Sensors", lambda gpu: places.append(gpu) or Sensors())
    [row] = measure(settings, "").rows
    assert places == ["0000:65:00.0"] * settings.slices  # of the GPU that CUDA calls its first
    assert row.warm_up["steady"] == 0
    assert "without becoming steady" in row.notes[0]
    assert "no fresh process" in row.absent["first_result_ms"]


class Lane:
    """Counts its calls; what it "takes" is 1 ms."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.tally, self.calls = setting, Tally(), 0

    def call(self) -> Sample:
        self.calls += 1
        return Sample(1.0, {}, [])

    def draw(self, sample: Sample) -> None:
        """Not drawn here."""


class Powered:
    """Sensors of a machine with a power meter."""

    causes: tuple[str, ...] = ()

    def __init__(self, gpu: str) -> None:
        pass

    def start(self) -> None:
        pass

    def stop(self, frames: int) -> tuple[dict[str, Reading], dict[str, str], bool | None]:
        names = ("cpu power", "cpu energy", "cpu temperature")
        return (
            {name: Reading(unit="W", mean=1.0, least=1.0, most=1.0, count=frames) for name in names},
            {},
            None,
        )


def test_two_models_take_turns_call_by_call_and_share_no_power(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "Sensors", Powered)
    artefact = Artefact("onnxruntime", "fp32", 1)
    settings = [Setting(artefact, batch, mode) for batch in (1, 2) for mode in MODES]
    one, other = ([Lane(setting) for setting in settings] for _ in range(2))
    groups = run.taking_turns([*one, *other[:-2]])  # type: ignore[list-item]
    assert [[lane.setting for lane in group] for group in groups if len(group) == 2] == [[settings[0]] * 2]
    assert {lane.setting for group in groups if len(group) == 1 for lane in group} == set(settings[1:])
    first, second = run.stretch(groups[0], dataclasses.replace(SHORT, seconds=1e-9), "")
    assert first == second
    readings, absent, _, frames = first
    assert readings.keys() == {"cpu temperature"}
    assert absent.keys() == {"cpu power", "cpu energy"}
    assert frames == readings["cpu temperature"].count == sum(lane.calls for lane in groups[0])
    assert [lane.tally.slices for lane in groups[0]] == [[SHORT.least]] * 2


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
    with pytest.raises(CokeError, match="--fps takes 1"):
        dataclasses.replace(SHORT, fps=0.5)
    with pytest.raises(CokeError, match="--seconds"):
        dataclasses.replace(SHORT, seconds=0.0)


def test_a_folder_called_demo_is_not_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert open_model("demo").bundle is not None
    assert open_detector("demo", Artefact("onnxruntime", "fp32", 1)).backend.name == "onnxruntime"
    with pytest.raises(BundleError, match="cannot read the checkpoint"):
        open_model("./demo")


def test_a_paced_row_is_bound_however_slow_its_camera() -> None:
    assert run.longest(SHORT) == modes.PACED_MOST / SHORT.slices
    assert run.longest(dataclasses.replace(SHORT, seconds=200.0)) == 200.0 / SHORT.slices
