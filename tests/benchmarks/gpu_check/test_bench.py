"""The section "bench" of the GPU check without a GPU: the packaged model read without packages, and a whole result."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from coke_edge.benchmarks.bench.result import Result, read_result
from coke_edge.benchmarks.bench.steady import Rule
from coke_edge.benchmarks.gpu_check import bench, energy, lane_row, lanes, memory, onnx_file
from coke_edge.benchmarks.gpu_check.bench import BUNDLE, SMALL
from coke_edge.benchmarks.gpu_check.bench_table import RUN, STAGES, result, table
from coke_edge.benchmarks.gpu_check.bundled import GRAPH, Bundled, GraphNetwork, read_bundle
from coke_edge.benchmarks.gpu_check.lanes import Lane, Plan
from coke_edge.benchmarks.gpu_check.report import BENCH, Report
from coke_edge.benchmarks.gpu_check.rows import FAILED, PASSED, Options
from coke_edge.benchmarks.gpu_check.smi import QUERIES, Smi
from coke_edge.bundle import Bundle
from coke_edge.kernels.reference import Peaks
from coke_edge.kernels.torch_reference import match

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # numpy's, on −∞, in the interpreter
    pytest.mark.usefixtures("one_thread"),
]


@pytest.fixture(scope="module")
def model() -> Bundled:
    return read_bundle(BUNDLE)


def test_the_packaged_model_is_read_as_it_is(model: Bundled) -> None:
    bundle = Bundle("demo")
    spec = bundle.manifest.model
    assert (model.name, model.sha256) == (bundle.path.name, bundle.sha256)
    assert (model.width, model.height, model.border) == (
        spec.input.width,
        spec.input.height,
        spec.input.border,
    )
    assert (model.head.rule, model.head.peaks) == (spec.head.rule, spec.head.peaks)
    np.testing.assert_allclose(
        [model.head.temperature, model.head.clutter_weight], [spec.head.temperature, spec.head.clutter_weight]
    )
    banks = bundle.banks()
    np.testing.assert_array_equal(model.prototypes, banks["prototypes"])
    np.testing.assert_array_equal(model.clutter, banks["clutter"])
    assert model.counts is not None, "the demo's clutter bank is compressed"
    np.testing.assert_array_equal(model.counts, banks["counts"])


def test_it_computes_what_onnx_runtime_does(model: Bundled) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (1, model.height, model.width, 3), np.uint8)
    with torch.inference_mode():
        features = model.network(torch.from_numpy(crops))
        found = match(features, model.prototypes, model.clutter, model.head, model.counts)
    assert features.is_contiguous(memory_format=torch.channels_last)
    with zipfile.ZipFile(BUNDLE) as file:
        session = onnxruntime.InferenceSession(file.read(GRAPH), providers=["CPUExecutionProvider"])
    expected = dict(zip(Peaks._fields, session.run(list(Peaks._fields), {"image": crops}), strict=True))
    np.testing.assert_array_equal(found.index, expected["index"])
    for name in ("similarity", "clutter", "soft_clutter"):
        np.testing.assert_allclose(getattr(found, name), expected[name], atol=1e-5)


def test_the_graph_is_read_as_onnx_reads_it() -> None:
    with zipfile.ZipFile(BUNDLE) as file:
        content = file.read(GRAPH)
    ours, theirs = onnx_file.read(content), onnx.load_from_string(content).graph
    assert [node.operator for node in ours.nodes] == [node.op_type for node in theirs.node]
    for node, other in zip(ours.nodes, theirs.node, strict=True):
        assert (list(node.inputs), list(node.outputs)) == (list(other.input), list(other.output))
        for attribute in other.attribute:
            value = onnx.helper.get_attribute_value(attribute)
            assert node.attributes[attribute.name] == (value.decode() if isinstance(value, bytes) else value)
    assert ours.constants.keys() == {constant.name for constant in theirs.initializer}
    assert list(ours.inputs) == ["image"]
    assert ours.inputs["image"][1:] == (192, 192, 3)


def test_what_is_no_such_file_says_so(tmp_path: Path) -> None:
    for content in (b"", b"no protocol buffer", b"\x3a\x7f"):
        with pytest.raises(ValueError, match="no ONNX model with its weights inside"):
            onnx_file.read(content)
    (tmp_path / "x.coke").write_bytes(b"no zip")
    with pytest.raises(ValueError, match=r"x\.coke is no bundle that can be read"):
        read_bundle(tmp_path / "x.coke")
    strange = onnx.parser.parse_graph("g (float[1] x) => (float[1] z) { y = Sin(x) \n z = Match(y) }")
    graph = onnx_file.read(onnx.helper.make_model(strange).SerializeToString())
    with pytest.raises(ValueError, match="operators that are not known here: Sin"):
        GraphNetwork(graph)


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    """The rows of the section at its small size, as they come out of its process."""
    return [json.loads(json.dumps(one)) for one in bench.rows(Options(device="interpreter"))]


def test_its_rows_are_a_result_of_the_benchmark(found: list[dict[str, Any]], tmp_path: Path) -> None:
    assert [one["name"] for one in found] == [
        "fp32 against the CPU",
        "fp32, batch 1, back to back",
        "fp32, batch 1, paced",
        RUN,
    ]
    assert found[0]["status"] == PASSED
    assert 0 < found[0]["error"] < 1e-5 or found[0]["error"] == 0
    report = Report(tmp_path, ["environment", "bench"])
    for one in found[:-1]:
        report.add("bench", one)
        assert not (tmp_path / BENCH).exists()
    report.add("bench", found[-1])
    whole = read_result(tmp_path / BENCH)  # strict: decodes into the very schema
    assert msgspec.convert(result(found), Result) == whole
    assert "## From frame to peaks" in (tmp_path / "gpu-check.md").read_text()
    for row in whole.rows:
        assert (row.model, row.backend, row.batch) == ("person.coke", "torch", 1)
        assert len(row.samples_ms) == sum(row.slices) == SMALL.least
        assert {len(values) for values in row.stage_samples_ms.values()} == {len(row.samples_ms)}
        parts = np.sum(list(row.stage_samples_ms.values()), axis=0)
        assert (
            parts <= np.array(row.samples_ms) + 1e-3
        ).all()  # no stage is counted twice; samples are rounded
        assert row.stages_ms["other"] == pytest.approx(row.latency_ms.mean - parts.mean(), abs=1e-3)
        assert row.stages_ms["other"] < 0.1 * row.latency_ms.mean
        assert set(row.stages_ms) <= set(STAGES)
        assert (
            row.latency_ms.p50
            <= row.latency_ms.p99
            <= row.latency_ms.max
            == pytest.approx(max(row.samples_ms), abs=1e-3)
        )
        assert row.absent.keys() >= {"accuracy", "first_result_ms", "gpu_bytes"}
    assert whole.rows[1].fps_asked == 30
    assert len(table(result(found) or {}).splitlines()) == 2 + 2


def test_before_its_end_there_is_no_result(found: list[dict[str, Any]]) -> None:
    assert result([]) is None
    assert result(found[:-1]) is None


def test_a_network_that_breaks_or_is_wrong_is_a_row(monkeypatch: pytest.MonkeyPatch, model: Bundled) -> None:
    plan = Plan(networks=(("fp7", (1,), lanes.MODES),))
    *broken, last = bench.rows(Options(device="interpreter"), plan)
    assert [one["name"] for one in broken] == ["fp7, batch 1, back to back", "fp7, batch 1, paced"]
    assert {(one["status"], one["error"]) for one in broken} == {(FAILED, "KeyError: 'fp7'")}
    assert last["name"] == RUN
    assert last["result"]["extra"]["failed"].keys() == {one["name"] for one in broken}

    class Wrong:
        precision = "fp32"

        def pipeline(self, frame: Any, inverses: Any) -> Peaks:
            return Peaks(*(np.full((1, 2, 1, *more), 0.5, np.float32) for more in ((), (), (), (), (3, 3))))

    small = bench.smaller(model)
    row = bench.agreement(Wrong(), small, bench.generated(), "cpu")  # type: ignore[arg-type]
    assert row["status"] == FAILED


def test_a_network_that_counts_each_row_of_the_clutter_bank_once_is_wrong(model: Bundled) -> None:
    small, frames = bench.smaller(model), bench.generated()
    right = lanes.Network(small, "fp32", 1, frames, "cpu")
    wrong = lanes.Network(dataclasses.replace(small, counts=None), "fp32", 1, frames, "cpu")
    statuses = [bench.agreement(network, small, frames, "cpu")["status"] for network in (right, wrong)]
    assert statuses == [PASSED, FAILED]


def test_a_peak_that_neither_has_is_no_difference() -> None:
    inf, nan = np.inf, np.nan
    found = bench.apart(
        *(np.array(row, np.float32) for row in ([-inf, -inf, nan, 0.5], [-inf, 0.5, 0.5, 0.25]))
    )
    assert found.tolist() == [0, inf, inf, 0.25]


class Instant:
    """A network whose calls take as long as they are told to, and break after so many."""

    def __init__(self, seconds: float = 0.0, batch: int = 4, calls: float = math.inf) -> None:
        self.precision, self.batch, self.inverses, self.gpu_bytes = "fp16", batch, [], 5
        self.pipeline, self.seconds, self.calls = self, seconds, calls

    def stages(self, frame: Any, inverses: Any) -> tuple[None, dict[str, float]]:
        self.calls -= 1
        if self.calls < 0:
            raise torch.OutOfMemoryError(f"CUDA out of memory with {self.batch} objects.\nTried to allocate")
        time.sleep(self.seconds)
        return None, dict.fromkeys(("upload", "warp", "backbone", "head", "download"), 0.0)


class Ticking:
    """A counter of a GPU that takes 20 W, and moves ten times a second."""

    def __init__(self, clock: Any = time.perf_counter) -> None:
        self._clock = clock

    def joules(self) -> float:
        return 2.0 * int(10 * self._clock())


STILL = energy.NoCounter("there is none")


def lane(seconds: float, mode: str) -> Lane:
    return Lane(Instant(seconds), mode, bench.generated())  # type: ignore[arg-type]


def test_paced_calls_wait_for_their_frames(model: Bundled) -> None:
    plan = Plan(slices=2, seconds=0.0, least=4, fps=50.0, rule=Rule(calls=1, seconds=0.0, windows=1))
    early, late = (lane(seconds, "paced") for seconds in (0.0, 0.05))
    start = time.perf_counter()
    bench.measure([early], plan, STILL)
    assert time.perf_counter() - start >= 2 * (4 + plan.lead - 1) / 50
    assert early.slices == [4, 4]
    bench.measure([late], plan, STILL)
    assert late.late >= 8, "each call takes two frames and a half"
    assert min(late.samples) >= 50
    row = lane_row.row(late, model, plan, Smi(""))
    assert row["late_frames"] == late.late
    assert row["stages_ms"]["wait"] > 0
    assert row["gpu_bytes"] == 5
    assert row["fps"] < 4 * 50 / 2
    assert row["absent"]["gpu energy"] == row["absent"]["gpu power"] == "there is none"


def test_no_further_round_is_begun_when_time_is_over(model: Bundled) -> None:
    plan = Plan(slices=5, seconds=0.0, least=1, most_seconds=0.0, rule=Rule(calls=1, seconds=0.0, windows=1))
    one = lane(0.0, "back to back")
    bench.measure([one], plan, STILL)
    assert one.slices == [1]
    assert "time ran out after 1 rounds" in lane_row.row(one, model, plan, Smi(""))["notes"]


def test_energies_end_in_time(model: Bundled) -> None:
    plan = Plan(slices=1, seconds=0.0, least=1, energy_most=0.0, rule=Rule(calls=1, seconds=0.0, windows=1))
    one = lane(0.0, "back to back")
    bench.measure([one], plan, Ticking())
    row = lane_row.row(one, model, plan, Smi(""))
    assert row["absent"]["gpu energy"] == "no time was left for it"


def test_a_lane_that_runs_out_of_memory_is_alone_in_that(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One cannot be built, one breaks in its last round: the others are whole, and the JSON says what was."""

    def network(model: Any, precision: str, batch: int, frames: Any, device: str) -> Instant:
        if batch == 16:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return Instant(0.0, batch, 9 if batch == 4 else math.inf)

    monkeypatch.setattr(bench, "Network", network)
    monkeypatch.setattr(bench, "agreement", lambda *_: (_ for _ in ()).throw(ValueError("no truth")))
    modes = ("back to back",)
    plan = Plan(
        networks=(("fp16", (1, 4, 16), modes),), slices=3, seconds=0.0, lead=0, least=4, rule=SMALL.rule
    )
    report = Report(tmp_path, ["environment", "bench"])
    for one in bench.rows(Options(device="interpreter"), plan):
        report.add("bench", json.loads(json.dumps(one)))
    rows = {one["name"]: one for one in report.rows("bench")}
    assert rows["fp16 against the CPU"]["error"] == "ValueError: no truth"
    assert (
        rows["fp16, batch 4, back to back"]["error"] == "OutOfMemoryError: CUDA out of memory with 4 objects."
    )
    assert rows["fp16, batch 16, back to back"]["error"].startswith(
        "OutOfMemoryError: CUDA out of memory. Tried"
    )
    [good] = read_result(tmp_path / BENCH).rows
    assert (good.batch, good.slices) == (1, [4, 4, 4])
    failed = json.loads((tmp_path / BENCH).read_text())["extra"]["failed"]
    assert failed.keys() == {"fp16, batch 4, back to back", "fp16, batch 16, back to back"}
    assert report.failed


