"""Crops on a GPU that is not there, and a whole frame in one graph: both drivers on the fake libcuda."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from fake_cuda import FakeCuda
from numpy.typing import NDArray

from coke_edge.geometry import invert
from coke_edge.kernels import reference
from coke_edge.kernels.driver import Driver
from coke_edge.kernels.features import FeatureMaps
from coke_edge.kernels.gpu_head import GpuHead
from coke_edge.kernels.gpu_warp import GpuWarp, Staged, colours
from coke_edge.kernels.launch import Kernels
from coke_edge.kernels.spec import HeadSpec
from coke_edge.kernels.targets import KernelError
from coke_edge.manifest import InputSpec
from coke_edge.preprocess import crop

CHANNELS = 32
SPEC = InputSpec(16, 12, 1.0, (10, 130, 250), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PIXELS = 400


def gpu_warp(driver: Driver, kernels: Kernels, stream: int, **options: Any) -> GpuWarp:
    given: dict[str, Any] = {
        "width": SPEC.width, "height": SPEC.height, "border": SPEC.border, "mean": SPEC.mean, "std": SPEC.std,
        "crops": 3, "frame_pixels": PIXELS, **options,
    }  # fmt: skip
    return GpuWarp(driver, kernels, stream=stream, **given)


def frame(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), np.uint8)


AFFINES = [
    np.asarray(cv2.getRotationMatrix2D((8.0, 5.0), *how)) for how in ((20, 1.1), (-100, 0.6), (3, 9.0))
]
INVERSES = [invert(affine) for affine in AFFINES]
FRAMES = {
    "small": frame(18, 22),
    "as large as there is room for": frame(20, 20),
    "one pixel": frame(1, 1),
    "a window, mirrored": frame(30, 40)[3:20, 38:20:-1],
    "columns first": np.asfortranarray(frame(10, 12)),
}


def fetched(driver: Driver, warp: GpuWarp, stream: int, count: int, dtype: str) -> NDArray[Any]:
    """The crops on the host."""
    planes, pixels = (count, 3, SPEC.height, SPEC.width), (count, SPEC.height, SPEC.width, 3)
    target: NDArray[Any] = {
        "fp16": np.empty(planes, np.float16),
        "fp32": np.empty(planes, np.float32),
        "u8": np.empty(pixels, np.uint8),
    }[dtype]
    driver.download(target, warp.crops, stream)
    driver.synchronize(stream)
    return target


@pytest.mark.parametrize("dtype", ["fp16", "fp32", "u8"])
def test_frames_of_any_size_become_what_the_cpu_gives_the_network(
    driver: Driver, kernels: Kernels, dtype: str
) -> None:
    stream = driver.stream()
    warp = gpu_warp(driver, kernels, stream, dtype=dtype)
    column = (3, 1, 1)
    for image in FRAMES.values():
        warp.enqueue(warp.stage(image, INVERSES), stream)
        for found, affine in zip(fetched(driver, warp, stream, 3, dtype), AFFINES, strict=True):
            pixels = crop(np.ascontiguousarray(image), affine, SPEC).astype(np.float64)
            if dtype == "u8":
                difference = np.abs(found - pixels)
            else:
                rgb = pixels[..., ::-1].transpose(2, 0, 1) / 255
                expected = (rgb - np.reshape(SPEC.mean, column)) / np.reshape(SPEC.std, column)
                difference = np.abs(found - expected) * 255 * np.reshape(SPEC.std, column)
            assert difference.max() < 1.2  # one grey level, and what float16 rounds
            assert np.mean(difference > 0.2) < 0.02
    warp.free()
    warp.free()


def test_a_frame_to_peaks_in_one_graph(driver: Driver, compiled: Kernels, fake_cuda: FakeCuda) -> None:
    """Upload, warp, head and download as a backend records them; the network here is none, the crop's memory itself
    is read as features."""
    maps = FeatureMaps.dense("fp16", "nhwc", CHANNELS, 2, 9)
    assert maps.image_bytes == 2 * 3 * SPEC.width * SPEC.height
    rng = np.random.default_rng(5)
    bank = reference.unit(rng.normal(size=(34, CHANNELS)).astype(np.float16).astype(np.float32), axis=1)
    bank = bank.astype(np.float16).astype(np.float32)  # nothing left to round
    head, stream = HeadSpec("log_odds", 0.07, 0.005, 2), driver.stream()
    warp = gpu_warp(driver, compiled, stream)
    gpu = GpuHead(driver, compiled, head, maps, bank[:4], bank[4:], stream=stream, images=3)
    allocations = fake_cuda.alive()["allocations"]

    staged = warp.stage(FRAMES["small"], INVERSES[:2])
    with driver.capture(stream) as graphs:
        warp.enqueue(staged, stream)
        gpu.enqueue(warp.crops, staged.crops, stream)
        gpu.download(staged.crops, stream)
    seen = []
    for shift in range(3):
        image, inverses = np.roll(FRAMES["small"], shift, axis=1), INVERSES[shift % 2 :][:2]
        assert warp.stage(image, inverses) == staged
        graphs[0].launch(stream)
        driver.synchronize(stream)
        found = gpu.peaks(2)
        crops = fetched(driver, warp, stream, 2, "fp16").astype(np.float64)
        features = crops.reshape(2, maps.cells, CHANNELS).transpose(0, 2, 1).reshape(2, CHANNELS, 2, 9)
        expected = reference.match(features, bank[:4].astype(np.float64), bank[4:].astype(np.float64), head)
        assert np.array_equal(found.index, expected.index)
        for quantity, wanted in zip(found[1:], expected[1:], strict=True):
            np.testing.assert_allclose(quantity, wanted, atol=4e-6)
        seen.append(found.similarity)
    assert not np.array_equal(seen[0], seen[1])
    assert fake_cuda.alive()["allocations"] == allocations
    assert [launch.symbol for launch in fake_cuda.launches] == ["warp", "match", "peaks"] * 3
    graphs[0].free()
    warp.free()
    gpu.free()


def test_what_a_graph_depends_on(driver: Driver, kernels: Kernels) -> None:
    stream = driver.stream()
    warp = gpu_warp(driver, kernels, stream)
    assert warp.stage(frame(5, 7), INVERSES) == Staged(5, 7, 3) != warp.stage(frame(7, 5), INVERSES)
    assert warp.memory == 256 + 3 * PIXELS + 36 + 3 * 3 * SPEC.width * SPEC.height * 2
    warp.free()
    with pytest.raises(KernelError, match="given back"):
        warp.enqueue(Staged(5, 7, 1), stream)


@pytest.mark.parametrize(
    ("image", "affines", "message"),
    [
        (frame(20, 21), INVERSES, "20 × 21 has more than the 400 pixels"),
        (frame(4, 4)[..., :1], INVERSES, r"must be uint8 \[H, W, 3\], not uint8 \[4, 4, 1\]"),
        (frame(4, 4).astype(np.float32), INVERSES, "not float32"),
        (frame(4, 4)[:0], INVERSES, r"\[0, 4, 3\]"),
        (frame(4, 4), [], "1 to 3 crops"),
        (frame(4, 4), [INVERSES[0]] * 4, r"1 to 3 crops, not \[4, 2, 3\]"),
        (frame(4, 4), np.zeros((1, 3, 3)), r"not \[1, 3, 3\]"),
        (frame(4, 4), np.full((1, 2, 3), np.nan), "not finite"),
        (frame(4, 4), np.full((1, 2, 3), 1e39), "not finite"),
    ],
)
def test_what_cannot_be_staged(
    driver: Driver, kernels: Kernels, image: NDArray[Any], affines: Any, message: str
) -> None:
    warp = gpu_warp(driver, kernels, driver.stream())
    with pytest.raises(KernelError, match=message):
        warp.stage(image, affines)
    warp.free()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "bf16"}, "must be one of fp16, fp32, u8, not bf16"),
        ({"width": 0}, "needs pixels and 1 to 65,535 crops"),
        ({"crops": 65_536}, "not 65,536 crops"),
        ({"frame_pixels": 0}, "frames of 0"),
        ({"border": (0, 0, 256)}, "a border of 0 to 255"),
        ({"std": (1, 0, 1)}, "std above 0"),
        ({"mean": (0.5,)}, "three numbers each"),
    ],
)
def test_what_the_warp_does_not_take(
    driver: Driver, kernels: Kernels, fake_cuda: FakeCuda, options: dict[str, Any], message: str
) -> None:
    stream = driver.stream()
    with pytest.raises(KernelError, match=message):
        gpu_warp(driver, kernels, stream, **options)
    assert "allocations" not in fake_cuda.alive()


@pytest.mark.parametrize("after", range(3))
def test_no_memory(driver: Driver, kernels: Kernels, fake_cuda: FakeCuda, after: int) -> None:
    stream = driver.stream()
    fake_cuda.fail("cuMemAlloc", "UNKNOWN", after)  # pycuda asks a second time if memory is out
    with pytest.raises(KernelError, match=r"[Uu]nknown|UNKNOWN"):
        gpu_warp(driver, kernels, stream)
    assert "allocations" not in fake_cuda.alive()


def test_colours() -> None:
    np.testing.assert_allclose(
        colours((1, 2, 3), (0.5, 0.25, 0), (0.2, 0.5, 1)),
        [[3, 2, 1], [1 / 51, 2 / 255, 1 / 255], [-2.5, -0.5, 0]],
        rtol=1e-6,
    )
