"""The benchmark of the head, without a GPU: forms against the definition, the arithmetic of floors and verdicts, and
the order of work with machines and forms that are made up."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_cuda import cubins, numpy_kernels

from coke_edge.benchmarks import (
    accuracy,
    cpu_forms,
    environment,
    forms,
    fused_forms,
    gpu,
    head,
    measure,
    sizes,
    table,
    verdict,
)
from coke_edge.benchmarks.definition import exact_maps
from coke_edge.benchmarks.forms import Inputs, random_inputs
from coke_edge.benchmarks.machine import Ceilings, Processor
from coke_edge.benchmarks.sizes import KEY_SIZES, Size
from coke_edge.benchmarks.timing import Call, Sampler, interleave, summary
from coke_edge.benchmarks.verdict import verdicts
from coke_edge.kernels import torch_reference
from coke_edge.kernels.driver import open_driver
from coke_edge.kernels.launch import Kernels
from coke_edge.kernels.targets import KernelError

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, in Triton's interpreter

SMALL = Size(height=6, width=8, channels=32, rows=70, keypoints=3)
CEILINGS = Ceilings(bandwidth=3e12, peak=6e14, launch_ms=0.001, two_launches_ms=0.002)


def small(**changes: Any) -> Size:
    return dataclasses.replace(SMALL, **changes)


SIZES = [
    small(),
    small(batch=3),
    small(soft=True),
    small(peaks=4),
    small(soft=True, peaks=4, layout="nhwc"),
    small(rows=0),
    small(rows=0, soft=True),
]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
@pytest.mark.parametrize("form", [forms.eager, forms.matmul_and_max, forms.compiled("eager")])
def test_forms_of_torch_compute_the_head(form: forms.Form, size: Size) -> None:
    inputs = random_inputs(size, "cpu", torch.float32)
    expected = torch_reference.match(inputs.features, inputs.prototypes, inputs.clutter, size.head)
    found = form(inputs)()
    assert isinstance(found, tuple)
    exists = expected.index >= 0  # a form may name any cell where there are fewer local maxima than peaks
    assert torch.equal(found[0].int()[exists], expected.index[exists])
    right = (expected.similarity, expected.clutter, expected.neighbourhood.flatten(3))
    for value, wanted in zip(found[1:], right, strict=True):
        torch.testing.assert_close(value[exists], wanted[exists], rtol=0, atol=2e-6)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
def test_forms_of_a_cpu_compute_the_head(size: Size) -> None:
    inputs = random_inputs(size, "cpu", torch.float32)
    found = cpu_forms.cpu_forms(1)
    expected = found["numpy definition"](inputs)()
    for name in ("torch twin", "ONNX Runtime"):
        for value, right in zip(found[name](inputs)(), expected, strict=True):  # type: ignore[call-overload]
            np.testing.assert_allclose(value, right, rtol=0, atol=5e-6, err_msg=name)


def test_the_fused_form_computes_the_head() -> None:
    inputs = random_inputs(small(soft=True, peaks=3), "cpu")
    found: Any = fused_forms.jit(inputs)()
    exact = [t.double() for t in (inputs.features, inputs.prototypes, inputs.clutter)]
    expected = torch_reference.match(exact[0], exact[1], exact[2], inputs.size.head)
    assert torch.equal(found.index, expected.index)
    torch.testing.assert_close(found.soft_clutter, expected.soft_clutter, rtol=0, atol=4e-6)


@dataclasses.dataclass
class OnTheDevice:
    """What a call of the binaries asks of its features: where they are, and how many."""

    address: int
    images: int

    def data_ptr(self) -> int:
        return self.address

    def __len__(self) -> int:
        return self.images


def test_binaries_as_a_form(fake_cuda: Any, tmp_path: Path) -> None:
    """The driver's own graph is timed, and memory is what the head says it has."""
    size = small(channels=128)
    fake_cuda.reset(name="Orin", capability=87)
    artifact = cubins.build(tmp_path, ["orin"])
    numpy_kernels.install(fake_cuda, artifact)
    driver = open_driver("cuda-python")
    form = fused_forms.Launched(driver, Kernels.of_folder(driver, tmp_path))
    given = random_inputs(size, "cpu")
    memory = driver.allocate(given.features.nbytes)
    fake_cuda.array(memory.address, given.features.shape, np.float16)[:] = given.features.numpy()
    inputs = dataclasses.replace(given, features=OnTheDevice(memory.address, size.batch))  # type: ignore[arg-type]
    row = measure.one_size(Processor(), [inputs, inputs], {"binaries": form}, 5, 1.0)["binaries"]
    assert "error" not in row
    assert row["extra_bytes"] >= 4 * size.keypoints * size.cells
    assert row["samples"] == 5
    launches = [launch.symbol for launch in fake_cuda.launches]
    assert launches.count("match") == launches.count("peaks") == 2 * (1 + 2 * (fused_forms.WARM_UPS + 5))
    driver.close()