def test_energy_is_counted_from_move_to_move() -> None:
    now = [0.03]

    def call() -> None:
        now[0] += 0.007

    found = energy.energy(call, Ticking(lambda: now[0]), 1.0, lambda: now[0])
    assert found.joules / found.seconds == pytest.approx(20, rel=0.02)
    assert found.joules / found.calls == pytest.approx(20 * 0.007, rel=0.02)
    assert found.seconds >= 1.0
    with pytest.raises(energy.UncountedError, match="did not move for 1 s"):
        energy.energy(call, SimpleNamespace(joules=lambda: 5.0), 1.0, lambda: now[0])  # type: ignore[arg-type]


def test_energy_becomes_readings(model: Bundled) -> None:
    plan = Plan(
        slices=1, seconds=0.0, least=1, energy_seconds=0.1, rule=Rule(calls=1, seconds=0.0, windows=1)
    )
    one = lane(0.001, "back to back")
    bench.measure([one], plan, Ticking())
    assert len(one.samples) == 1, "calls whose energy is counted are no samples"
    sensors = lane_row.row(one, model, plan, Smi(""))["sensors"]
    assert sensors["gpu power"]["mean"] == pytest.approx(20, rel=0.5)
    assert sensors["gpu energy"]["unit"] == "J per frame"
    assert one.energy is not None
    watts = one.energy.joules / one.energy.seconds
    assert sensors["gpu power"]["mean"] == watts
    assert sensors["gpu energy"]["mean"] == pytest.approx(watts * one.energy.seconds / one.energy.calls)


