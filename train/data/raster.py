"""A small renderer of planar faces: pinhole camera, depth buffer, one light, and which points are hidden."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from coke_edge.train.data.bracket import Face, Points

Image = NDArray[np.float32]  # [H, W, 3] BGR or [H, W] grey, 0 … 1
FRACTION_BITS = 6  # of the sub-pixel positions that OpenCV's polygon filling takes


@dataclasses.dataclass(frozen=True)
class Camera:
    """Pinhole camera that looks at `target` from `distance`; angles in radians, `centre` in pixels."""

    target: Points
    distance: float
    azimuth: float
    elevation: float
    roll: float
    focal: float  # pixels
    centre: tuple[float, float]

    @cached_property
    def axes(self) -> Points:
        """Rows: right, down and forward of the camera, in object coordinates."""
        cos_e, sin_e = np.cos(self.elevation), np.sin(self.elevation)
        forward = -np.array([cos_e * np.sin(self.azimuth), sin_e, cos_e * np.cos(self.azimuth)])
        right = np.cross(forward, (0.0, 1.0, 0.0))
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        cos_r, sin_r = np.cos(self.roll), np.sin(self.roll)
        return np.stack([cos_r * right + sin_r * down, cos_r * down - sin_r * right, forward])

    def seen(self, points: Points) -> Points:
        """Points [n, 3] in the camera's own axes, seen from its eye."""
        return np.asarray((points - self.target) @ self.axes.T + (0.0, 0.0, self.distance))

    def project(self, points: Points) -> Points:
        """Pixels [n, 2] of points [n, 3]."""
        seen = self.seen(points)
        return np.asarray(seen[:, :2] / seen[:, 2:] * self.focal + self.centre)


@dataclasses.dataclass(frozen=True)
class SeenFace:
    """A face in the picture: rings in pixels, the outline first, and what its pixels share."""

    rings: list[Points]
    plane: Points  # (a, b, c): inverse depth = a·x + b·y + c
    brightness: float

    def covers(self, x: float, y: float) -> bool:
        """Whether a pixel is inside the outline and in no hole."""
        inside = [cv2.pointPolygonTest(ring.astype(np.float32), (x, y), False) > 0 for ring in self.rings]
        return inside[0] and not any(inside[1:])


def see_faces(faces: list[Face], camera: Camera, light: Points) -> list[SeenFace]:
    """The faces that are turned to the camera, lit from the unit direction `light`."""
    corners = np.stack([face.outline[:3] for face in faces])
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    eye = camera.target - camera.distance * camera.axes[2]
    to_eye = eye - np.stack([face.outline.mean(axis=0) for face in faces])
    # A face is a plane n·X = −h with the eye at the origin, so 1/z = −n·((x − cx)/f, (y − cy)/f, 1)/h.
    heights = np.einsum("fi,fi->f", normals, to_eye)
    normals *= np.sign(heights)[:, None]
    turned = -(normals @ camera.axes.T) / np.maximum(np.abs(heights), 1e-9)[:, None]
    slopes = turned[:, :2] / camera.focal
    planes = np.column_stack([slopes, turned[:, 2] - slopes @ np.asarray(camera.centre)])
    brightness = _brightness(normals, to_eye, light)
    return [
        SeenFace(
            [camera.project(ring) for ring in (face.outline, *face.holes)],
            planes[n],
            float(face.finish * brightness[n]),
        )
        for n, face in enumerate(faces)
        if abs(heights[n]) > 1e-6 and (face.outward is None or face.outward @ to_eye[n] > 0)
    ]


def _brightness(normals: Points, to_eye: Points, light: Points) -> Points:
    """Ambient, diffuse and specular light on faces [F, 3] that are turned to the eye."""
    to_eye = to_eye / np.linalg.norm(to_eye, axis=1, keepdims=True)
    facing = normals @ light
    mirrored = 2 * facing[:, None] * normals - light
    specular = np.maximum(np.einsum("fi,fi->f", mirrored, to_eye), 0) ** 12
    return np.asarray(0.35 + 0.6 * np.maximum(facing, 0) + 0.35 * specular)


def draw_faces(image: Image, faces: list[SeenFace], colour: Points, texture: Image) -> NDArray[np.bool_]:
    """Draw faces into `image` and return where they cover it [H, W].

    `texture` [h, w] scales the brightness over a four-sided face, its mean that of the others.
    """
    height, width = image.shape[:2]
    nearest, brightness = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for face in faces:
        low = np.maximum(np.floor(face.rings[0].min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(face.rings[0].max(axis=0)).astype(int) + 1, (width, height))
        if (high <= low).any():
            continue
        window = np.s_[low[1] : high[1], low[0] : high[0]]
        mask = np.zeros(nearest[window].shape, np.uint8)
        fill(mask, [ring - low for ring in face.rings])
        a, b, c = face.plane
        y, x = np.arange(low[1], high[1])[:, None], np.arange(low[0], high[0])
        inverse_depth = (a * x).astype(np.float32) + (b * y + c).astype(np.float32)
        front = (mask > 0) & (inverse_depth > nearest[window])
        np.copyto(nearest[window], inverse_depth, where=front)
        textured = len(face.rings[0]) == 4 and min(mask.shape) >= 16
        shade = _laid_on(texture, face.rings[0] - low, mask.shape) if textured else texture.mean()
        np.copyto(brightness[window], face.brightness * shade, where=front)
    covered = nearest > 0
    np.copyto(image, brightness[..., None] * colour.astype(np.float32), where=covered[..., None])
    return covered


def hidden(points: Points, faces: list[SeenFace], camera: Camera) -> NDArray[np.bool_]:
    """Which of the points [n, 3] lie behind a face [n]; a point on a face is not behind it."""
    pixels, inverse_depth = camera.project(points), 1 / camera.seen(points)[:, 2]
    planes = np.stack([face.plane for face in faces])
    in_front = pixels @ planes[:, :2].T + planes[:, 2] > inverse_depth[:, None] * 1.004  # [n, F]
    return np.array(
        [any(faces[f].covers(x, y) for f in np.flatnonzero(in_front[n])) for n, (x, y) in enumerate(pixels)]
    )


def fill(mask: NDArray[np.uint8], polygons: list[Points]) -> None:
    """Set 255 inside the polygons [n, 2] (even–odd, so that holes stay open)."""
    scaled = [np.round(polygon * 2**FRACTION_BITS).astype(np.int32) for polygon in polygons]
    cv2.fillPoly(mask, scaled, 255, shift=FRACTION_BITS)


def _laid_on(texture: Image, outline: Points, shape: tuple[int, ...]) -> Image:
    """The texture in perspective on a four-sided face, in a window of `shape`."""
    height, width = texture.shape
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    homography = cv2.getPerspectiveTransform(corners, outline.astype(np.float32))
    warped = cv2.warpPerspective(texture, homography, (shape[1], shape[0]), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(warped, np.float32)
