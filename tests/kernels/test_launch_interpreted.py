"""The host's half against the kernels' own source: launches as a GPU would get them, under Triton's interpreter.

The driver here keeps "device" memory on the host and runs the Triton function that a binary was compiled from, on
raw addresses. So what stands behind each argument is tested against the kernels and not against a copy of them.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from coke_edge.geometry import invert
from coke_edge.kernels import match, peaks, reference, targets, variants, warp
from coke_edge.kernels.artifact import Artifact, Binary, Parameter
from coke_edge.kernels.driver import Driver, Gpu
from coke_edge.kernels.features import FeatureMaps
from coke_edge.kernels.gpu_head import GpuHead
from coke_edge.kernels.gpu_warp import GpuWarp
from coke_edge.kernels.launch import Kernels
from coke_edge.kernels.reference import unit
from coke_edge.kernels.spec import HeadSpec, Rule
from coke_edge.manifest import InputSpec
from coke_edge.preprocess import crop

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, on NaN, in the interpreter

CHANNELS = 16
FUNCTIONS = {"match": match.match, "peaks": peaks.peaks, "warp": warp.warp}
TORCH = {
    "*fp16": torch.float16,
    "*bf16": torch.bfloat16,
    "*fp32": torch.float32,
    "*i32": torch.int32,
    "*u8": torch.uint8,
}


class HostBuffer:
    """Memory of the host, between guards that nothing may write on."""

    GUARD = 64

    def __init__(self, size: int) -> None:
        self.size = size
        self.memory = np.full(size + 4 * self.GUARD, 0xA5, np.uint8)
        self.address = -(-(self.memory.ctypes.data + self.GUARD) // self.GUARD) * self.GUARD
        self.freed = False

    def free(self) -> None:
        start = self.address - self.memory.ctypes.data
        assert (self.memory[:start] == 0xA5).all()
        assert (self.memory[start + self.size :] == 0xA5).all()
        self.freed = True


class HostGraph:
    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []

    def launch(self, stream: int) -> None:
        for work in self.work:
            work()


def view(address: int, size: int) -> NDArray[np.uint8]:
    return np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8)


class InterpretedDriver:
    """A driver whose functions are Triton's, interpreted."""

    name = "interpreted"
    gpu = Gpu("an Orin on paper", 87, 8, 163 << 10, 1 << 34, 12_060)

    def __init__(self) -> None:
        self.buffers: list[HostBuffer] = []
        self.graph: HostGraph | None = None

    def load(self, cubin: bytes, symbol: str, shared_memory: int) -> Any:
        return cubin.decode()

    def launch(
        self,
        function: str,
        grid: tuple[int, int, int],
        block: int,
        shared_memory: int,
        stream: int,
        types: Sequence[str],
        values: Sequence[int | float],
    ) -> None:
        variant = VARIANTS[function]
        arguments: dict[str, Any] = dict(variant.constants)
        for (name, kind), value in zip(in_order(variant).items(), values, strict=True):
            arguments[name] = pointer(kind, int(value)) if kind.startswith("*") else value
        self._do(lambda: FUNCTIONS[variant.kernel][grid](**arguments))

    def allocate(self, size: int) -> HostBuffer:
        self.buffers.append(HostBuffer(size))
        return self.buffers[-1]

    def pinned(self, size: int) -> NDArray[np.uint8]:
        return np.zeros(size, np.uint8)

    def upload(self, address: int, source: NDArray[Any], stream: int) -> None:
        assert source.flags.c_contiguous
        self._do(lambda: np.copyto(view(address, source.nbytes), source.reshape(-1).view(np.uint8)))

    def download(self, target: NDArray[Any], address: int, stream: int) -> None:
        assert target.flags.c_contiguous
        self._do(lambda: np.copyto(target.reshape(-1).view(np.uint8), view(address, target.nbytes)))

    def synchronize(self, stream: int) -> None:
        assert self.graph is None, "a stream that is captured cannot be waited for"

    @contextlib.contextmanager
    def capture(self, stream: int) -> Iterator[list[HostGraph]]:
        found: list[HostGraph] = []
        self.graph = graph = HostGraph()
        yield found
        self.graph = None
        found.append(graph)

    def _do(self, work: Callable[[], None]) -> None:
        if self.graph is None:
            work()
        else:
            self.graph.work.append(work)


def pointer(kind: str, address: int) -> torch.Tensor:
    dtype = TORCH[kind]
    memory = bytearray(16) if address == 0 else (ctypes.c_uint8 * 16).from_address(address)
    return torch.frombuffer(memory, dtype=dtype, count=1)


def in_order(variant: variants.Variant) -> dict[str, str]:
    """The parameters of a variant as the function has them."""
    names = FUNCTIONS[variant.kernel].arg_names
    return {name: variant.signature[name] for name in names if name in variant.signature}