class Nvml:
    """libnvidia-ml.so.1 with one GPU at 0000:65:00.0, which has taken 12.5 J."""

    def __init__(self, code: int = 0) -> None:
        self._code = code

    def nvmlInit_v2(self) -> int:  # noqa: N802 - NVIDIA's names
        return 0

    def nvmlDeviceGetHandleByPciBusId_v2(self, bus: bytes, device: Any) -> int:  # noqa: N802
        device._obj.value = 77
        return 0 if bus == b"0000:65:00.0" else 6

    def nvmlDeviceGetTotalEnergyConsumption(self, device: Any, millijoules: Any) -> int:  # noqa: N802
        assert device.value == 77
        millijoules._obj.value = 12_500
        return self._code


def test_nvmls_counter() -> None:
    assert energy.NvmlCounter("0000:65:00.0", lambda _: Nvml()).joules() == 12.5
    with pytest.raises(
        energy.UncountedError, match=r"refuses nvmlDeviceGetTotalEnergyConsumption with error 3"
    ):
        energy.NvmlCounter("0000:65:00.0", lambda _: Nvml(3)).joules()
    with pytest.raises(energy.UncountedError, match="refuses nvmlDeviceGetHandleByPciBusId_v2 with error 6"):
        energy.NvmlCounter("0000:01:00.0", lambda _: Nvml())
    with pytest.raises(energy.UncountedError, match="NVML has no nvmlInit_v2 here"):
        energy.NvmlCounter("0000:65:00.0", lambda _: object())
    with pytest.raises(energy.UncountedError, match="which GPU"):
        energy.NvmlCounter("")