def test_work_and_floor_of_the_key_size() -> None:
    size = Size()
    assert size.flops == 2 * 1024 * 128 * (16 + 2560)
    assert size.bytes_moved() == 2 * 128 * (1024 + 16 + 2560) + 13 * 4 * 16
    assert Size(batch=2, peaks=5).bytes_moved() == 2 * 128 * (2048 + 2576) + 13 * 4 * 2 * 16 * 5
    assert CEILINGS.roofline_ms(size) == pytest.approx(1000 * size.flops / 6e14)
    assert CEILINGS.roofline_ms(Size(rows=0)) == pytest.approx(1000 * Size(rows=0).bytes_moved() / 3e12)
    assert CEILINGS.floor_ms(size) == pytest.approx(0.001 + CEILINGS.roofline_ms(size))


def test_the_sizes_asked_for() -> None:
    grid = set(sizes.full())
    for batch in (1, 8, 64):
        for height, width in ((32, 32), (48, 56), (80, 120)):
            for rows in (0, 256, 2560, 16384):
                for channels in (64, 128, 256):
                    assert Size(batch, height, width, channels, rows) in grid
    assert sorted(h * w for h, w in sizes.MAPS) == [1024, 2688, 9600]
    assert tuple(sizes.chosen()[:2]) == KEY_SIZES
    assert len({size.name for size in grid}) == len(grid)


def test_samples_are_interleaved_and_end_in_time() -> None:
    order: list[str] = []

    def sampler(name: str) -> Sampler:
        def sample() -> float:
            order.append(name)
            return float(len(order))

        return sample

    found = interleave(
        {"a": sampler("a"), "b": sampler("b")}, rounds=50, seconds=13, clock=lambda: len(order)
    )
    assert order == ["a", "b"] * 7
    assert found == {"a": [1, 3, 5, 7, 9, 11, 13], "b": [2, 4, 6, 8, 10, 12, 14]}
    assert summary([3.0, 1.0, 2.0, 10.0]) == {
        "median_ms": 2.5, "least_ms": 1.0, "quarter_ms": 2.0, "three_quarters_ms": 3.0, "samples": 4,
    }  # fmt: skip


class Steps:
    """A machine whose calls take what a table says."""

    device = "cpu"
    cache_bytes = 300_000

    def __init__(self, milliseconds: dict[str, float], extra: dict[str, int]) -> None:
        self.milliseconds, self.extra = milliseconds, extra
        self.running = ""

    def form(self, name: str) -> forms.Form:
        def form(inputs: Inputs) -> Call:
            def call() -> None:
                self.running = name

            return call

        return form

    def sampler(self, calls: Sequence[Call]) -> Sampler:
        calls[0]()
        name = self.running
        if name == measure.COMPILED and len(calls) > 64:
            raise AssertionError
        return lambda: self.milliseconds[name]

    def extra_memory(self, call: Call) -> int | None:
        call()
        return self.extra[self.running]

    def ceilings(self) -> Ceilings | None:
        return CEILINGS


def measured(fused_ms: float, extra: int = 10_000, ratio: float = 0.5) -> list[dict[str, Any]]:
    times = {measure.FUSED: fused_ms, measure.UNFUSED: 0.04, measure.COMPILED: 0.03}
    machine = Steps(times, {measure.FUSED: extra, measure.UNFUSED: 10_000_000, measure.COMPILED: 5_000_000})
    chosen = [*KEY_SIZES[:1], SMALL]
    return list(
        measure.measure(
            machine,
            CEILINGS,
            chosen,
            {name: machine.form(name) for name in times},
            lambda _: {"error_ratio": ratio},
        )
    )


def test_rows_of_a_measurement() -> None:
    key, other = measured(0.002)
    assert key["forms"][measure.COMPILED]["median_ms"] == 0.03
    assert measure.COMPILED not in other["forms"]
    assert "error_ratio" not in other
    assert key["input_sets"] == 2
    assert other["input_sets"] > 2  # small inputs are rotated until they exceed the cache
    assert json.loads(json.dumps(key)) == key


