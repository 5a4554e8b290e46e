"""One picture of a workbench: clutter, a bracket in a random pose, its shadow, and things lying over it."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from coke_edge.train.data.bracket import Bracket, Points
from coke_edge.train.data.raster import Camera, Image, draw_faces, fill, hidden, see_faces
from coke_edge.train.data.sample import HIDDEN, UNLABELLED, VISIBLE

Rng = np.random.Generator
WIDTH, HEIGHT = 320, 240
OVERSAMPLING = 2  # drawn at this many times the size, then averaged: smooth edges

METALS = ((0.72, 0.72, 0.70), (0.62, 0.66, 0.70), (0.45, 0.68, 0.80), (0.75, 0.55, 0.38), (0.40, 0.45, 0.78))
BENCHES = ((0.30, 0.32, 0.34), (0.30, 0.42, 0.55), (0.36, 0.40, 0.24), (0.50, 0.42, 0.32), (0.66, 0.68, 0.70))


@dataclasses.dataclass(frozen=True)
class Scene:
    """A rendered picture: `image` uint8 [240, 320, 3] BGR; keypoints [8, 2] and box [4] in its pixels."""

    image: NDArray[np.uint8]
    keypoints: NDArray[np.float64]
    visibility: NDArray[np.uint8]
    box: NDArray[np.float64]


def render_scene(rng: Rng) -> Scene:
    """A picture with exact keypoints: HIDDEN behind the part itself or behind another thing."""
    width, height = WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING
    bracket = Bracket(
        depth=rng.uniform(1.3, 1.6), height=rng.uniform(1.1, 1.4), stud_height=rng.uniform(0.3, 0.5)
    )
    camera = _camera(rng, width, height)
    light = _light(rng)
    image = _bench(rng, width, height)
    for _ in range(rng.integers(3, 9)):
        _draw_thing(image, rng)
    outlines = [face.outline for face in bracket.faces()]
    _cast_shadow(image, outlines, camera, light, -bracket.thickness)
    faces = see_faces(bracket.faces(), camera, light)
    colour = np.asarray(METALS[rng.integers(len(METALS))]) * rng.uniform(0.8, 1.15)
    covered = draw_faces(image, faces, colour, _brushed(rng))
    above = np.zeros((height, width), bool)
    for _ in range(rng.choice(3, p=(0.35, 0.4, 0.25))):
        above |= _draw_thing(image, rng, near=camera.centre)
    points = bracket.keypoints()
    drawn = camera.project(points)
    behind = hidden(points, faces, camera) | _at(above, drawn)
    keypoints = (drawn + 0.5) / OVERSAMPLING - 0.5
    inside = ((keypoints > -0.5) & (keypoints < (WIDTH - 0.5, HEIGHT - 0.5))).all(axis=1)
    visibility = np.where(inside, np.where(behind, HIDDEN, VISIBLE), UNLABELLED).astype(np.uint8)
    return Scene(_photograph(image, rng), keypoints, visibility, _extent(covered))


def _camera(rng: Rng, width: int, height: int) -> Camera:
    distance = rng.uniform(5.0, 8.0)
    return Camera(
        target=np.array([0.0, 0.35, 0.5]),
        distance=distance,
        azimuth=np.radians(rng.uniform(-75, 75)),
        elevation=np.radians(rng.uniform(14, 62)),
        roll=np.radians(rng.uniform(-22, 22)),
        focal=height * rng.uniform(0.24, 0.33) * distance,
        centre=(width * rng.uniform(0.38, 0.62), height * rng.uniform(0.42, 0.58)),
    )


def _light(rng: Rng) -> Points:
    direction = np.array([rng.uniform(-0.7, 0.7), rng.uniform(0.8, 1.2), rng.uniform(0.1, 0.9)])
    return np.asarray(direction / np.linalg.norm(direction))


def _noise(rng: Rng, width: int, height: int, cells: tuple[int, int]) -> Image:
    """Smooth noise [H, W] around 0: unit normal in `cells` (columns, rows), interpolated between them."""
    coarse = rng.standard_normal((cells[1], cells[0])).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _brushed(rng: Rng) -> Image:
    """Brightness [128, 128] of brushed metal: fine streaks and broad stains."""
    streaks = _noise(rng, 128, 128, (6, 128))
    return np.asarray(1 + 0.05 * streaks + 0.07 * _noise(rng, 128, 128, (4, 4)), np.float32)


def _bench(rng: Rng, width: int, height: int) -> Image:
    """The bench [H, W, 3]: stains, grain, and sometimes the lines of a cutting mat."""
    colour = np.asarray(BENCHES[rng.integers(len(BENCHES))], np.float32) * rng.uniform(0.8, 1.2)
    grain = _noise(rng, width, height, (int(rng.integers(4, 12)), int(rng.integers(30, 120))))
    brightness = 1 + 0.10 * _noise(rng, width, height, (6, 4)) + 0.04 * grain
    image = brightness[..., None] * colour
    if rng.random() < 0.35:
        step = int(rng.integers(40, 90))
        for x in range(int(rng.integers(step)), width, step):
            cv2.line(image, (x, 0), (x, height), (colour * 1.25).tolist(), 1, cv2.LINE_AA)
        for y in range(int(rng.integers(step)), height, step):
            cv2.line(image, (0, y), (width, y), (colour * 1.25).tolist(), 1, cv2.LINE_AA)
    return np.ascontiguousarray(image, dtype=np.float32)


def _draw_thing(image: Image, rng: Rng, near: tuple[float, float] | None = None) -> NDArray[np.bool_]:
    """Draw a washer, a nut, a rod, a cable or a label with its shadow; returns what it covers [H, W]."""
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    anywhere, close = rng.uniform((0, 0), (width, height)), rng.uniform(-0.3, 0.3, 2) * height
    at = anywhere if near is None else np.asarray(near) + close
    size, angle = height * rng.uniform(0.04, 0.11), rng.uniform(0, 2 * np.pi)
    kind = rng.choice(["washer", "nut", "rod", "cable", "label"])
    if kind in ("washer", "nut"):
        rings = [_ring(at, size, 40 if kind == "washer" else 6, angle), _ring(at, 0.55 * size, 40, 0.0)]
        fill(mask, rings)
    elif kind == "label":
        fill(mask, [_ring(at, 1.6 * size, 4, angle) * (1.0, 0.8) + (0.0, 0.2 * at[1])])
    else:
        along = np.array([np.cos(angle), np.sin(angle)]) * height
        bend = rng.uniform(-0.4, 0.4, 2) * height if kind == "cable" else np.zeros(2)
        t = np.linspace(-1, 1, 40)[:, None]
        path = at + along * t + bend * t**2
        cv2.polylines(
            mask, [np.round(path).astype(np.int32)], False, 255, max(3, int(size * 0.5)), cv2.LINE_AA
        )
    _shade_thing(image, mask, rng.uniform(0.1, 0.95) * rng.uniform(0.75, 1.0, 3))
    return mask > 127


def _ring(at: Points, radius: float, sides: int, angle: float) -> Points:
    turns = angle + np.arange(sides) * (2 * np.pi / sides)
    return np.asarray(at + radius * np.stack([np.cos(turns), np.sin(turns)], axis=1))


def _shade_thing(image: Image, mask: NDArray[np.uint8], colour: Points) -> None:
    """Fill a mask with a colour that is lighter at the upper left rim, over a soft shadow."""
    x, y, width, height = cv2.boundingRect(mask)
    margin = 24  # more than blur and shift reach
    window = np.s_[max(y - margin, 0) : y + height + margin, max(x - margin, 0) : x + width + margin]
    part, mask = image[window], mask[window]
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), 5) / 255, np.float32)
    part *= 1 - 0.45 * _shifted(soft, 5)[..., None]
    relief = 1 + 0.8 * (soft - _shifted(soft, 4))
    alpha = mask.astype(np.float32) / 255
    part += alpha[..., None] * (relief[..., None] * colour.astype(np.float32) - part)


def _shifted(image: Image, by: int) -> Image:
    """Moved to the lower right by some pixels, edges repeated."""
    padded = np.pad(image, ((by, 0), (by, 0)), mode="edge")
    return padded[: image.shape[0], : image.shape[1]]


def _cast_shadow(image: Image, outlines: list[Points], camera: Camera, light: Points, ground: float) -> None:
    """Darken the bench (the plane y = ground) where the part keeps the light off."""
    mask = np.zeros(image.shape[:2], np.uint8)
    for outline in outlines:
        fallen = outline - light * ((outline[:, 1:2] - ground) / light[1])
        fill(mask, [camera.project(fallen)])
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), 4), np.float32) / 255
    image *= 1 - 0.55 * soft[..., None]


def _at(mask: NDArray[np.bool_], points: Points) -> NDArray[np.bool_]:
    """The mask at the nearest pixels of points [n, 2]; false outside it."""
    column, row = np.round(points).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < mask.shape[1]) & (row < mask.shape[0])
    return np.asarray(inside & mask[np.where(inside, row, 0), np.where(inside, column, 0)])


def _extent(covered: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The box of a mask, in pixels of the finished picture."""
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    edges = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return np.asarray(edges / OVERSAMPLING - 0.5)


def _photograph(image: Image, rng: Rng) -> NDArray[np.uint8]:
    """Average down, then the camera's exposure, vignette and noise."""
    small = np.asarray(cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))
    y, x = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None], np.linspace(-1, 1, WIDTH, dtype=np.float32)
    exposure = rng.uniform(0.8, 1.2) * (1 - rng.uniform(0, 0.15) * (x**2 + y**2))
    noise = rng.uniform(0.003, 0.02) * rng.standard_normal(small.shape, dtype=np.float32)
    exposed = np.clip(small * exposure[..., None].astype(np.float32), 0, 1) + noise.astype(np.float32)
    return np.asarray(np.clip(exposed * 255, 0, 255).round(), np.uint8)
