"""From samples to crops: the region, the augmentation, and the loader that feeds the training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from coke_edge.errors import CokeError
from coke_edge.geometry import Affine, box_to_crop, transform
from coke_edge.manifest import InputSpec, Keypoints2D
from coke_edge.preprocess import crop
from coke_edge.train.batch import Batch
from coke_edge.train.data.images import ImageCache
from coke_edge.train.data.sample import UNLABELLED, KeypointDataset, Sample
from coke_edge.train.data.targets import target_flags
from coke_edge.train.occluders import OccluderFolder
from coke_edge.train.occlusion import hide_covered, paste_occluders
from coke_edge.train.recipe import Recipe

LEAST_COVERED = 0.05  # share of the object's box that training occluders cover at least
OCCLUDER_POOL = 8  # photos at hand for one crop's occluders


class Crops(Dataset[Batch]):
    """Augmented crops; item (epoch, index) is the same in every process and on every machine."""

    def __init__(self, data: KeypointDataset, recipe: Recipe, spec: InputSpec) -> None:
        self.samples = data.samples
        self.counts_hidden = data.counts_hidden
        self.recipe = recipe
        self.spec = spec
        self.swap = flip_order(data.keypoints)
        self.cache = ImageCache(recipe.cache_mb * 2**20)
        self.photos = occluder_photos(recipe, data.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        epoch, index = key
        rng = np.random.default_rng([self.recipe.seed, epoch, index])
        sample = self.samples[index]
        affine = augmented_affine(sample.box, self.recipe, self.spec, rng)
        image = crop(self.cache.read(sample.image), affine, self.spec)
        points = transform(affine, sample.keypoints)
        visibility = target_flags(sample.visibility, self.counts_hidden)
        corners = transform(affine, sample.box[[[0, 1], [2, 1], [0, 3], [2, 3]]])
        if np.linalg.det(affine[:, :2]) < 0:
            points, visibility = points[self.swap], visibility[self.swap]
        outside = ~((points >= -0.5) & (points < [self.spec.width - 0.5, self.spec.height - 0.5])).all(-1)
        visibility[outside] = UNLABELLED
        box = np.concatenate([corners.min(0), corners.max(0)])
        if rng.random() < self.recipe.occluders:
            image = self.occlude(image, points, visibility, box, rng)
        image = jitter_colour(image, self.recipe.colour, rng)
        return Batch(
            torch.from_numpy(image),
            torch.from_numpy(points.astype(np.float32)),
            torch.from_numpy(visibility),
            torch.from_numpy(box.astype(np.float32)),
            torch.tensor(int(rng.integers(2**62))),
        )

    def occlude(
        self,
        image: NDArray[np.uint8],
        points: NDArray[np.float64],
        visibility: NDArray[np.uint8],
        box: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> NDArray[np.uint8]:
        """Paste occluders; visible keypoints under them become HIDDEN, in place."""
        chosen = rng.choice(len(self.photos), size=min(OCCLUDER_POOL, len(self.photos)), replace=False)
        photos = [self.cache.read(self.photos[i]) for i in chosen]
        of_box, of_rest = (LEAST_COVERED, self.recipe.occluder_cover), (0.0, self.recipe.occluder_background)
        image, mask = paste_occluders(image, box, rng, photos, of_box, of_rest)
        visibility[:] = hide_covered(points, visibility, mask)
        return image


def occluder_photos(recipe: Recipe, samples: Sequence[Sample]) -> list[Path]:
    """Where occluders are cut from: the recipe's folder, or the training images themselves."""
    if recipe.occluder_images is None:
        return sorted({sample.image for sample in samples})
    return OccluderFolder.parse(recipe.occluder_images).files()


def flip_order(keypoints: Keypoints2D) -> NDArray[np.int64]:
    """The permutation [K] of keypoints under mirroring."""
    order = np.arange(len(keypoints.names))
    for a, b in keypoints.flip_pairs:
        order[a], order[b] = b, a
    return order