class Allocator:
    """torch.cuda's statistics, with 900 bytes that another network holds and 100 that nobody does."""

    def __init__(self) -> None:
        self.held = self.peak = 900
        self.peak += 5000  # of the one before
        self.cached = 100

    def install(self, patch: pytest.MonkeyPatch) -> None:
        def reset() -> None:
            self.peak = self.held

        def empty() -> None:
            self.cached = 0

        for name, function in {
            "synchronize": lambda: None,
            "empty_cache": empty,
            "reset_peak_memory_stats": reset,
            "memory_allocated": lambda: self.held,
            "max_memory_allocated": lambda: self.peak,
        }.items():
            patch.setattr(torch.cuda, name, function)

    def take(self, size: int) -> None:
        self.held += size
        self.peak = max(self.peak, self.held)


def test_memory_is_that_of_one_network_at_its_highest(monkeypatch: pytest.MonkeyPatch) -> None:
    allocator = Allocator()
    allocator.install(monkeypatch)
    taken = memory.Taken("cuda")
    for size in (40, 200, -150):  # weights, and what the first call needed for a while
        allocator.take(size)
    assert taken.most() == 240
    assert allocator.cached == 0, "what others left lying about would have hidden what this one takes"
    assert memory.Taken("cpu").most() is None


def test_each_network_has_its_own_account(monkeypatch: pytest.MonkeyPatch, model: Bundled) -> None:
    """A network of the same precision or of another, made before, adds nothing."""
    small, allocator = bench.smaller(model), Allocator()
    allocator.install(monkeypatch)
    monkeypatch.setattr(lanes, "Taken", lambda device: memory.Taken("cuda"))
    sizes = iter((1000, 70, 30))

    class Pipeline:
        def __init__(self, parts: Any, device: str) -> None:
            allocator.take(next(sizes))

        def __call__(self, frame: Any, inverses: Any) -> None:
            pass

    monkeypatch.setattr(lanes, "TorchPipeline", Pipeline)
    frames = bench.generated()
    found = [lanes.Network(small, "fp32", batch, frames, "cpu").gpu_bytes for batch in (16, 1, 4)]
    assert found == [1000, 70, 30]


