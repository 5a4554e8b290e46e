"""The head on a GPU without torch or Triton: banks and buffers in place, two launches for a batch.

    features → match → similarity [B, K, P], response and mass [T, B, P] → peaks → packed [B, K, M, 13]

A batch whose maps are large goes in shares, one after the other in the same memory (`plan.images_at_a_time`).
Everything is allocated once. What goes to a stream neither waits nor allocates, and uses the same addresses each
time: it can be captured into a CUDA graph, one for each number of images. `reference.py` says what is computed.
"""

from __future__ import annotations

import math

import numpy as np

from . import plan
from .driver import Driver
from .features import FeatureMaps
from .gpu_banks import GpuBanks
from .launch import GRID, Kernels
from .packed import PEAK_WORDS, RULES, unpack
from .reference import Float, Peaks, ScoreMaps
from .spec import HeadSpec
from .targets import KernelError
from .variants import match_name, peaks_name
from .workspace import Workspace

WORD = 4  # bytes of a float32, of an int32
SHARE = 4  # images of a share are a multiple of it: peaks of 52 bytes then start at whole 16 bytes


class GpuHead:
    """Features of up to `images` images to peaks, for one model. Not for two streams at once."""

    def __init__(
        self,
        driver: Driver,
        kernels: Kernels,
        head: HeadSpec,
        features: FeatureMaps,
        prototypes: Float,  # float32 [K, C], unit rows
        clutter: Float,  # float32 [N, C], unit rows; N may be 0
        counts: Float | None = None,  # [N], 1 each if None
        *,
        stream: int,  # the banks go up on it, and the constructor waits for it
        images: int = 1,  # the largest batch
        soft: bool = True,  # without, ĉ is not computed and is NaN at every peak
        keep_maps: bool = False,  # for `maps`: the scores beside the similarities instead of over them
    ) -> None:
        """Raises KernelError if there is no kernel or no memory, or for what the kernels do not take."""
        if head.rule == "log_odds" and not soft:
            raise KernelError("the rule log_odds needs the soft clutter response; leave soft=True")
        if not (head.temperature > 0 and head.clutter_weight > 0 and head.peaks >= 1):
            raise KernelError(f"temperature, clutter weight and peaks must be positive, not those of {head}")
        if not 1 <= images <= GRID[2]:
            raise KernelError(f"the head takes 1 to {GRID[2]:,} images at a time, not {images:,}")
        self.images = images
        self._keep_maps = keep_maps
        self._driver, self._head, self._features, self._soft = driver, head, features, soft
        self._match = kernels.kernel(match_name(features.dtype, features.layout, soft))
        self._reduce = kernels.kernel(peaks_name(soft))
        self._check_features(prototypes.shape[-1])
        self._banks = GpuBanks(driver, features.dtype, prototypes, clutter, counts, stream)
        shape = (images, self._banks.keypoints, head.peaks, PEAK_WORDS)
        try:
            self._host = driver.pinned(WORD * math.prod(shape)).view(np.int32).reshape(shape)
            self._memory = Workspace(driver, self._sizes())
        except KernelError:
            self._banks.free()
            raise

    @property
    def extra_memory(self) -> int:
        """Bytes on the GPU beside the features and the banks; no batch takes more."""
        return self._memory.size

    def set_banks(
        self, prototypes: Float, clutter: Float, counts: Float | None = None, *, stream: int
    ) -> None:
        """Put other banks of the same sizes in place, also for graphs that were captured before; waits.

        Raises KernelError if a size differs.
        """
        self._banks.put(prototypes, clutter, counts, stream)

    def enqueue(self, features: int, images: int, stream: int) -> None:
        """The head of `images` images whose features start at an address, on the stream; returns at once.

        Raises KernelError for more images than the head was made for or an address that is not aligned.
        """
        self._check_images(images)
        packed, row = self._memory["packed"], self._banks.keypoints * self._head.peaks * PEAK_WORDS * WORD
        share = self._share(images)
        for first in range(0, images, share):
            at = features + first * self._features.image_bytes
            self._enqueue_share(at, packed + first * row, min(share, images - first), stream)

    def _enqueue_share(self, features: int, packed: int, images: int, stream: int) -> None:
        """Both passes over images whose maps are kept at a time."""
        maps, head, memory = self._features, self._head, self._memory
        rows, parts = self._parts(images)
        between = {name: memory[name] for name in ("similarity", "response", "mass")}
        self._match(
            (-(-maps.cells // self._match.binary.constants["BLOCK_CELLS"]), 1 + parts, images),
            stream,
            features=features,
            prototypes=self._banks["prototypes"],
            clutter=self._banks["clutter"],
            counts=self._banks["counts"],
            **between,
            image_stride=maps.image_stride,
            channel_stride=maps.channel_stride,
            cell_stride=maps.cell_stride,
            cells=maps.cells,
            keypoints=self._banks.keypoints,
            rows=self._banks.rows,
            part_rows=rows,
            inverse_temperature=1 / head.temperature,
        )
        self._reduce(
            (self._banks.keypoints, images, 1),
            stream,
            **between,
            score=memory["score"] or memory["similarity"],
            candidates=memory["candidates"],
            packed=packed,
            height=maps.height,
            width=maps.width,
            parts=parts,
            count=head.peaks,
            rule=RULES.index(head.rule),
            temperature=head.temperature,
            weight=head.clutter_weight,
        )

    def download(self, images: int, stream: int) -> None:
        """Copy the peaks of the last `enqueue` to the host, on the stream; returns at once."""
        self._check_images(images)
        self._driver.download(self._host[:images], self._memory["packed"], stream)

    def peaks(self, images: int) -> Peaks:
        """What `download` brought, once its stream was synchronised."""
        self._check_images(images)
        return unpack(self._host[:images].copy())

    def maps(self, images: int, stream: int) -> ScoreMaps:
        """Every cell's quantities after `enqueue` of as many images, float32; waits.

        Raises KernelError if the head was made without `keep_maps`.
        """
        self._check_images(images)
        if not self._keep_maps:
            raise KernelError("the maps were not kept: make the head with keep_maps=True")
        grid = self._features.height, self._features.width
        of_keypoints, of_parts = (
            (images, self._banks.keypoints, *grid),
            (self._parts(images)[1], images, *grid),
        )
        shapes = {"score": of_keypoints, "similarity": of_keypoints, "response": of_parts, "mass": of_parts}
        found = {name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()}
        for name, target in found.items():
            if target.size and self._memory[name]:
                self._driver.download(target, self._memory[name], stream)
        self._driver.synchronize(stream)
        if len(found["response"]):
            hard, soft = joined(found["response"], found["mass"], self._head)
        else:
            hard = np.where(np.isnan(found["similarity"][:, 0]), np.float32(np.nan), np.float32(-1))
            soft = hard if self._soft else np.full_like(hard, np.nan)
        return ScoreMaps(found["score"], found["similarity"], hard, soft)

    def free(self) -> None:
        """Give the GPU's memory back; a second call does nothing."""
        self._banks.free()
        self._memory.free()

    def _share(self, images: int) -> int:
        """How many of that many images go at a time, so that their maps stay few."""
        if self._keep_maps:
            return images
        at_a_time = plan.images_at_a_time(images, self._banks.keypoints, self._features.cells)
        return min(images, -(-at_a_time // SHARE) * SHARE)

    def _parts(self, images: int) -> tuple[int, int]:
        """Rows of a part of the clutter bank for that many images, and the number of parts."""
        constants = self._match.binary.constants
        blocks = images * -(-self._features.cells // constants["BLOCK_CELLS"])
        processors = self._driver.gpu.processors
        rows = plan.part_rows(blocks, self._banks.rows, constants["BLOCK_ROWS"], processors)
        return rows, plan.parts(self._banks.rows, rows)

    def _sizes(self) -> dict[str, int]:
        """Bytes of each buffer: room for the batch that needs most of it."""
        cells, keypoints, count = self._features.cells, self._banks.keypoints, self._head.peaks
        share = max(self._share(images) for images in range(1, self.images + 1))
        maps = share * keypoints * cells * WORD
        response = cells * WORD * max(self._parts(images)[1] * images for images in range(1, share + 1))
        return {
            "similarity": maps,
            "response": response,
            "mass": response if self._soft else 0,
            "score": maps if self._keep_maps else 0,
            "candidates": maps if count > 1 else 0,
            "packed": self.images * keypoints * count * PEAK_WORDS * WORD,
        }

    def _check_features(self, channels: int) -> None:
        """Raises KernelError unless the binary was compiled for these features and for banks of these channels."""
        maps, binary = self._features, self._match.binary
        compiled = binary.constants["CHANNELS"]
        if not channels == maps.channels == compiled:
            raise KernelError(
                f"{binary.file} was compiled for {compiled} channels, the features have {maps.channels} and the "
                f"banks {channels}: build the kernels with --channels {maps.channels}"
            )
        promises = {parameter.name: parameter.multiple_of for parameter in binary.parameters}
        if maps.layout == "nchw" and maps.cells % promises["cells"]:
            raise KernelError(
                f"channels-first kernels take maps of a multiple of {promises['cells']} cells, not {maps.height} × "
                f"{maps.width}: have the engine give its features channels-last (nhwc)"
            )
        for name in ("image_stride", "channel_stride", "cell_stride"):
            if getattr(maps, name) % promises.get(name, 1):
                raise KernelError(
                    f"{name} {getattr(maps, name)} of the features is no multiple of {promises[name]}, for "
                    f"which {binary.file} was compiled"
                )

    def _check_images(self, images: int) -> None:
        if not 1 <= images <= self.images:
            raise KernelError(f"this head takes 1 to {self.images} images, not {images}")


def joined(response: Float, mass: Float, head: HeadSpec) -> tuple[Float, Float]:
    """Clutter responses c and ĉ [B, H, W] of the parts [T, B, H, W]; ĉ is NaN where the masses are."""
    hard = response.max(0)
    total = np.sum(mass * np.exp((response - hard) / head.temperature), axis=0)
    return hard, hard + head.temperature * np.log(head.clutter_weight * total)