def test_verdicts_know_what_is_met_and_what_was_not_measured() -> None:
    found = {v.target: v for v in verdicts(measured(0.002))}
    faster = found["batch 1: times faster than torch.compile, at least"]
    assert faster.value == pytest.approx(15)
    assert faster.met
    assert found["batch 1: time over the launch and roofline floor, at most"].met
    assert found["batch 1: extra memory over the unfused form's, less than"].met
    assert found["batch 1: error over that of plain float16 torch, at most"].value == 0.5
    batch_64 = found["batch 64: share of the roofline, at least"]
    assert (batch_64.value, batch_64.met) == (None, False)
    slow = {v.target: v for v in verdicts(measured(0.011, extra=100_000, ratio=2.1))}
    assert not any(v.met for v in slow.values())


def test_a_form_that_breaks_stops_no_other() -> None:
    def broken(inputs: Inputs) -> Call:
        raise RuntimeError("no compiler\nhere")

    rows = list(
        measure.measure(Processor(), None, [SMALL], {"broken": broken, "eager": forms.eager}, rounds=2)
    )
    assert rows[0]["forms"]["broken"] == {"error": "RuntimeError: no compiler"}
    assert rows[0]["forms"]["eager"]["samples"] == 2
    assert "failed: RuntimeError" in table.speed_table(rows)


def test_the_errors_of_fused_and_plain() -> None:
    found = accuracy.errors(random_inputs(small(rows=200), "cpu"))
    assert 0 < found["fused_error"] < 1e-6 < 1e-5 < found["plain_error"] < 1e-2
    assert found["error_ratio"] == pytest.approx(found["fused_error"] / found["plain_error"])


@pytest.mark.parametrize("step", [1, 5, 48])
def test_the_definition_in_pieces_is_the_definition(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from coke_edge.benchmarks import definition

    inputs = random_inputs(small(batch=2, soft=True, layout="nhwc"), "cpu", torch.float32)
    given = inputs.features, inputs.prototypes, inputs.clutter, inputs.counts, inputs.size.head
    whole = exact_maps(*given)
    monkeypatch.setattr(definition, "NUMPY_PRODUCTS", 0)
    monkeypatch.setattr(definition, "PRODUCTS", step * 2 * (70 + 3))
    for a, b in zip(exact_maps(*given), whole, strict=True):
        assert a.dtype == torch.float64
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_tables_and_document() -> None:
    rows = [{"ceilings": dataclasses.asdict(CEILINGS)}, *measured(0.002)]
    result = head.document(rows)
    assert [row["name"] for row in result["sizes"]] == ["B1 1024 cells C128 N2560", SMALL.name]
    text = head.tables(result)
    assert "| B1 1024 cells C128 N2560 | 2 µs | 40 µs | 30 µs |" in text
    assert "3 TB/s, 600 TFLOP/s (float16), 1 µs an empty kernel, 2 µs two" in text
    assert "| batch 64: share of the roofline, at least | 0.6 | not measured | false |" in text
    assert "9,766 KiB" in text


def test_the_cpu_run_writes_its_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sizes, "on_a_cpu", lambda: [SMALL])
    out = tmp_path / "deep" / "cpu.json"
    monkeypatch.setattr(sys, "argv", ["head", "--device", "cpu", "--out", str(out)])
    before = torch.get_num_threads()
    assert head.main() == 0
    torch.set_num_threads(before)
    written = json.loads(out.read_text())
    assert set(written["sizes"][0]["forms"]) == {
        "numpy definition", "torch twin", "torch eager", "matmul + max", "ONNX Runtime",
    }  # fmt: skip
    assert all("median_ms" in form for form in written["sizes"][0]["forms"].values())
    assert written["versions"]["numpy"] == np.__version__
    assert str(tmp_path) not in out.read_text()
    assert "ONNX Runtime" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_to_do() -> None:
    command = [sys.executable, "-m", "coke_edge.benchmarks.head"]
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
    assert found.returncode == 2
    assert "--device cpu" in found.stderr


def test_the_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """nvidia-smi is only asked, and an answer that cannot be read is none."""
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    values = ", ".join(f"v{n}" for n in range(len(environment.QUERIES)))
    tool.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\necho "{values}"\n')
    tool.chmod(0o755)
    monkeypatch.setattr(environment, "pci_bus", lambda: "0000:65:00.0")
    assert environment.nvidia_smi()["name"] == "v0"
    asked = (tmp_path / "asked").read_text().split()
    assert {word.split("=")[0] for word in asked} == {"--query-gpu", "--format", "--id"}
    assert "--id=0000:65:00.0" in asked  # the GPU that CUDA works on
    monkeypatch.setattr(environment, "pci_bus", lambda: "")
    tool.write_text(f'#!/bin/sh\necho "{values}"\necho "{values}"\n')
    assert environment.nvidia_smi() == {}  # of two GPUs, none is guessed
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert environment.nvidia_smi() == {}
    assert len(environment.fingerprint()) == 64