def test_jitter_has_no_steps_between_rounds() -> None:
    assert lane_row.latency([1.0, 2.0, 50.0, 51.0], [2, 2])["jitter"] == 1.0


def test_what_nvidia_smi_tells() -> None:
    code = "import sys, time\ngpu = sys.argv[1][-4:]\n"
    code += "for n in range(5): print(f'{1000 + n}, {gpu}, [N/A]', flush=True); time.sleep(0.01)"
    smi = Smi("0000:65:00.0", [sys.executable, "-c", code + "\ntime.sleep(60)"])
    start = time.perf_counter()
    try:
        while len(smi._samples) < 5:
            assert time.perf_counter() - start < 60
            time.sleep(0.01)
        found, absent = smi.readings([(start, time.perf_counter())])
        assert found["gpu clock"] == {"unit": "MHz", "mean": 1002, "least": 1000, "most": 1004, "count": 5}
        assert found["gpu memory clock"]["mean"] == 0.0  # "00.0": it was asked for that GPU
        assert absent == {"gpu temperature": "nvidia-smi does not know the gpu temperature"}
        assert smi.readings([(0.0, 1.0)]) == (
            {},
            dict.fromkeys(QUERIES, "nvidia-smi told nothing meanwhile"),
        )
    finally:
        smi.close()
        smi.close()
    missing = Smi("0000:65:00.0", ["no-such-program"])
    assert missing.readings([])[1]["gpu clock"] == "nvidia-smi cannot be run: No such file or directory"
    missing.close()
    nowhere = Smi("", ["no-such-program"])
    assert nowhere.readings([])[1]["gpu clock"] == "CUDA does not say which GPU it works on"
    nowhere.close()
