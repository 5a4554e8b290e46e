"""The section "bench" of the GPU check without a GPU: the packaged model read without packages, and a whole result."""

from __future__ import annotations

import json
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from coke_edge.benchmarks.bench.result import Result, read_result
from coke_edge.benchmarks.bench.steady import Rule
from coke_edge.benchmarks.gpu_check import bench, lanes, onnx_file
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

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, on −∞, in the interpreter


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other make a busy machine slow."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


def test_it_computes_what_onnx_runtime_does(model: Bundled) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (1, model.height, model.width, 3), np.uint8)
    with torch.inference_mode():
        features = model.network(torch.from_numpy(crops))
        found = match(features, model.prototypes, model.clutter, model.head)
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
        assert sum(row.stages_ms.values()) == pytest.approx(row.latency_ms.mean)
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
    first, last = bench.rows(Options(device="interpreter"), plan)
    assert (first["status"], first["error"]) == (FAILED, "KeyError: 'fp7'")
    assert last["name"] == RUN

    class Wrong:
        precision = "fp32"

        def pipeline(self, frame: Any, inverses: Any) -> Peaks:
            return Peaks(*(np.full((1, 2, 1, *more), 0.5, np.float32) for more in ((), (), (), (), (3, 3))))

    small = bench.smaller(model)
    row = bench.agreement(Wrong(), small, bench.generated(), "cpu")  # type: ignore[arg-type]
    assert row["status"] == FAILED


class Instant:
    """A pipeline that takes as long as it is told to."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.precision, self.pipeline = "fp16", self

    def stages(self, frame: Any, inverses: Any) -> tuple[None, dict[str, float]]:
        time.sleep(self.seconds)
        return None, dict.fromkeys(("upload", "warp", "backbone", "head", "download"), 0.0)

    def gpu_bytes(self) -> int:
        return 5


def lane(seconds: float, mode: str, model: Bundled) -> Lane:
    return Lane(Instant(seconds), model, 4, mode, bench.generated())  # type: ignore[arg-type]


def test_paced_calls_wait_for_their_frames(model: Bundled) -> None:
    plan = Plan(slices=2, seconds=0.0, least=4, fps=50.0, rule=Rule(calls=1, seconds=0.0, windows=1))
    early, late = (lane(seconds, "paced", model) for seconds in (0.0, 0.05))
    start = time.perf_counter()
    bench.measure([early], plan)
    assert time.perf_counter() - start >= 2 * (4 + plan.lead - 1) / 50
    assert early.slices == [4, 4]
    bench.measure([late], plan)
    assert late.late >= 8, "each call takes two frames and a half"
    assert min(late.samples) >= 50
    row = lanes.row(late, model, plan, Smi(["false"]))
    assert row["late_frames"] == late.late
    assert row["stages_ms"]["wait"] > 0
    assert row["gpu_bytes"] == 5
    assert row["fps"] < 4 * 50 / 2


def test_no_further_round_is_begun_when_time_is_over(model: Bundled) -> None:
    plan = Plan(slices=5, seconds=0.0, least=1, most_seconds=0.0, rule=Rule(calls=1, seconds=0.0, windows=1))
    one = lane(0.0, "back to back", model)
    bench.measure([one], plan)
    assert one.slices == [1]
    assert lanes.row(one, model, plan, Smi(["false"]))["notes"] == ["time ran out after 1 rounds"]


def test_what_nvidia_smi_tells() -> None:
    code = "import time\nfor n in range(5): print(f'{1000 + n}, 2000, [N/A], 70.5', flush=True); time.sleep(0.01)"
    smi = Smi([sys.executable, "-c", code + "\ntime.sleep(60)"])
    start = time.perf_counter()
    try:
        while len(smi._samples) < 5:
            assert time.perf_counter() - start < 60
            time.sleep(0.01)
        found, absent = smi.readings([(start, time.perf_counter())])
        assert found["gpu clock"] == {"unit": "MHz", "mean": 1002, "least": 1000, "most": 1004, "count": 5}
        assert found["gpu power"]["mean"] == 70.5
        assert absent == {"gpu temperature": "nvidia-smi does not know the gpu temperature"}
        assert smi.readings([(0.0, 1.0)]) == (
            {},
            dict.fromkeys(QUERIES, "nvidia-smi told nothing meanwhile"),
        )
    finally:
        smi.close()
        smi.close()
    missing = Smi(["no-such-program"])
    assert missing.readings([])[1]["gpu clock"] == "nvidia-smi cannot be run: No such file or directory"
    missing.close()
