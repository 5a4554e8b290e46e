"""What our three kernels do, in numpy, on the fake driver's memory: `match`, `peaks` and `warp` as their files say.

A launch gives exactly what its grid covers; the rest of an output stays garbage, as on a GPU.
"""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coke_edge.kernels import reference
from coke_edge.kernels.artifact import Artifact, Binary
from coke_edge.kernels.packed import PEAK_WORDS, RULES

from .library import FakeCuda, Fault, Launch

FORMATS = {"i32": "<i", "i64": "<q", "fp32": "<f"}  # everything else is an address
DTYPES = {"fp16": np.float16, "fp32": np.float32, "bf16": np.uint16, "i32": np.int32, "u8": np.uint8}
Float = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Call:
    """A launch with its arguments by name."""

    fake: FakeCuda
    launch: Launch
    binary: Binary
    values: dict[str, Any]  # arguments and what was compiled in

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def dtype(self, name: str) -> type[np.generic]:
        """Of the elements that a pointer points to; bfloat16 is uint16."""
        kinds = {parameter.name: parameter.type for parameter in self.binary.parameters}
        return DTYPES[kinds[name].removeprefix("*")]

    def array(self, name: str, *shape: int) -> NDArray[Any]:
        """The memory behind a pointer, contiguous."""
        return self.fake.array(self[name], shape, self.dtype(name))

    def values_of(self, name: str, *shape: int, strides: tuple[int, ...] | None = None) -> Float:
        """Elements as float32; strides in elements. Raises Fault outside an allocation."""
        if strides is None:
            return as_float(self.array(name, *shape))
        extent = 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        flat = self.array(name, extent)
        return as_float(
            np.lib.stride_tricks.as_strided(flat, shape, [flat.itemsize * step for step in strides])
        )


def as_float(x: NDArray[Any]) -> Float:
    """float32 of fp16, fp32, or bf16 bits."""
    if x.dtype == np.uint16:
        return np.left_shift(x.astype(np.uint32), 16).view(np.float32)
    return x.astype(np.float32)


def install(fake: FakeCuda, artifact: Artifact) -> None:
    """Let every binary of a folder compute, whether it was compiled or only written by `cubins.build`."""
    for binary in artifact.binaries:
        fake.kernel(binary.sha256, lambda fake, launch, binary=binary: run(fake, launch, binary))


def run(fake: FakeCuda, launch: Launch, binary: Binary) -> None:
    """Launch one binary. Raises Fault for a misused pointer, ValueError for a broken promise."""
    raw, scratch = np.split(np.array(launch.parameters, object), [len(binary.parameters)])
    values = dict(binary.constants)
    for parameter, word in zip(binary.parameters, raw, strict=True):
        (value,) = struct.unpack(FORMATS.get(parameter.type, "<Q"), word)
        if parameter.multiple_of > 1 and value % parameter.multiple_of:
            raise ValueError(
                f"{binary.name}: {parameter.name} = {value} is no multiple of {parameter.multiple_of}"
            )
        values[parameter.name] = value
    if len(scratch) != binary.scratch_slots or any(any(word) for word in scratch):
        raise Fault(f"{binary.name}: its {binary.scratch_slots} scratch pointers have to be 0")
    if launch.shared_memory != binary.shared_memory:
        raise Fault(
            f"{binary.name} needs {binary.shared_memory} bytes of shared memory, not {launch.shared_memory}"
        )
    kernel = {"match": match, "peaks": peaks, "warp": warp}[binary.symbol]
    with np.errstate(all="ignore"):
        kernel(Call(fake, launch, binary, values))


def match(call: Call) -> None:
    """Pass 1 of the head."""
    blocks, columns, images = call.launch.grid
    channels, cells, rows = call["CHANNELS"], call["cells"], call["rows"]
    covered = min(cells, blocks * call["BLOCK_CELLS"])
    strides = (call["image_stride"], call["channel_stride"], call["cell_stride"])
    x = call.values_of("features", images, channels, cells, strides=strides)[..., :covered]
    square = np.square(x).sum(1)
    inverse = np.where(
        square < np.inf, 1 / np.maximum(np.sqrt(square), np.float32(1e-12)), np.float32(np.nan)
    )

    theta = call.values_of("prototypes", call["keypoints"], channels)
    similarity = call.array("similarity", images, call["keypoints"], cells)
    similarity[..., :covered] = np.einsum("kc,bcp->bkp", theta, x) * inverse[:, None]

    parts = columns - 1
    response = call.array("response", parts, images, cells)
    mass = call.array("mass", parts, images, cells) if call["SOFT"] and parts else None
    beta = call.values_of("clutter", rows, channels)
    for part in range(parts):
        own = slice(part * call["part_rows"], min((part + 1) * call["part_rows"], rows))
        products = np.einsum("nc,bcp->bnp", beta[own], x)
        best = products.max(1, initial=-np.inf)
        response[part, :, :covered] = best * inverse
        if mass is not None:
            counts = call.values_of("counts", rows)[own]
            exponent = inverse * np.float32(call["inverse_temperature"])
            powers = np.exp((products - best[:, None]) * exponent[:, None])
            mass[part, :, :covered] = np.einsum("n,bnp->bp", counts, powers)