VARIANTS = {v.name: v for v in variants.variants(targets.named("orin"), CHANNELS, tuple(variants.DTYPES))}


@pytest.fixture
def driver() -> Iterator[InterpretedDriver]:
    driver = InterpretedDriver()
    yield driver
    assert all(buffer.freed for buffer in driver.buffers)


@pytest.fixture
def kernels(driver: InterpretedDriver) -> Kernels:
    return Kernels(
        cast(Driver, driver),
        Artifact(tuple(binary(variant) for variant in VARIANTS.values()), {}),
        lambda binary: binary.name.encode(),
    )


def binary(variant: variants.Variant) -> Binary:
    """What the manifest says of a variant; its cubin is its name."""
    content = variant.name.encode()
    parameters = [Parameter(n, kind, variant.multiples.get(n, 1)) for n, kind in in_order(variant).items()]
    return Binary(
        variant.name, "orin", 87, f"{variant.name}.cubin", hashlib.sha256(content).hexdigest(), len(content),
        variant.kernel, tuple(parameters), 0, 32 * variant.warps, 1024, 64, 0, 0, {}, variant.constants, 7, "12.9",
    )  # fmt: skip


class Features:
    """Features of a dtype and layout in "device" memory, the rest of it NaN."""

    def __init__(self, driver: InterpretedDriver, images: int, maps: FeatureMaps) -> None:
        kind, size = TORCH[f"*{maps.dtype}"], variants.DTYPES[maps.dtype]
        self.buffer = driver.allocate(images * maps.image_stride * size)
        memory = (ctypes.c_uint8 * self.buffer.size).from_address(self.buffer.address)
        flat = torch.frombuffer(memory, dtype=kind).fill_(torch.nan)
        rng = np.random.default_rng([images, maps.height, maps.width])
        values = torch.from_numpy(rng.normal(size=(images, maps.channels, maps.cells)) * 3).to(kind)
        flat.as_strided(values.shape, (maps.image_stride, maps.channel_stride, maps.cell_stride)).copy_(
            values
        )
        self.exact = values.double().numpy().reshape(images, maps.channels, maps.height, maps.width)


