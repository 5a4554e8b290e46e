"""The kernels in numpy give what Triton's do, argument for argument."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fake_cuda import FakeCuda, Launch, cubins, numpy_kernels
from numpy.typing import NDArray

from coke_edge.kernels import targets, variants
from coke_edge.kernels.match import match
from coke_edge.kernels.packed import PEAK_WORDS, RULES
from coke_edge.kernels.peaks import peaks
from coke_edge.kernels.variants import Variant
from coke_edge.kernels.warp import warp

KERNELS: dict[str, Any] = {"match": match, "peaks": peaks, "warp": warp}
ORIN = targets.named("orin")


def both(
    fake: FakeCuda,
    variant: Variant,
    grid: tuple[int, int, int],
    inputs: dict[str, Any],
    outputs: dict[str, Any],
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Output → what Triton's interpreter gives, and what numpy does on the fake driver's memory."""
    arguments = {**inputs, **{name: array.copy() for name, array in outputs.items()}}
    tensors = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    KERNELS[variant.kernel][grid](**tensors, **variant.constants)

    binary, _ = cubins.fake_binary(variant, ORIN)
    memory = Memory(fake)
    places = {k: memory.put(v) if isinstance(v, np.ndarray) else v for k, v in {**inputs, **outputs}.items()}
    kinds = [parameter.type for parameter in binary.parameters]
    words = [
        np.array(
            places[parameter.name], {"i32": "<i4", "i64": "<i8", "fp32": "<f4"}.get(kind, "<u8")
        ).tobytes()
        for parameter, kind in zip(binary.parameters, kinds, strict=True)
    ]
    block = (binary.block, 1, 1)
    launch = Launch(
        binary.symbol, binary.sha256, grid, block, binary.shared_memory, 0, (*words, bytes(8), bytes(8))
    )
    numpy_kernels.run(fake, launch, binary)
    return {
        name: (arguments[name], fake.array(places[name], array.shape, array.dtype))
        for name, array in outputs.items()
    }


class Memory:
    """Arrays on the fake GPU, put there without a driver."""

    def __init__(self, fake: FakeCuda) -> None:
        from cuda.bindings import driver as cuda

        self.fake, self.cuda = fake, cuda
        cuda.cuInit(0)
        _, context = cuda.cuDevicePrimaryCtxRetain(0)
        cuda.cuCtxPushCurrent(context)

    def put(self, array: NDArray[Any]) -> int:
        status, address = self.cuda.cuMemAlloc(max(1, array.nbytes))
        assert int(status) == 0
        if array.size:
            self.fake.array(int(address), array.shape, array.dtype)[...] = array
        return int(address)


