"""The GPU check without a GPU: its sections at small sizes in the interpreter, binaries over the fake driver, wrong
kernels that it has to notice, and what becomes of sections that break, hang or run out of time."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_cuda import cubins, numpy_kernels
from triton.runtime.interpreter import InterpreterBuilder

from coke_edge.benchmarks.gpu_check import __main__ as command
from coke_edge.benchmarks.gpu_check import (
    binaries,
    cases,
    check,
    crops,
    exercise,
    launched,
    matching,
    operator_in_torch,
    process,
    report,
    sanitizer,
    sections,
    speed,
    surroundings,
    tune,
)
from coke_edge.benchmarks.gpu_check.agreement import agreement
from coke_edge.benchmarks.gpu_check.cases import Case, Problem
from coke_edge.benchmarks.gpu_check.rows import FAILED, MEASURED, PASSED, SKIPPED, Options, Row, checked, row
from coke_edge.benchmarks.gpu_check.section import within
from coke_edge.benchmarks.gpu_check.sections import SECTIONS, Section
from coke_edge.kernels import aot, plan, torch_reference
from coke_edge.kernels.artifact import Artifact
from coke_edge.kernels.spec import HeadSpec
from coke_edge.kernels.torch_reference import Peaks

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, on NaN, in the interpreter

ROOT = Path(__file__).parents[2]
SMALL = Options(device="interpreter")


def failed(rows: list[Row]) -> list[Row]:
    return [found for found in rows if found["status"] == FAILED]


# The head's kernels


def test_the_kernels_pass_in_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "MANNERS", cases.MANNERS[:2])
    monkeypatch.setattr(cases, "SMALL_SHAPES", cases.SMALL_SHAPES[:2])
    found = list(matching.rows(SMALL, "fp16"))
    assert failed(found) == []
    assert len(found) == 2 + 6 + 2 + 2
    assert all(0 <= one["error"] < 1e-6 for one in found)


def test_bfloat16_passes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton 3.9's interpreter would multiply the bits of bfloat16, so they are widened before a product."""
    import triton.language as tl
    from triton.runtime.interpreter import TensorHandle

    dot = InterpreterBuilder.create_dot

    def widened(handle: Any) -> Any:
        if handle.data.dtype != np.uint16:
            return handle
        return TensorHandle((handle.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    monkeypatch.setattr(
        InterpreterBuilder, "create_dot", lambda self, a, b, *rest: dot(self, widened(a), widened(b), *rest)
    )
    monkeypatch.setattr(
        matching, "cases", lambda dtype, small: [Case((2, 48, 3, 5, 4, 70), dtype, "margin", True, 2)]
    )
    assert [one["status"] for one in matching.rows(SMALL, "bf16")] == [SKIPPED]
    found = list(matching.rows(SMALL, "bf16", matching.fused_match))
    assert len(found) == 3
    assert failed(found) == []


def test_every_case_of_a_gpu_can_be_made_and_has_a_name_of_its_own() -> None:
    for dtype in cases.DTYPES:
        found = cases.cases(dtype, small=False)
        assert len({case.name for case in found}) == len(found)
        shapes = np.array([case.shape for case in found])
        cells = shapes[:, 2] * shapes[:, 3]
        assert cells.min() == 1
        assert cells.max() == 100_000
        assert (shapes[:, 4].min(), shapes[:, 4].max()) == (1, 256)
        assert (shapes[:, 5].min(), shapes[:, 5].max()) == (0, 65_536)
        assert (shapes[:, 1].min(), shapes[:, 1].max()) == (32, 512)
        assert {case.layout for case in found} == set(cases.LAYOUTS)
        assert {case.peaks for case in found} >= {1, 5}
    for case in found:
        if np.prod(case.shape[:4]) < 100_000:
            assert cases.problem(case, "cpu").features.shape == case.shape[:4]


def twin(given: Problem, case: Case) -> Peaks:
    return torch_reference.match(given.features, given.prototypes, given.clutter, case.head, given.counts)


def shifted(given: Problem, case: Case) -> Peaks:
    found = twin(given, case)
    return found._replace(index=torch.where(found.index > 0, found.index - 1, found.index))


def scaled(given: Problem, case: Case) -> Peaks:
    found = twin(given, case)
    return found._replace(similarity=found.similarity * 1.001)


def unwritten(given: Problem, case: Case) -> Peaks:
    found = twin(given, case)
    around = torch.empty_like(found.neighbourhood)  # what poisoned memory is for
    return found._replace(neighbourhood=around)


class Moody:
    """Another last bit at every call."""

    calls = 0

    def __call__(self, given: Problem, case: Case) -> Peaks:
        self.calls += 1
        found = twin(given, case)
        return found._replace(clutter=found.clutter + 1e-6 * (self.calls % 2))


def raising(given: Problem, case: Case) -> Peaks:
    raise RuntimeError("CUDA error: an illegal memory access\nwas encountered")


CASE = Case((2, 32, 6, 7, 3, 70), "fp32", "margin", True, 2)


def test_the_twin_is_right() -> None:
    assert matching.one(CASE, "cpu", twin)["status"] == PASSED


WRONG = {"shifted": shifted, "scaled": scaled, "unwritten": unwritten, "moody": Moody()}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_kernels_are_noticed(name: str) -> None:
    assert matching.one(CASE, "cpu", WRONG[name])["status"] == FAILED


def test_a_kernel_that_breaks_is_a_row() -> None:
    found = list(matching.rows(SMALL, "fp32", raising))
    assert found[0]["status"] == FAILED
    assert found[0]["error"] == "RuntimeError: CUDA error: an illegal memory access"
    assert len(found) == len(cases.cases("fp32", small=True))


def test_two_cells_that_rounding_cannot_tell_apart_are_both_right() -> None:
    features = torch.zeros(1, 2, 1, 5, dtype=torch.float64)
    features[0, 0] = 1
    features[0, 1] = torch.tensor([3.0, 1e-6, 2.0, 0.0, 1.0])
    head = HeadSpec("similarity", 0.07, 1.0)
    maps = torch_reference.score_maps(
        features, torch.eye(2, dtype=torch.float64)[:1], torch.zeros(0, 2), head
    )
    exact = torch_reference.find_peaks(maps, 1)
    assert exact.index.item() == 3
    around = torch_reference.neighbourhoods(maps.score)[0, 0, 0, 1].float()
    near = exact._replace(
        index=torch.tensor([[[1]]], dtype=torch.int32), neighbourhood=around[None, None, None]
    )
    found = agreement(near, maps, head, True, 1e-5)
    assert (found.near_ties, found.wrong, found.within(1e-5)) == (1, 0, True)
    assert agreement(near, maps, head, True, 0.0).wrong == 1  # where products are exact there are no two ways
    worse = exact._replace(index=torch.tensor([[[2]]], dtype=torch.int32))
    assert agreement(worse, maps, head, True, 1e-5).wrong == 1
    outside = exact._replace(index=torch.tensor([[[5]]], dtype=torch.int32))
    assert agreement(outside, maps, head, True, 1e-5).wrong == 1
    missing = exact._replace(index=torch.tensor([[[-1]]], dtype=torch.int32))
    assert agreement(missing, maps, head, True, 1e-5).wrong == 1


def test_the_wrong_one_of_equal_cells_is_noticed() -> None:
    case = Case((1, 32, 6, 9, 2, 2), "fp16", special="flat")

    def another(given: Problem, case: Case) -> Peaks:
        """Inside the map, and right in all but its place."""
        right = twin(given, case)
        centre = right.neighbourhood[..., 1:2, 1:2]
        return right._replace(
            index=torch.full_like(right.index, 4 * 9 + 7), neighbourhood=centre.expand(-1, -1, -1, 3, 3)
        )

    assert matching.one(case, "cpu", twin)["status"] == PASSED
    wrong = matching.one(case, "cpu", another)
    assert (wrong["status"], wrong["error"], wrong["wrong"]) == (FAILED, 0.0, 2)


def test_memory_is_poisoned_only_inside() -> None:
    with matching.poisoned_memory():
        assert torch.empty(1000).isnan().all()
        assert (torch.empty(1000, dtype=torch.int32) == torch.iinfo(torch.int32).max).all()
    assert not torch.are_deterministic_algorithms_enabled()


# Crops, the operator, tuning, the benchmark


def test_crops_pass_in_the_interpreter() -> None:
    found = list(crops.rows(SMALL))
    assert failed(found) == []
    assert len(found) == 4


def test_a_wrong_crop_is_noticed() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    affines = crops.crop_to_frame((20, 30), (8, 9))
    right = crops.definition(frame, affines, (8, 9))
    assert crops.judged("right", right, frame, affines, (8, 9), "fp32")["status"] == PASSED
    for wrong in (
        right[:, ::-1],
        right + 1.5,
        np.where(right == right.max(), np.nan, right),
        np.roll(right, 1, 3),
    ):
        assert crops.judged("wrong", wrong, frame, affines, (8, 9), "fp32")["status"] == FAILED


def test_the_definition_of_crops_is_opencv_s() -> None:
    cv2 = pytest.importorskip("cv2")
    frame = np.random.default_rng(0).integers(0, 256, (61, 83, 3), np.uint8)
    affines = crops.crop_to_frame((61, 83), (33, 51))
    found = crops.definition(frame, affines, (33, 51))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for levels, affine in zip(found[:-1], affines, strict=False):
        expected = cv2.warpAffine(
            frame,
            affine.astype(float),
            (51, 33),
            flags=flags,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=crops.BORDER,
        )
        apart = np.abs(levels - expected[..., ::-1].transpose(2, 0, 1))
        # OpenCV 4 moves positions to the next 1/32 pixel, OpenCV 5 does not.
        assert apart.max() <= (1 if int(cv2.__version__.split(".")[0]) >= 5 else 12)


def test_the_operator_passes() -> None:
    found = list(operator_in_torch.rows(SMALL))
    assert [one["status"] for one in found] == [PASSED, SKIPPED]


class Alternating:
    """A machine on which the second tile that it is given is the fastest."""

    device, cache_bytes = "cpu", 0
    given = 0

    def sampler(self, calls: Any) -> Any:
        self.given += 1
        fastest = self.given == 3  # two cuts belong to the first tile
        calls[0]()
        return lambda: 1.0 if fastest else 2.0

    def extra_memory(self, call: Any) -> None:
        return None

    def ceilings(self) -> None:
        return None


def test_tuning_finds_the_fastest_tile(tmp_path: Path) -> None:
    (found,) = tune.rows(SMALL, Alternating())
    assert found["status"] == MEASURED
    assert (found["best_ms"], found["default_ms"], found["tried"]) == (1.0, 2.0, 6)
    kept = report.Report(tmp_path, ["environment", "tune"])
    kept.add("tune", found)
    (tile,) = json.loads((tmp_path / "tiles.json").read_text())["tiles"]
    known = json.loads(plan.TABLE.read_text())["tiles"][0]
    assert tile.keys() == known.keys()
    assert found["best"].startswith(f"{tile['block_cells']}×{tile['block_rows']}×{tile['block_channels']}")
    assert "time of the default" in (tmp_path / "gpu-check.md").read_text()


def test_every_share_of_the_tiles_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    size = tune.Size(height=4, width=4, channels=32, rows=70, keypoints=2)
    done: list[tune.Cut] = []

    def respond(inputs: Any, cut: tune.Cut) -> None:
        done.append(cut)
        if len(done) == 2:
            raise RuntimeError("out of shared memory")  # stops no other

    monkeypatch.setattr(tune, "respond", respond)
    for first in range(3):
        tune.compile_share([size], torch.float16, first, 3, "cpu")
    tiles = tune.tiles_of(tune.random_inputs(size, "cpu"))[1]
    assert len(done) == len(tiles)
    assert {tile for tile, _ in done} == set(tiles)


def test_a_tile_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    right, calls = tune.maps, []

    def maps(inputs: Any, cut: tune.Cut) -> Any:
        calls.append(cut)
        similarity, response = right(inputs, cut)
        return similarity, response + (0.1 if len(calls) == 3 else 0)  # the first is the default's

    monkeypatch.setattr(tune, "maps", maps)
    (found,) = tune.rows(SMALL, Alternating())
    assert list(found["refused"].values()) == ["ValueError: its maps are not those of the default tile"]


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


# Binaries, over the fake driver


@pytest.fixture
def orin(fake_cuda: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A pretended Orin; what is built for it computes in numpy."""
    fake_cuda.reset(name="Orin", capability=87)

    def build(names: list[str], folder: Path, channels: int, dtypes: Any, plugin: bool) -> Artifact:
        assert (names, plugin) == (["orin"], True)
        found = cubins.build(folder, names, channels)
        numpy_kernels.install(fake_cuda, found)
        return found

    monkeypatch.setattr(aot, "build", build)
    monkeypatch.setattr(launched, "SHAPES", ((3, 5, 8, 7, 65), (2, 5, 8, 3, 0)))
    return fake_cuda


def test_binaries_pass_over_the_fake_driver(orin: Any, tmp_path: Path) -> None:
    given = cubins.build(tmp_path, ["orin"])
    numpy_kernels.install(orin, given)
    found = list(binaries.rows(Options(kernels=str(tmp_path)), "cuda-python"))
    assert failed(found) == []
    names = {one["name"] for one in found}
    for origin in ("built here", "given"):
        for binary in given.binaries:
            if not binary.name.startswith("peaks"):
                assert any(name.startswith(f"{origin}: {binary.name}") for name in names)
    assert orin.alive() == {}


def test_a_wrong_binary_is_noticed(orin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = numpy_kernels.peaks

    def wrong(call: Any) -> None:
        right(call)
        words = call.array("packed", 1)
        words += 1

    monkeypatch.setattr(numpy_kernels, "peaks", wrong)
    found = failed(list(binaries.rows(Options(), "cuda-python")))
    assert found
    assert all("match" in one["name"] for one in found)


def test_a_folder_without_kernels_is_a_row(orin: Any, tmp_path: Path) -> None:
    found = list(binaries.rows(Options(kernels=str(tmp_path)), "cuda-python"))
    (broken,) = failed(found)
    assert "kernels.json" in broken["error"]
    cubins.build(tmp_path, ["h100"])
    found = list(binaries.rows(Options(kernels=str(tmp_path)), "cuda-python"))
    assert found[-1]["reason"] == "it holds nothing for Orin"


def test_binaries_without_the_package_or_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one["status"] for one in binaries.rows(SMALL, "cuda-python")] == [SKIPPED]
    monkeypatch.setitem(binaries.MODULES, "pycuda", "no_such_module_here")
    (found,) = binaries.rows(Options(), "pycuda")
    assert found["reason"].startswith("pycuda cannot be imported")


# The sanitizer


def fake_tool(folder: Path, script: str) -> None:
    tool = folder / "compute-sanitizer"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 0", PASSED),
        ("echo '========= Invalid __global__ read of size 4'; exit 9", FAILED),
        ("echo 'Error: Device not supported'; exit 255", SKIPPED),
        ("sleep 60", SKIPPED),
    ],
    ids=["clean", "found", "unsupported", "slow"],
)
def test_what_the_sanitizer_says(
    script: str, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tool(tmp_path, f'echo "$@" >> {tmp_path}/asked\n{script}')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sanitizer, "SECONDS", 0.5)
    found = list(sanitizer.rows(Options()))
    assert [one["status"] for one in found] == [status, status]
    asked = (tmp_path / "asked").read_text()
    assert "--tool memcheck" in asked
    assert "--tool racecheck" in asked
    assert "gpu_check.exercise" in asked


def test_without_the_sanitizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sanitizer, "find_tool", lambda: None)
    assert [one["status"] for one in sanitizer.rows(Options())] == [SKIPPED, SKIPPED]


def test_what_the_sanitizer_watches_is_right(capsys: Any) -> None:
    assert exercise.main("cpu") == 0
    assert "exercised 2 cases, wrong: []" in capsys.readouterr().out


# Sections, their processes, the report


def made_up(name: str, rows: list[Row] | Exception, seconds: float = 10.0, timed: bool = False) -> Section:
    class MadeUp(Section):
        def rows(self, options: Options) -> Iterator[Row]:
            if isinstance(rows, Exception):
                raise rows
            yield from rows

    return MadeUp(name, "nowhere", seconds, timed)


def in_process(section: Section, options: Options, seconds: float, log: Path) -> Iterator[Row]:
    if section.name == SECTIONS[0].name:
        yield row(surroundings.GPU, MEASURED, found={"name": "a GPU"})
    else:
        yield from within(section, options, seconds)


def test_a_section_that_breaks_or_runs_out_of_time_says_so(capsys: Any) -> None:
    good = [checked(str(n), True) for n in range(5)]
    assert list(within(made_up("good", good), SMALL, 10)) == good
    found = list(within(made_up("broken", ValueError("no")), SMALL, 10))
    assert found == [{"name": "section", "status": FAILED, "error": "ValueError: no"}]
    now = iter(range(100))
    found = list(within(made_up("slow", good), SMALL, 2, clock=lambda: next(now)))
    assert [one["status"] for one in found] == [PASSED, PASSED, PASSED, "cut"]


def test_a_failing_section_stops_no_other_and_fails_the_check(tmp_path: Path, capsys: Any) -> None:
    chosen = [
        made_up("first", ValueError("it broke")),
        made_up("second", [checked("fine", True, error=1e-7)]),
        made_up("third", [row("a | b", SKIPPED, reason="not here")], timed=True),
    ]
    assert check.check(chosen, Options(), tmp_path, 100, 2, in_process) == 1
    written = json.loads((tmp_path / "gpu-check.json").read_text())
    assert written["failed"]
    assert [len(s["rows"]) for s in written["sections"].values()] == [1, 1, 1, 1]
    text = (tmp_path / "gpu-check.md").read_text()
    assert "| first | section | failed | error ValueError: it broke |" in text
    assert "| second | 1 | 0 | 0 | 0 | 1e-07 | 0 s |" in text
    assert "| third | a \\| b | skipped | reason not here |" in text
    assert check.check(chosen[1:], Options(), tmp_path, 100, 2, in_process) == 0


def test_without_a_gpu_nothing_is_checked(tmp_path: Path, capsys: Any) -> None:
    def nothing(section: Section, options: Options, seconds: float, log: Path) -> Iterator[Row]:
        assert section.name == "environment"
        yield row(surroundings.GPU, MEASURED, found={})

    assert check.check(SECTIONS[:4], Options(), tmp_path, 100, 2, nothing) == 2
    assert "no NVIDIA GPU" in capsys.readouterr().err


def test_a_process_that_cannot_start_stops_no_other(tmp_path: Path, capsys: Any) -> None:
    def run(section: Section, options: Options, seconds: float, log: Path) -> Iterator[Row]:
        if section.name == "first":
            raise OSError("no memory")
        yield from in_process(section, options, seconds, log)

    chosen = [made_up("first", []), made_up("second", [checked("fine", True)])]
    assert check.check(chosen, Options(), tmp_path, 100, 1, run) == 1
    assert "| second | 1 |" in (tmp_path / "gpu-check.md").read_text()


def test_no_time_left(tmp_path: Path, capsys: Any) -> None:
    chosen = [made_up("late", [checked("x", True)])]
    check.check(chosen, Options(), tmp_path, 1, 1, in_process)
    written = json.loads((tmp_path / "gpu-check.json").read_text())
    assert written["sections"]["late"]["rows"][0]["status"] == "cut"


def test_the_report_is_whole_after_every_row(tmp_path: Path) -> None:
    kept = report.Report(tmp_path / "deep", ["environment", "speed"])
    for n in range(3):
        kept.add("environment", row(f"row {n}", MEASURED, value=float("nan")))
        written = json.loads((tmp_path / "deep" / "gpu-check.json").read_text())
        assert len(written["sections"]["environment"]["rows"]) == n + 1
    assert written["sections"]["environment"]["rows"][0]["value"] == "nan"
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["gpu-check.json", "gpu-check.md"]


def test_a_process_that_dies_or_hangs_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python"
    script.write_text(
        '#!/bin/sh\necho \'{"name": "one", "status": "passed"}\'\n'
        'case "$3" in warp) kill -SEGV $$;; "torch operator") printf half;; *) sleep 60;; esac\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(process.sys, "executable", str(script))
    monkeypatch.setattr(process, "GRACE", 0.5)
    log = tmp_path / "log"
    dead = list(process.section_rows(sections.named("warp"), SMALL, 30, log))
    assert [one["status"] for one in dead] == [PASSED, FAILED]
    assert "-11" in dead[1]["error"]
    half = list(process.section_rows(sections.named("torch operator"), SMALL, 30, log))
    assert "not whole" in half[1]["error"]
    start = time.monotonic()
    hung = list(process.section_rows(sections.named("speed"), SMALL, 0.5, log))
    assert [one["status"] for one in hung] == [PASSED, FAILED]
    assert time.monotonic() - start < 20
    assert log.read_text().count("==") == 3


def test_triton_s_cache_leaves_a_home_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TRITON_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "TRITON_CACHE_DIR" not in process.surroundings(Options())
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    assert Path(process.surroundings(Options())["TRITON_CACHE_DIR"]).parent.is_dir()
    monkeypatch.setenv("TRITON_CACHE_DIR", "given")
    assert process.surroundings(Options())["TRITON_CACHE_DIR"] == "given"


def test_every_section_has_its_rows_and_all_fit_in_eight_minutes() -> None:
    for section in SECTIONS:
        if section.module in ("surroundings", "sanitizer", "speed"):
            assert list(section.rows(SMALL))
        else:
            assert isinstance(section.rows(SMALL), Iterator)
    side_by_side = max(s.seconds for s in SECTIONS[1:] if not s.timed)
    alone = sum(
        s.seconds for s in (SECTIONS[0], *SECTIONS) if (s.timed or s is SECTIONS[0]) and not s.asked_for
    )
    assert side_by_side + alone <= 480
    assert len({section.name for section in SECTIONS}) == len(SECTIONS)


@pytest.mark.parametrize("bare", [False, True], ids=["installed", "bare checkout"])
def test_the_command(bare: bool, tmp_path: Path) -> None:
    """From the root of a checkout nothing need be installed: `-S` leaves out what an editable install adds.

    What a device has besides numpy is not there either.
    """
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    if bare:
        missing = tmp_path / "missing"
        missing.mkdir()
        for name in ("msgspec", "cv2", "onnxruntime", "safetensors", "timm", "typer", "rich"):
            (missing / f"{name}.py").write_text(f"raise ModuleNotFoundError({name!r}, name={name!r})")
        environment["PYTHONPATH"] = os.pathsep.join([str(missing), sysconfig.get_paths()["purelib"]])
    python = [sys.executable, *(["-S"] if bare else [])]
    expected = (
        {"warp": [PASSED] * 4, "bench": [PASSED, *[MEASURED] * 3]} if bare else {"sanitizer": [SKIPPED] * 2}
    )
    asked = ["--device", "interpreter", "--out", str(tmp_path), "--only", *expected]
    found = subprocess.run(
        [*python, "-m", "coke_edge.benchmarks.gpu_check", *asked],
        capture_output=True, text=True, cwd=ROOT if bare else tmp_path, env=environment,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr + (tmp_path / "gpu-check.log").read_text()
    written = json.loads((tmp_path / "gpu-check.json").read_text())
    statuses = {name: [one["status"] for one in s["rows"]] for name, s in written["sections"].items()}
    assert statuses == {"environment": [MEASURED] * 6, **expected}
    assert "# GPU check" in found.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_command_without_a_gpu(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "coke_edge.benchmarks.gpu_check", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 2
    assert "There is no NVIDIA GPU that torch can use here" in found.stderr


def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert command.main(["--out", str(file / "deep"), "--device", "interpreter"]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_tuning_runs_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[list[str]] = []
    monkeypatch.setattr(command, "check", lambda found, *_: chosen.append([s.name for s in found]) or 0)
    for arguments in ([], ["--tune"], ["--only", "tune"]):
        command.main(["--out", "x", *arguments])
    assert [("tune" in names, "speed" in names) for names in chosen] == [
        (False, True),
        (True, True),
        (True, False),
    ]


# The package in a bare checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The folders that a checkout holds, copied."""
    ignored = shutil.ignore_patterns("__pycache__", "assets")
    for name in ("coke_edge", "kernels"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name, ignore=ignored)
    return tmp_path / "checkout"


def imported(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a folder, with the site packages but without what an editable install adds to them."""
    surroundings = {**os.environ, "PYTHONPATH": sysconfig.get_paths()["purelib"]}
    command = [sys.executable, "-S", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=surroundings)


def test_the_kernels_beside_the_package_are_its_own(checkout: Path) -> None:
    code = "import coke_edge.kernels.plan as p; print(p.__file__)"
    assert imported(checkout, code).stdout.strip() == str(checkout / "kernels" / "plan.py")


def test_a_stranger_called_kernels_is_not(checkout: Path) -> None:
    """Installed, the kernels are inside the package; what stands beside it in site-packages is somebody else's."""
    (checkout / "kernels").rename(checkout / "coke_edge" / "kernels")
    (checkout / "kernels").mkdir()
    (checkout / "kernels" / "reference.py").write_text("")
    code = "import coke_edge, coke_edge.kernels as k; print(k.__file__, len(coke_edge.__path__))"
    assert (
        imported(checkout, code).stdout.strip() == f"{checkout / 'coke_edge' / 'kernels' / '__init__.py'} 1"
    )
    shutil.rmtree(checkout / "coke_edge" / "kernels")
    (checkout / "kernels" / "reference.py").unlink()
    assert "ModuleNotFoundError" in imported(checkout, "import coke_edge.kernels").stderr


def test_the_compiler_starts_in_a_bare_checkout(checkout: Path) -> None:
    """`kernels/aot.py` runs itself in a process of its own, which has to find the package as well."""
    code = (
        "from coke_edge.kernels import aot, targets\nfrom pathlib import Path\n"
        "try: aot.compile_apart(targets.TARGETS['orin'], 7, ('fp16',), Path('x'))\n"
        "except targets.KernelError as error: print(error)"
    )
    found = imported(checkout, code)
    assert "channels must be a multiple of 8" in found.stdout, found.stderr


def test_options_travel_as_json() -> None:
    options = Options("interpreter", "somewhere")
    assert Options(**json.loads(json.dumps(dataclasses.asdict(options)))) == options