def joined(call: Call, images: int, cells: int) -> tuple[Float, Float]:
    """c and ĉ [B, P] of all parts."""
    parts = call["parts"]
    hard = soft = np.full((images, cells), -1, np.float32)
    if parts:
        response = call.array("response", parts, images, cells)
        hard = response.max(0)
        if call["SOFT"]:
            mass = call.array("mass", parts, images, cells)
            tau = np.float32(call["temperature"])
            total = (mass * np.exp((response - hard) / tau)).sum(0)
            soft = hard + tau * np.log(np.float32(call["weight"]) * total)
    return hard, soft if call["SOFT"] else np.full_like(hard, np.nan)


def peaks(call: Call) -> None:
    """Pass 2 of the head."""
    keypoints, images, _ = call.launch.grid
    height, width, count = call["height"], call["width"], call["count"]
    cells = height * width
    hard, soft = joined(call, images, cells)
    against = {"similarity": np.float32(0), "margin": hard[:, None], "log_odds": soft[:, None]}[
        RULES[call["rule"]]
    ]
    q = call.array("similarity", images, keypoints, cells) - against
    q = np.where(q < np.inf, q, np.float32(-np.inf))
    call.array("score", images, keypoints, cells)[:] = q

    grid = (height, width)
    q_map = q.reshape(images, keypoints, *grid)
    if count > 1:
        candidates = np.where(reference.local_maxima(q_map), q_map, -np.inf)
        call.array("candidates", images, keypoints, cells)[:] = candidates.reshape(q.shape)
    maps = reference.ScoreMaps(
        q_map, (q + against).reshape(q_map.shape), hard.reshape(images, *grid), soft.reshape(images, *grid)
    )
    found = reference.find_peaks(maps, count)
    packed = call.array("packed", images, keypoints, count, PEAK_WORDS)
    words = packed.view(np.float32)
    packed[..., 0] = found.index
    words[..., 1], words[..., 2], words[..., 3] = found.similarity, found.clutter, found.soft_clutter
    words[..., 4:] = found.neighbourhood.reshape(*packed.shape[:-1], 9)


def warp(call: Call) -> None:
    """Crop and normalise."""
    blocks, images, _ = call.launch.grid
    height, width, pitch = call["height"], call["width"], call["pitch"]
    h, w = call["crop_height"], call["crop_width"]
    covered = min(h * w, blocks * call["BLOCK"])
    flat = call.array("frame", (height - 1) * pitch + 3 * width)
    frame = np.lib.stride_tricks.as_strided(flat, (height, width, 3), (pitch, 3, 1))[..., ::-1].astype(
        np.float32
    )
    colours = call.array("colours", 3, 3)
    pixels = call.dtype("crops") == np.uint8  # else planes of normalised colours
    crops = call.array("crops", images, *((h * w, 3) if pixels else (3, h * w)))
    pixel = np.arange(covered)
    i, j = (pixel % w).astype(np.float32), (pixel // w).astype(np.float32)
    for crop, a in zip(crops, call.array("affines", images, 6), strict=True):
        x = np.clip(a[0] * i + a[1] * j + a[2], np.float32(-2), np.float32(width + 1))
        y = np.clip(a[3] * i + a[4] * j + a[5], np.float32(-2), np.float32(height + 1))
        left, top = np.floor(x), np.floor(y)
        grey = np.zeros((covered, 3), np.float32)
        for corner in range(4):
            column, row = left.astype(int) + corner % 2, top.astype(int) + corner // 2
            share = (x - left if corner % 2 else 1 - (x - left)) * (y - top if corner // 2 else 1 - (y - top))
            known = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            value = frame[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
            grey += share[:, None] * np.where(known[:, None], value, colours[0])
        if pixels:
            crop[:covered] = np.rint(grey)[:, ::-1]
        else:
            crop[:, :covered] = (colours[1] * np.rint(grey) + colours[2]).T
