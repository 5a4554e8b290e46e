"""One binary at a time, launched as a device launches it, against the definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coke_edge.benchmarks.definition import exact_maps
from coke_edge.benchmarks.gpu_check import crops
from coke_edge.benchmarks.gpu_check.agreement import Agreement, agreement
from coke_edge.benchmarks.gpu_check.cases import Case, Problem, problem
from coke_edge.benchmarks.gpu_check.matching import TOLERANCE
from coke_edge.benchmarks.gpu_check.rows import Row, checked
from coke_edge.kernels.artifact import Binary
from coke_edge.kernels.driver import Driver
from coke_edge.kernels.features import FeatureMaps
from coke_edge.kernels.gpu_head import GpuHead
from coke_edge.kernels.gpu_warp import GpuWarp
from coke_edge.kernels.launch import Kernels
from coke_edge.kernels.reference import Peaks
from coke_edge.kernels.torch_reference import Peaks as TorchPeaks

SHAPES = ((1, 32, 32, 16, 2560), (3, 8, 11, 7, 65), (2, 5, 8, 3, 0))  # B, H, W, K, N; cells in eights
NHWC_SHAPES = ((2, 7, 11, 5, 200),)
FRAME, CROP = (61, 83), (33, 51)  # H, W


def head_cases(binary: Binary) -> list[Case]:
    """What a binary of `match` is asked, from its name and what was compiled in."""
    _, dtype, layout, response = binary.name.split("-")
    soft = response == "soft"
    channels = int(binary.constants["CHANNELS"])
    shapes = SHAPES + (NHWC_SHAPES if layout == "nhwc" else ())
    manner = ("log_odds", True, 3) if soft else ("margin", False, 1)
    return [
        Case((b, channels, h, w, k, n), dtype, *manner, layout)  # type: ignore[arg-type]
        for b, h, w, k, n in shapes
    ]


def head(driver: Driver, kernels: Kernels, name: str, case: Case) -> Row:
    """Peaks of a batch; then those of other features out of a CUDA graph, which must have the bits of a launch."""
    given = problem(case, "cpu")
    images, channels, height, width = given.features.shape
    maps = FeatureMaps.dense(case.dtype, case.layout, channels, height, width)
    stream = driver.stream()
    banks = (t.float().numpy() for t in (given.prototypes, given.clutter, given.counts))
    gpu = GpuHead(driver, kernels, case.head, maps, *banks, stream=stream, images=images, soft=case.soft)
    features = driver.allocate(maps.bytes(images))
    try:

        def run(values: NDArray[np.generic]) -> Peaks:
            driver.upload(features.address, values, stream)
            gpu.enqueue(features.address, images, stream)
            gpu.download(images, stream)
            driver.synchronize(stream)
            return gpu.peaks(images)

        first = elements(given.features, case.layout)
        second = elements(given.features.flip(2), case.layout)
        found, launched = run(first), run(second)
        with driver.capture(stream) as graphs:
            gpu.enqueue(features.address, images, stream)
            gpu.download(images, stream)
        run(first)  # so that nothing of the second is left
        driver.upload(features.address, second, stream)
        graphs[0].launch(stream)
        driver.synchronize(stream)
        replayed = gpu.peaks(images)
        graphs[0].free()
    finally:
        features.free()
        gpu.free()
    result = compare(found, given, case)
    same = same_peaks(launched, replayed)
    good = result.within(TOLERANCE) and same
    return checked(
        name, good, error=result.error, near_ties=result.near_ties, wrong=result.wrong, graph_same_bits=same
    )


def compare(found: Peaks, given: Problem, case: Case) -> Agreement:
    """Against float64."""
    banks = given.prototypes, given.clutter, given.counts
    tensors = TorchPeaks(*(torch.from_numpy(np.ascontiguousarray(part)) for part in found))
    return agreement(tensors, exact_maps(given.features, *banks, case.head), case.head, case.soft, TOLERANCE)


def same_peaks(a: Peaks, b: Peaks) -> bool:
    return all(np.array_equal(x, y, equal_nan=x.dtype != np.int32) for x, y in zip(a, b, strict=True))


def elements(features: Tensor, layout: str) -> NDArray[np.generic]:
    """Features [B, C, H, W] as they lie in memory, flat; bfloat16 as its bits."""
    ordered = features.permute(0, 2, 3, 1) if layout == "nhwc" else features
    flat = ordered.contiguous().flatten()
    return flat.view(torch.int16).numpy() if flat.dtype == torch.bfloat16 else flat.numpy()


def crop(driver: Driver, kernels: Kernels, name: str, dtype: str) -> Row:
    """Crops of a frame, out of a CUDA graph that was captured with another frame."""
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (*FRAME, 3), np.uint8) for _ in range(2)]
    affines = crops.crop_to_frame(FRAME, CROP)
    stream = driver.stream()
    gpu = GpuWarp(
        driver, kernels, stream=stream, width=CROP[1], height=CROP[0], border=crops.BORDER,
        mean=crops.MEAN, std=crops.STD, dtype=dtype, crops=len(affines), frame_pixels=FRAME[0] * FRAME[1],
    )  # fmt: skip
    planes = (len(affines), 3, *CROP)
    found: NDArray[Any] = np.empty(planes, np.float16 if dtype == "fp16" else np.float32)
    if dtype == "u8":
        found = np.empty((len(affines), *CROP, 3), np.uint8)
    try:
        staged = gpu.stage(frames[0], affines)
        gpu.enqueue(staged, stream)  # loads what a graph may not
        driver.synchronize(stream)
        with driver.capture(stream) as graphs:
            gpu.enqueue(staged, stream)
        gpu.stage(frames[1], affines)
        graphs[0].launch(stream)
        driver.download(found, gpu.crops, stream)
        driver.synchronize(stream)
        graphs[0].free()
    finally:
        gpu.free()
    if dtype == "u8":  # grey levels already, BGR
        grey = found[..., ::-1].transpose(0, 3, 1, 2).astype(np.float64)
    else:
        grey = crops.levels(found.astype(np.float64))
    return crops.judged(name, grey, frames[1], affines, CROP, dtype)
