"""The head on a GPU that is not there: both drivers on the fake libcuda, held against the numpy definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fake_cuda import FakeCuda
from numpy.typing import NDArray

from coke_edge.kernels import plan, reference
from coke_edge.kernels.driver import Buffer, Driver
from coke_edge.kernels.features import FeatureMaps
from coke_edge.kernels.gpu_banks import rounded
from coke_edge.kernels.gpu_head import GpuHead
from coke_edge.kernels.launch import Kernels
from coke_edge.kernels.reference import unit
from coke_edge.kernels.spec import HeadSpec, Rule
from coke_edge.kernels.targets import KernelError

CHANNELS = 32
TOLERANCE = 4e-6  # of float32 sums, and of ĉ
RULES: list[Rule] = ["similarity", "margin", "log_odds"]
LOG_ODDS = HeadSpec("log_odds", 0.07, 0.005)
MAPS = FeatureMaps.dense("fp16", "nhwc", CHANNELS, 5, 7)


class Problem:
    """Inputs of a head, as float32 and in float64 as the GPU stores them."""

    def __init__(self, images: int, maps: FeatureMaps, k: int, n: int) -> None:
        rng = np.random.default_rng([images, maps.height, maps.width, k, n])
        self.maps = maps
        features = rng.normal(size=(images, CHANNELS, maps.cells)) * rng.uniform(
            0.1, 20, (images, 1, maps.cells)
        )
        self.features = features.astype({"fp16": np.float16, "fp32": np.float32}[maps.dtype])
        vectors = unit(rng.normal(size=(k + n, CHANNELS)), axis=1).astype(np.float32)
        self.prototypes, self.clutter = vectors[:k], vectors[k:]
        self.counts = rng.integers(1, 6, n).astype(np.float32)

    def upload(self, driver: Driver, stream: int) -> Buffer:
        """Features at their strides, between numbers that are none."""
        maps = self.maps
        flat = np.full(maps.bytes(len(self.features)) // self.features.itemsize, np.nan, self.features.dtype)
        strides = [flat.itemsize * s for s in (maps.image_stride, maps.channel_stride, maps.cell_stride)]
        np.lib.stride_tricks.as_strided(flat, self.features.shape, strides)[:] = self.features
        buffer = driver.allocate(flat.nbytes)
        driver.upload(buffer.address, flat, stream)
        driver.synchronize(stream)
        return buffer

    def expected(self, head: HeadSpec) -> reference.ScoreMaps:
        grid = (len(self.features), CHANNELS, self.maps.height, self.maps.width)
        stored = [
            rounded(bank, self.maps.dtype).astype(np.float64) for bank in (self.prototypes, self.clutter)
        ]
        features = self.features.astype(np.float64).reshape(grid)
        return reference.score_maps(features, *stored, head, self.counts.astype(np.float64))


def run(
    driver: Driver, kernels: Kernels, problem: Problem, head: HeadSpec, **options: Any
) -> tuple[reference.Peaks, reference.ScoreMaps | None]:
    """Peaks, and maps if they were to be kept."""
    stream, images = driver.stream(), len(problem.features)
    features = problem.upload(driver, stream)
    gpu = GpuHead(
        driver, kernels, head, problem.maps, problem.prototypes, problem.clutter, problem.counts,
        stream=stream, images=images, **options,
    )  # fmt: skip
    gpu.enqueue(features.address, images, stream)
    gpu.download(images, stream)
    driver.synchronize(stream)
    found = gpu.peaks(images), gpu.maps(images, stream) if options.get("keep_maps") else None
    gpu.free()
    gpu.free()
    features.free()
    return found


def assert_same(found: reference.Peaks, maps: reference.ScoreMaps, head: HeadSpec, soft: bool = True) -> None:
    wanted = reference.find_peaks(maps, head.peaks)
    assert np.array_equal(found.index, wanted.index)
    for name in ("similarity", "clutter", "soft_clutter", "neighbourhood"):
        if soft or name != "soft_clutter":
            np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), atol=TOLERANCE)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("count", [1, 5])
def test_compiled_binaries_of_every_rule(
    driver: Driver, compiled: Kernels, fake_cuda: FakeCuda, rule: Rule, count: int
) -> None:
    problem, head = (
        Problem(2, FeatureMaps.dense("fp16", "nchw", CHANNELS, 4, 6), 3, 150),
        HeadSpec(rule, 0.07, 0.005, count),
    )
    found, _ = run(driver, compiled, problem, head)
    assert_same(found, problem.expected(head), head)
    assert [launch.symbol for launch in fake_cuda.launches] == ["match", "peaks"]


@pytest.mark.parametrize(
    ("maps", "images", "n"),
    [
        (FeatureMaps.dense("fp16", "nhwc", CHANNELS, 5, 7), 3, 200),
        (FeatureMaps.dense("fp16", "nchw", CHANNELS, 4, 6), 2, 0),
        (FeatureMaps.dense("fp16", "nhwc", CHANNELS, 11, 1), 1, 1),
        (FeatureMaps.dense("fp16", "nchw", CHANNELS, 1, 1), 2, 3),
        (FeatureMaps.dense("fp16", "nhwc", CHANNELS, 33, 29), 2, 130),
        (FeatureMaps("fp16", CHANNELS, 4, 6, 2048, 32, 1), 2, 9),  # channels and images apart
        (FeatureMaps("fp16", CHANNELS, 3, 5, 15 * 40 + 8, 1, 40), 2, 9),  # the first channels of more
    ],
    ids=["odd", "N0", "column", "1x1", "large", "gaps", "wider"],
)
@pytest.mark.parametrize("soft", [True, False], ids=["soft", "hard"])
def test_maps_of_every_layout(
    driver: Driver, kernels: Kernels, maps: FeatureMaps, images: int, n: int, soft: bool
) -> None:
    problem, head = Problem(images, maps, 4, n), HeadSpec("margin", 0.07, 0.005, 2)
    peaks, found = run(driver, kernels, problem, head, soft=soft, keep_maps=True)
    expected = problem.expected(head)
    assert_same(peaks, expected, head, soft)
    assert found is not None
    for name, quantity, wanted in zip(expected._fields, found, expected, strict=True):
        assert quantity.dtype == np.float32
        if soft or name != "soft_clutter":
            np.testing.assert_allclose(quantity, wanted, atol=TOLERANCE)
        else:
            assert np.isnan(quantity).all()
            assert np.isnan(peaks.soft_clutter[peaks.index >= 0]).all()


def test_a_broken_cell_never_wins(driver: Driver, kernels: Kernels) -> None:
    problem = Problem(1, MAPS, 2, 70)
    problem.features[0, 3, 11] = np.nan
    problem.features[0, :, 12] = 0
    peaks, maps = run(driver, kernels, problem, LOG_ODDS, keep_maps=True)
    expected = problem.expected(LOG_ODDS)
    assert_same(peaks, expected, LOG_ODDS)
    assert maps is not None
    assert np.isneginf(maps.score[0, :, 1, 4]).all()
    np.testing.assert_allclose(maps.clutter, expected.clutter, atol=TOLERANCE)


def test_a_batch_smaller_than_the_largest(driver: Driver, kernels: Kernels) -> None:
    problem, stream = Problem(2, MAPS, 3, 900), driver.stream()  # few images have more parts than many
    features = problem.upload(driver, stream)
    gpu = GpuHead(
        driver,
        kernels,
        LOG_ODDS,
        MAPS,
        problem.prototypes,
        problem.clutter,
        problem.counts,
        stream=stream,
        images=9,
    )
    gpu.enqueue(features.address, 2, stream)
    gpu.download(2, stream)
    driver.synchronize(stream)
    assert_same(gpu.peaks(2), problem.expected(LOG_ODDS), LOG_ODDS)
    for images in (0, 10):
        with pytest.raises(KernelError, match=f"takes 1 to 9 images, not {images}"):
            gpu.enqueue(features.address, images, stream)
    with pytest.raises(KernelError, match="keep_maps=True"):
        gpu.maps(2, stream)
    with pytest.raises(KernelError, match=r"features = .* aligned to 16 bytes"):
        gpu.enqueue(features.address + 8, 1, stream)
    gpu.free()
    with pytest.raises(KernelError, match="given back"):
        gpu.enqueue(features.address, 2, stream)
    features.free()


def test_a_large_batch_goes_in_shares(
    driver: Driver, kernels: Kernels, fake_cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, head = Problem(13, MAPS, 3, 70), HeadSpec("log_odds", 0.07, 0.005, 3)
    monkeypatch.setattr(
        plan, "MAPS_BYTES", 5 * 3 * MAPS.cells * 4
    )  # the maps of 5 images; shares are multiples of 4
    found, _ = run(driver, kernels, problem, head)
    assert_same(found, problem.expected(head), head)
    assert [launch.grid[2] for launch in fake_cuda.launches if launch.symbol == "match"] == [8, 5]


def test_peaks_are_not_overwritten_by_the_next_frame(driver: Driver, kernels: Kernels) -> None:
    first, second = Problem(1, MAPS, 3, 50), Problem(1, MAPS, 3, 50)
    second.features = -first.features
    stream = driver.stream()
    gpu = GpuHead(
        driver, kernels, LOG_ODDS, MAPS, first.prototypes, first.clutter, first.counts, stream=stream
    )
    found = []
    for problem in (first, second):
        features = problem.upload(driver, stream)
        gpu.enqueue(features.address, 1, stream)
        gpu.download(1, stream)
        driver.synchronize(stream)
        found.append(gpu.peaks(1))
        features.free()
    assert_same(found[0], first.expected(LOG_ODDS), LOG_ODDS)
    assert_same(found[1], second.expected(LOG_ODDS), LOG_ODDS)
    gpu.free()


def test_a_graph_takes_new_features_and_new_banks(
    driver: Driver, kernels: Kernels, fake_cuda: FakeCuda
) -> None:
    problem, stream = Problem(1, MAPS, 3, 50), driver.stream()
    features = problem.upload(driver, stream)
    gpu = GpuHead(
        driver, kernels, LOG_ODDS, MAPS, problem.prototypes, problem.clutter, problem.counts, stream=stream
    )
    before = fake_cuda.alive()["allocations"]
    with driver.capture(stream) as graphs:
        gpu.enqueue(features.address, 1, stream)
        gpu.download(1, stream)
    assert fake_cuda.launches == []
    problem.prototypes, problem.clutter = problem.prototypes[::-1], problem.clutter[::-1]
    gpu.set_banks(problem.prototypes, problem.clutter, stream=stream)
    problem.counts[:] = 1
    graphs[0].launch(stream)
    driver.synchronize(stream)
    assert_same(gpu.peaks(1), problem.expected(LOG_ODDS), LOG_ODDS)
    assert fake_cuda.alive()["allocations"] == before
    with pytest.raises(
        KernelError, match=r"\[3, 32\], \[50, 32\] and \[50\], not \[2, 32\], \[50, 32\]: .* new head"
    ):
        gpu.set_banks(problem.prototypes[:2], problem.clutter, stream=stream)
    graphs[0].free()
    gpu.free()
    features.free()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"soft": False}, "log_odds needs the soft"),
        ({"head": HeadSpec("margin", 0, 1)}, "must be positive"),
        ({"head": HeadSpec("margin", 1, 1, 0)}, "must be positive"),
        ({"images": 0}, "takes 1 to 65,535 images at a time, not 0"),
        ({"images": 65_536}, "not 65,536"),
        ({"features": FeatureMaps.dense("fp16", "nchw", CHANNELS, 5, 7)}, r"multiple of 8 cells, not 5 × 7: .*nhwc"),
        ({"features": FeatureMaps("fp16", CHANNELS, 4, 6, 2048, 36, 1)}, "channel_stride 36 of the features is no mul"),
        ({"features": FeatureMaps("fp16", CHANNELS, 4, 6, 770, 24, 1)}, "image_stride 770 of the features is no mult"),
        ({"features": FeatureMaps.dense("fp16", "nhwc", 64, 5, 7)}, "features have 64 .*--channels 64"),
        ({"features": FeatureMaps.dense("fp32", "nhwc", CHANNELS, 5, 7)}, "no kernel match-fp32-nhwc-soft for"),
        ({"prototypes": np.zeros((0, CHANNELS), np.float32)}, r"\[K, 32\]"),
        ({"prototypes": np.full((2, CHANNELS), np.nan, np.float32)}, "prototypes hold .* fp16"),
        ({"prototypes": np.full((2, CHANNELS), 1e6, np.float32)}, "prototypes hold .* fp16"),
        ({"prototypes": np.zeros((2, 64), np.float32)}, "the banks 64"),
        ({"clutter": np.zeros((3, 16), np.float32)}, r"\[N, 32\]|\[3, 32\]"),
        ({"counts": np.zeros(3, np.float32)}, r"and \[2\], not .*\[3\]"),
    ],
)  # fmt: skip
def test_what_the_kernels_do_not_take(
    driver: Driver, kernels: Kernels, fake_cuda: FakeCuda, change: dict[str, Any], message: str
) -> None:
    problem = Problem(1, MAPS, 2, 2)
    given = {
        "head": LOG_ODDS,
        "features": MAPS,
        "prototypes": problem.prototypes,
        "clutter": problem.clutter,
        **change,
    }
    with pytest.raises(KernelError, match=message):
        GpuHead(driver, kernels, stream=driver.stream(), **given)
    assert "allocations" not in fake_cuda.alive()


@pytest.mark.parametrize(
    ("function", "after"), [*(("cuMemAlloc", n) for n in range(9)), ("cuMemHostAlloc", 0)]
)
def test_no_memory(driver: Driver, kernels: Kernels, fake_cuda: FakeCuda, function: str, after: int) -> None:
    """Whichever allocation fails, nothing of it stays."""
    problem, head = Problem(1, MAPS, 2, 2), HeadSpec("log_odds", 0.07, 0.005, 2)
    stream = driver.stream()
    fake_cuda.fail(function, "UNKNOWN", after)  # pycuda asks a second time if memory is out
    options: dict[str, Any] = {"stream": stream, "keep_maps": True}
    with pytest.raises(KernelError, match=r"[Uu]nknown|UNKNOWN"):
        GpuHead(driver, kernels, head, MAPS, problem.prototypes, problem.clutter, **options)
    assert "allocations" not in fake_cuda.alive()


def test_extra_memory(driver: Driver, kernels: Kernels) -> None:
    """Under a hundredth of the clutter products in float16, which a head of library calls writes."""
    stream, images, k, n = driver.stream(), 64, 16, 2560
    maps = FeatureMaps.dense("fp16", "nchw", CHANNELS, 32, 32)
    prototypes, clutter = (
        np.broadcast_to(np.eye(1, CHANNELS, dtype=np.float32), (rows, CHANNELS)) for rows in (k, n)
    )
    head = HeadSpec("margin", 0.07, 0.005)
    gpu = GpuHead(driver, kernels, head, maps, prototypes, clutter, stream=stream, images=images, soft=False)
    at_once = 4 * 40 * 1024 * (k + 1)  # similarities and one part; batches above 40 go in shares
    assert gpu.extra_memory == at_once + 4 * 13 * images * k < 0.01 * (2 * images * maps.cells * n)
    gpu.free()


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp32"])
def test_banks_are_rounded_as_torch_rounds(dtype: str) -> None:
    rng = np.random.default_rng(0)
    bank = (rng.normal(size=(100, 40)) * 10.0 ** rng.integers(-9, 3, (100, 40))).astype(np.float32)
    bank[0, :4] = 1 + 2.0**-8 * np.array([1, 3, 0.5, 1.5])  # ties of bfloat16
    kind, bits = {
        "fp16": (torch.float16, torch.int16),
        "bf16": (torch.bfloat16, torch.int16),
        "fp32": (torch.float32, torch.int32),
    }[dtype]
    expected: NDArray[Any] = torch.from_numpy(bank).to(kind).view(bits).numpy()
    assert np.array_equal(rounded(bank[:, ::-1], dtype)[:, ::-1].view(expected.dtype), expected)