def unit_rows(rng: np.random.Generator, *shape: int) -> NDArray[Any]:
    x = rng.normal(size=shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("soft", [False, True])
def test_match(fake_cuda: FakeCuda, layout: str, soft: bool) -> None:
    rng = np.random.default_rng(0)
    b, c, p, k, n, part_rows = 2, 32, 72, 5, 100, 64
    variant = variants.match_variant(ORIN, c, "fp16", layout, soft)
    x = rng.normal(size=(b, c, p)).astype(np.float16)
    x[0, 3, 7] = np.nan
    x[1, :, 2] = 0
    first = layout == "nchw"
    strides = {"channel_stride": p} if first else {"cell_stride": c}
    blocks, parts = -(-p // variant.constants["BLOCK_CELLS"]), 2
    inputs = {
        "features": x if first else np.ascontiguousarray(x.transpose(0, 2, 1)),
        "prototypes": unit_rows(rng, k, c),
        "clutter": unit_rows(rng, n, c),
        "counts": rng.integers(1, 9, n).astype(np.float32),
        "image_stride": c * p,
        **strides,
        "cells": p,
        "keypoints": k,
        "rows": n,
        "part_rows": part_rows,
        "inverse_temperature": 20.0,
    }
    maps = np.full((parts, b, p), 7, np.float32)
    outputs = {"similarity": np.full((b, k, p), 7, np.float32), "response": maps, "mass": maps}
    for name, (triton, ours) in both(fake_cuda, variant, (blocks, 1 + parts, b), inputs, outputs).items():
        np.testing.assert_allclose(ours, triton, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("rule", range(len(RULES)))
@pytest.mark.parametrize(("count", "parts"), [(1, 2), (4, 2), (3, 0)])
def test_peaks(fake_cuda: FakeCuda, rule: int, count: int, parts: int) -> None:
    rng = np.random.default_rng(1)
    b, k, h, w = 2, 3, 7, 9
    variant = variants.peaks_variant(soft=True)
    similarity = np.round(rng.uniform(-1, 1, (b, k, h * w)), 1).astype(np.float32)  # with ties
    similarity[0, 0, :20] = np.nan
    similarity[1, 1] = np.nan
    maps = (max(parts, 1), b, h * w)
    inputs = {
        "similarity": similarity,
        "response": rng.uniform(-1, 1, maps).astype(np.float32),
        "mass": rng.uniform(1, 9, maps).astype(np.float32),
        "height": h,
        "width": w,
        "parts": parts,
        "count": count,
        "rule": rule,
        "temperature": 0.05,
        "weight": 0.3,
    }
    maps_out = np.full((b, k, h * w), 7, np.float32)
    packed = np.zeros((b, k, count, PEAK_WORDS), np.int32)
    outputs = {"score": maps_out, "candidates": maps_out, "packed": packed}
    found = both(fake_cuda, variant, (k, b, 1), inputs, outputs)
    for name in ("score", "candidates"):
        np.testing.assert_allclose(*reversed(found[name]), rtol=1e-5, atol=1e-6, err_msg=name)
    triton, ours = found["packed"]
    np.testing.assert_array_equal(ours[..., 0], triton[..., 0])
    np.testing.assert_allclose(
        ours.view(np.float32)[..., 1:], triton.view(np.float32)[..., 1:], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("dtype", ["fp16", "fp32", "u8"])
def test_warp(fake_cuda: FakeCuda, dtype: str) -> None:
    rng = np.random.default_rng(2)
    variant = variants.warp_variant(dtype)
    element = numpy_kernels.DTYPES[dtype]
    h, w = 13, 17
    inputs = {
        "frame": rng.integers(0, 256, (20, 32, 3)).astype(np.uint8),
        "affines": np.array([[1.1, 0.2, -3, -0.1, 0.9, 2], [0, 1, 40, 1, 0, -5]], np.float32),
        "colours": np.array([[100, 110, 120], [0.01, 0.02, 0.03], [-1, -2, -3]], np.float32),
        "height": 20,
        "width": 30,
        "pitch": 96,
        "crop_height": h,
        "crop_width": w,
    }
    shape = (2, h, w, 3) if dtype == "u8" else (2, 3, h, w)
    blocks = -(-h * w // variant.constants["BLOCK"])
    found = both(fake_cuda, variant, (blocks, 2, 1), inputs, {"crops": np.zeros(shape, element)})
    np.testing.assert_allclose(*(x.astype(float) for x in found["crops"]), rtol=1e-3, atol=1e-6)


def test_a_broken_promise_and_a_short_buffer_are_found(fake_cuda: FakeCuda) -> None:
    variant = variants.warp_variant("fp32")
    binary, _ = cubins.fake_binary(variant, ORIN)
    good = [bytes(8)] * 4 + [bytes(4)] * 5 + [bytes(8)] * 2

    def launch(words: list[bytes], shared: int = binary.shared_memory) -> None:
        numpy_kernels.run(
            fake_cuda, Launch("warp", "", (1, 1, 1), (128, 1, 1), shared, 0, tuple(words)), binary
        )

    with pytest.raises(ValueError, match="affines = 8 is no multiple of 16"):
        launch([good[0], (8).to_bytes(8, "little"), *good[2:]])
    with pytest.raises(numpy_kernels.Fault, match="scratch pointers have to be 0"):
        launch([*good[:-1], b"\1" * 8])
    with pytest.raises(numpy_kernels.Fault, match="shared memory"):
        launch(good, 0)
    with pytest.raises(numpy_kernels.Fault, match="not inside one allocation"):
        launch([*good[:4], *[(4).to_bytes(4, "little")] * 5, *good[9:]])
