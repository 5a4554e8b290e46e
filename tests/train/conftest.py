"""A small annotated data set made on the spot: coloured dots on a plate, one colour per keypoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from coke_edge.detector import Detector
from coke_edge.kernels.spec import HeadSpec
from coke_edge.kernels.torch_reference import Peaks, find_peaks, score_maps
from coke_edge.manifest import InputSpec, Keypoints2D, ModelSpec
from coke_edge.train.data.sample import HIDDEN, VISIBLE, KeypointDataset, Sample
from coke_edge.train.torch_backend import TorchBackend

COLOURS = ((40, 40, 230), (40, 230, 40), (230, 60, 40), (30, 220, 220))
DOTS = Keypoints2D(("left_top", "right_top", "left_low", "right_low"), ((0, 1), (2, 3)), ((0, 1), (2, 3)))


def draw_dots(path: Path, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One image of 96×80 with a plate and four dots; returns keypoints [4, 2] and box [4]."""
    image = rng.integers(0, 90, (80, 96, 3)).astype(np.uint8)
    x, y = rng.uniform(12, 30), rng.uniform(12, 24)
    w, h = rng.uniform(36, 50), rng.uniform(30, 40)
    cv2.rectangle(image, (int(x - 6), int(y - 6)), (int(x + w + 6), int(y + h + 6)), (200, 200, 200), -1)
    points = np.array([[x, y], [x + w, y], [x, y + h], [x + w, y + h]], np.float32)
    for (px, py), colour in zip(points, COLOURS, strict=True):
        cv2.circle(image, (round(float(px)), round(float(py))), 4, colour, -1)
    cv2.imwrite(str(path), image)
    return points, np.array([x - 6, y - 6, x + w + 6, y + h + 6], np.float32)


@pytest.fixture(scope="session")
def dots(tmp_path_factory: pytest.TempPathFactory) -> KeypointDataset:
    """Twelve samples; one keypoint of the last is annotated as hidden."""
    folder = tmp_path_factory.mktemp("dots")
    rng = np.random.default_rng(0)
    samples = []
    for i in range(12):
        points, box = draw_dots(folder / f"{i:02d}.png", rng)
        visibility = np.full(4, VISIBLE, np.uint8)
        if i == 11:
            visibility[0] = HIDDEN
        samples.append(Sample(folder / f"{i:02d}.png", points, visibility, box, str(i)))
    return KeypointDataset("dots", "train", DOTS, samples, "box", marks_hidden=True)


# A world with a known answer: coloured blobs on grey, and a model whose features are colours.
SIZE = 128  # px, side of an image
GREY = 127.0
BLOB = 8.0  # px, standard deviation
HUES = np.array([[230, 40, 40], [40, 230, 40], [40, 40, 230], [220, 220, 30]])  # BGR, one per keypoint
TRUNK = Keypoints2D(
    ("left_shoulder", "right_shoulder", "left_hip", "right_hip"), ((0, 1), (2, 3)), ((0, 1), (2, 3))
)


class ColourModel:
    """Features [B, 4, H/8, W/8]: a cell's mean colour less grey, and a constant: nearest a prototype where a
    blob is strongest."""

    def __init__(self) -> None:
        hues = torch.tensor(HUES, dtype=torch.float32) - GREY
        self.prototypes = F.normalize(F.pad(hues, (0, 1)), dim=1)
        self.clutter = torch.tensor([[0.0, 0.0, 0.0, 1.0], [0.5, 0.5, 0.5, 0.5]])

    def peaks(self, image: Tensor, head: HeadSpec) -> Peaks:
        maps = score_maps(self.features(image), self.prototypes, self.clutter, head)
        return find_peaks(maps, head.peaks)

    def features(self, image: Tensor) -> Tensor:
        x = image.float().permute(0, 3, 1, 2) - GREY
        return F.avg_pool2d(F.pad(x, (0, 0, 0, 0, 0, 1), value=60.0), 8)


@dataclasses.dataclass(frozen=True)
class World:
    """The data set, the model, its specification, and photos for occluders."""

    dataset: KeypointDataset
    model: ColourModel
    spec: ModelSpec
    photos: list[np.ndarray]


def draw_blobs(folder: Path, number: int) -> Sample:
    """An image with one blob of each colour, at random places that do not overlap."""
    rng = np.random.default_rng(number)
    places = rng.permutation(16)[: len(HUES)]
    centres = np.stack([places % 4, places // 4], axis=1) * 32 + 16 + rng.integers(-4, 5, (len(HUES), 2))
    grid = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), axis=-1)
    canvas = GREY + rng.normal(0, 3, (SIZE, SIZE, 1))
    for centre, hue in zip(centres, HUES, strict=True):
        strength = np.exp(-((grid - centre) ** 2).sum(-1) / (2 * BLOB**2))
        canvas = canvas + strength[..., None] * (hue - GREY)
    path = folder / f"{number:03d}.png"
    cv2.imwrite(str(path), np.clip(canvas, 0, 255).astype(np.uint8))
    box = np.array([-0.5, -0.5, SIZE - 0.5, SIZE - 0.5], np.float32)
    flags = np.full(len(HUES), VISIBLE, np.uint8)
    return Sample(path, centres.astype(np.float32), flags, box, key=path.stem)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Twelve images of blobs, and what finds them."""
    folder = tmp_path_factory.mktemp("blobs")
    samples = [draw_blobs(folder, i) for i in range(12)]
    spec = ModelSpec(
        keypoints=TRUNK,
        input=InputSpec(SIZE, SIZE, 1.0, (127, 127, 127), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        stride=8,
        head=HeadSpec("similarity", temperature=0.07, clutter_weight=0.005),
    )
    noise = [np.random.default_rng(i).integers(110, 145, (90, 80, 1)).astype(np.uint8) for i in range(3)]
    dataset = KeypointDataset("blobs:", "val", TRUNK, samples, "torso", marks_hidden=False)
    return World(dataset, ColourModel(), spec, [grey.repeat(3, axis=2) for grey in noise])


@pytest.fixture(scope="session")
def detector_of() -> Callable[..., Detector]:
    """Function (world, its specification or another) → a detector on the world's model."""

    def detector_of(world: World, spec: ModelSpec | None = None) -> Detector:
        spec = spec or world.spec
        return Detector.from_backend(spec, TorchBackend(SimpleNamespace(model=world.model, spec=spec)))

    return detector_of


@pytest.fixture
def says_of_its_trainings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The name of a model of which a module learns these stages, and whether it is a bundle."""

    def make(module: Any, *stages: Any, is_bundle: bool = False) -> str:
        monkeypatch.setattr(module, "recorded_stages", lambda _: (list(stages), is_bundle))
        return "runs/1"

    return make