class Clockwork:
    """What the benchmark uses of torch.cuda, without a GPU: a graph records calls, and each takes a millisecond."""

    def __init__(self) -> None:
        self.now = 0.0
        self.recorded = 0
        self.calls = 0

    def call(self) -> None:
        self.calls += 1

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = self

        class Stream:
            def wait_stream(self, other: Any) -> None: ...

        class Graph:
            size = 0

            def replay(self) -> None:
                clock.now += self.size

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing

            def record(self) -> None:
                self.at = clock.now

            def synchronize(self) -> None: ...

            def elapsed_time(self, other: Any) -> float:
                return float(other.at - self.at)

        @contextlib.contextmanager
        def capture(graph: Graph) -> Iterator[None]:
            before = clock.calls
            yield
            graph.size = clock.calls - before

        stats = {"requested_bytes.all.current": 100, "requested_bytes.all.peak": 350}
        stand_ins: dict[str, Any] = {
            "Stream": Stream, "current_stream": Stream, "stream": lambda _: contextlib.nullcontext(),
            "CUDAGraph": Graph, "graph": capture, "Event": Event, "synchronize": lambda: None,
            "empty_cache": lambda: None, "reset_peak_memory_stats": lambda: None, "memory_stats": lambda: stats,
            "get_device_properties": lambda _: types.SimpleNamespace(L2_cache_size=12345),
        }  # fmt: skip
        for name, stand_in in stand_ins.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)


def test_a_gpu_s_times_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clockwork()
    clock.install(monkeypatch)
    machine = gpu.CudaGpu()
    assert machine.cache_bytes == 12345
    assert machine.sampler([clock.call] * 4)() == 1.0
    assert clock.calls == 2 + 4 + 4  # a warm-up of all, the first more often, then the capture
    assert machine.extra_memory(clock.call) == 250


def test_a_gpu_s_ceilings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every measured call is counted as a millisecond, whatever it does."""
    clock = Clockwork()
    clock.install(monkeypatch)
    monkeypatch.setattr(gpu.CudaGpu, "device", "cpu")
    monkeypatch.setattr(gpu, "COPY_BYTES", 4096)
    monkeypatch.setattr(gpu, "MATRIX", 8)
    monkeypatch.setattr(gpu, "EMPTY_KERNELS", 3)
    right = gpu.captured
    monkeypatch.setattr(
        gpu, "captured", lambda calls: right([lambda c=c: (c(), clock.call()) for c in calls])
    )
    found = gpu.CudaGpu().ceilings()
    assert found == Ceilings(
        bandwidth=2 * 4096 * 1000, peak=2 * 8**3 * 1000, launch_ms=1.0, two_launches_ms=1.0
    )


class SmallGpu(Processor):
    """The processor with ceilings, where a GPU is expected."""

    def ceilings(self) -> Ceilings:
        return CEILINGS


def test_a_run_on_a_gpu_from_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the processor in the GPU's place, and the kernels in the interpreter."""
    key = (small(height=4), small(height=4, batch=2))
    for module in (sizes, measure, verdict):
        monkeypatch.setattr(module, "KEY_SIZES", key)
    monkeypatch.setattr(sizes, "chosen", lambda: [*key, small(height=4, rows=0)])
    monkeypatch.setattr(gpu, "CudaGpu", SmallGpu)
    monkeypatch.setattr(measure, "MOST_ROUNDS", 1)
    eager = forms.compiled("eager")
    monkeypatch.setattr(forms, "compiled", lambda: eager)

    def no_driver(size: Size) -> Any:
        raise KernelError("cannot import pycuda")

    monkeypatch.setattr(fused_forms, "built", no_driver)
    rows = list(head.on_a_gpu())
    result = head.document(rows)
    assert [row["name"] for row in result["sizes"]] == [size.name for size in sizes.chosen()]
    assert result["binaries"] == "not measured: cannot import pycuda"
    assert not any("error" in form for row in result["sizes"] for form in row["forms"].values())
    assert set(result["sizes"][0]["forms"]) == {"fused", "torch eager", "matmul + max", "torch.compile"}
    values = {v["target"]: v["value"] for v in result["verdicts"]}
    assert None not in [value for target, value in values.items() if "memory" not in target]
    assert "| torch.compile |" in head.tables(result)