def banks(k: int, n: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng([k, n])
    vectors = unit(rng.normal(size=(k + n, CHANNELS)), axis=1).astype(np.float32)
    return vectors[:k], vectors[k:], rng.integers(1, 6, n).astype(np.float32)


def as_stored(bank: NDArray[np.float32], dtype: str) -> NDArray[np.float64]:
    return torch.from_numpy(bank).to(TORCH[f"*{dtype}"]).double().numpy()


DENSE = FeatureMaps.dense("fp16", "nchw", CHANNELS, 4, 6)


@pytest.mark.parametrize("rule", ["similarity", "margin", "log_odds"])
@pytest.mark.parametrize(
    ("maps", "images", "k", "n", "count"),
    [
        (DENSE, 2, 3, 150, 1),
        (FeatureMaps.dense("fp16", "nhwc", CHANNELS, 9, 11), 2, 5, 70, 5),
        (FeatureMaps("fp16", CHANNELS, 4, 6, 1024, 32, 1), 2, 2, 9, 2),  # channels and images apart
        (FeatureMaps("fp16", CHANNELS, 3, 5, 15 * 24 + 8, 1, 24), 2, 2, 9, 2),  # half of a wider map
        (FeatureMaps.dense("fp32", "nchw", CHANNELS, 2, 2), 1, 2, 9, 3),
        (FeatureMaps.dense("fp16", "nchw", CHANNELS, 1, 1), 2, 1, 1, 2),
        (FeatureMaps.dense("fp16", "nchw", CHANNELS, 2, 4), 2, 2, 0, 2),
    ],
    ids=["batch", "M5", "gaps", "wider", "fp32", "1x1", "N0"],
)
def test_the_head(
    driver: InterpretedDriver,
    kernels: Kernels,
    maps: FeatureMaps,
    images: int,
    k: int,
    n: int,
    count: int,
    rule: Rule,
) -> None:
    head, features = HeadSpec(rule, 0.07, 0.005, count), Features(driver, images, maps)
    prototypes, clutter, counts = banks(k, n)
    gpu = GpuHead(
        cast(Driver, driver),
        kernels,
        head,
        maps,
        prototypes,
        clutter,
        counts,
        stream=1,
        images=images,
        keep_maps=True,
    )
    gpu.enqueue(features.buffer.address, images, stream=1)
    gpu.download(images, stream=1)
    stored = [as_stored(bank, maps.dtype) for bank in (prototypes, clutter)]
    expected = reference.score_maps(features.exact, *stored, head, counts.astype(np.float64))
    for found, wanted in zip(gpu.maps(images, stream=1), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=4e-6)
    wanted_peaks = reference.find_peaks(expected, count)
    found_peaks = gpu.peaks(images)
    assert np.array_equal(found_peaks.index, wanted_peaks.index)
    for found, wanted in zip(found_peaks[1:], wanted_peaks[1:], strict=True):
        np.testing.assert_allclose(found, wanted, atol=4e-6)
    gpu.free()
    features.buffer.free()


SPEC = InputSpec(16, 12, 1.0, (10, 130, 250), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def frame(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), np.uint8)


def affine(angle: float, scale: float) -> NDArray[np.float64]:
    return np.asarray(cv2.getRotationMatrix2D((8.0, 5.0), angle, scale))


def gpu_warp(driver: InterpretedDriver, kernels: Kernels, **options: Any) -> GpuWarp:
    return GpuWarp(
        cast(Driver, driver), kernels, stream=1, width=SPEC.width, height=SPEC.height, border=SPEC.border,
        mean=SPEC.mean, std=SPEC.std, crops=3, frame_pixels=400, **options,
    )  # fmt: skip


def normalised(image: NDArray[np.uint8], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the CPU path gives the network: float64 [3, h, w] RGB."""
    rgb = crop(image, affine, SPEC)[..., ::-1].transpose(2, 0, 1) / 255
    column = (3, 1, 1)
    return np.asarray((rgb - np.reshape(SPEC.mean, column)) / np.reshape(SPEC.std, column))


@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_the_warp_is_what_the_cpu_gives_the_network(
    driver: InterpretedDriver, kernels: Kernels, dtype: str
) -> None:
    gpu = gpu_warp(driver, kernels, dtype=dtype)
    for image in (frame(18, 22), frame(20, 20), frame(30, 40)[3:20, 38:20:-1]):
        affines = [affine(20, 1.1), affine(-100, 0.6)]
        gpu.enqueue(gpu.stage(image, [invert(a) for a in affines]), stream=1)
        size = 3 * SPEC.width * SPEC.height
        kind = {"fp16": np.float16, "fp32": np.float32}[dtype]
        found = (
            view(gpu.crops, 2 * size * np.dtype(kind).itemsize)
            .view(kind)
            .reshape(2, 3, SPEC.height, SPEC.width)
        )
        for one, a in zip(found, affines, strict=True):
            grey_levels = np.abs(one - normalised(image, a)) * 255 * np.reshape(SPEC.std, (3, 1, 1))
            assert grey_levels.max() < 1.2
            assert np.mean(grey_levels > 0.2) < 0.02
    gpu.free()


def test_pixels_for_a_network_that_normalises(driver: InterpretedDriver, kernels: Kernels) -> None:
    gpu = gpu_warp(driver, kernels, dtype="u8")
    affines = [affine(20, 1.1), affine(-100, 0.6)]
    gpu.enqueue(gpu.stage(frame(18, 22), [invert(a) for a in affines]), stream=1)
    shape = (2, SPEC.height, SPEC.width, 3)
    found = view(gpu.crops, int(np.prod(shape))).reshape(shape).astype(np.int16)
    difference = np.abs(found - [crop(frame(18, 22), a, SPEC) for a in affines])
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 0.02
    gpu.free()


def test_a_frame_to_peaks_in_one_graph(driver: InterpretedDriver, kernels: Kernels) -> None:
    """The network here is none: the crop's memory itself is read as features."""
    maps = FeatureMaps.dense("fp16", "nhwc", CHANNELS, 4, 9)  # as many numbers as a crop has
    assert maps.channels * maps.cells == 3 * SPEC.width * SPEC.height
    prototypes, clutter, counts = banks(4, 30)
    head = HeadSpec("log_odds", 0.07, 0.005, 2)
    crops = gpu_warp(driver, kernels)
    gpu = GpuHead(cast(Driver, driver), kernels, head, maps, prototypes, clutter, counts, stream=1, images=2)
    inverses = [invert(affine(20, 1.1)), invert(affine(-100, 0.6))]

    staged = crops.stage(frame(18, 22), inverses)
    with driver.capture(1) as graphs:
        crops.enqueue(staged, 1)
        gpu.enqueue(crops.crops, staged.crops, 1)
        gpu.download(staged.crops, 1)
    seen = []
    for seed in range(3):
        image = np.roll(frame(18, 22), seed, axis=1)
        assert crops.stage(image, inverses) == staged
        graphs[0].launch(1)
        found = gpu.peaks(2)
        features = view(crops.crops, maps.bytes(2)).view(np.float16).astype(np.float64)
        features = features.reshape(2, maps.cells, CHANNELS).transpose(0, 2, 1).reshape(2, CHANNELS, 4, 9)
        stored = [as_stored(bank, "fp16") for bank in (prototypes, clutter)]
        expected = reference.match(features, *stored, head, counts.astype(np.float64))
        assert np.array_equal(found.index, expected.index)
        np.testing.assert_allclose(found.similarity, expected.similarity, atol=4e-6)
        seen.append(found.similarity)
    assert not np.array_equal(seen[0], seen[1])
    crops.free()
    gpu.free()