def augmented_affine(
    box: NDArray[np.float32], recipe: Recipe, spec: InputSpec, rng: np.random.Generator
) -> Affine:
    """Frame → crop: the plain crop, then rotated, scaled, shifted and perhaps mirrored about its centre."""
    angle = math.radians(rng.uniform(-1, 1) * recipe.rotation)
    scale = (1 + recipe.scale) ** rng.uniform(-1, 1)
    mirror = -1.0 if rng.random() < recipe.flip else 1.0
    shift = rng.uniform(-1, 1, 2) * recipe.shift * [spec.width, spec.height]
    centre = np.array([(spec.width - 1) / 2, (spec.height - 1) / 2])
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    turn = np.array([[mirror * cos, -mirror * sin], [sin, cos]])
    plain = box_to_crop(box, spec.width, spec.height, spec.box_margin)
    linear = turn @ plain[:, :2]
    offset = turn @ (plain[:, 2] - centre) + centre + shift
    return np.concatenate([linear, offset[:, None]], axis=1)


def jitter_colour(image: NDArray[np.uint8], strength: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Brightness, contrast and saturation × (1 ± `strength`), a weaker tint per channel; at times gray or blurred."""
    if strength == 0:
        return image
    brightness, contrast, saturation = 1 + strength * rng.uniform(-1, 1, 3)
    tint = 1 + 0.3 * strength * rng.uniform(-1, 1, 3)
    x = image.astype(np.float32)
    gray = x.mean(axis=2, keepdims=True)
    if rng.random() < 0.3 * strength:
        saturation = 0.0
    x = gray + saturation * (x - gray)
    mean = gray.mean()
    x = (mean + contrast * (x - mean)) * (brightness * tint.astype(np.float32))
    out: NDArray[np.uint8] = np.clip(x, 0, 255).astype(np.uint8)
    if rng.random() < 0.5 * strength:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.5, 1.5))), dtype=np.uint8)
    return out


def first_images(crops: Crops, count: int = 64) -> torch.Tensor:
    """The images of the first epoch's first crops, before they are shuffled, uint8 BGR [n ≤ count, H, W, 3]."""
    return torch.stack([crops[0, index].image for index in range(min(count, len(crops)))])


class EpochSampler(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index), shuffled by (seed, epoch), from number `skip` on; set both before each epoch.

    Of every batch the process `rank` of `count` gets its own contiguous part.
    """

    def __init__(self, size: int, batch_size: int, seed: int, rank: int = 0, count: int = 1) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.rank, self.count = rank, count
        self.epoch = 0
        self.skip = 0

    def __len__(self) -> int:
        return max(1, self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.size)
        # The last, short batch is left out: its images come in other epochs.
        for i in range(self.skip, len(self)):
            batch = order[i * self.batch_size : (i + 1) * self.batch_size]
            share = len(batch) // self.count
            yield [(self.epoch, int(j)) for j in batch[self.rank * share : (self.rank + 1) * share]]


def make_loader(crops: Crops, recipe: Recipe, rank: int = 0, count: int = 1) -> DataLoader[Batch]:
    """The training loader of the process `rank` of `count`; its `batch_sampler` is an EpochSampler.

    Raises CokeError if the processes cannot share a batch equally.
    """
    images = min(len(crops), recipe.batch_size)
    if images % count:
        raise CokeError(
            f"{count} processes cannot share a batch of {images} images equally: start a number of processes that "
            f"divides {images}, or a new run with another --batch-size"
        )
    return DataLoader(
        crops,
        batch_sampler=EpochSampler(len(crops), recipe.batch_size, recipe.seed, rank, count),
        num_workers=recipe.workers,
        collate_fn=stack,
        worker_init_fn=quiet_worker,
        persistent_workers=recipe.workers > 0,
    )


def batches(loader: DataLoader[Batch]) -> Iterator[Batch]:
    """The loader's batches. What a loader process raises comes as its one sentence, without the traceback."""
    try:
        yield from loader
    except CokeError as error:
        # torch makes the message of an error in another process the text of its whole traceback.
        *traceback, last = str(error).rstrip().splitlines()
        raise type(error)(last.partition(": ")[2] if traceback else last) from None


def stack(items: list[Batch]) -> Batch:
    """Crops to a batch."""
    return Batch(*(torch.stack(field) for field in zip(*items, strict=True)))


def quiet_worker(_: int) -> None:
    """One thread per loader process: the cores belong to the network; Ctrl-C belongs to the main process."""
    import signal

    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
