"""What a detection is: one object's keypoints in frame pixels."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coke_edge.manifest import Keypoints2D

HIDDEN_BELOW = 0.5  # a point with a lower probability of being visible is drawn and reported as hidden
# Below this a keypoint is taken to be where it is if hidden. Between 0.2 and 0.35 most keypoints, visible and covered
# together, are placed right on LSP's validation images (benchmarks/NOTES-visibility.md).
ELSEWHERE_BELOW = 0.3

Vector = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Keypoints:
    """The K keypoints of one object. Coordinates are frame pixels, pixel centres at integers.

    A keypoint without a peak (a map of NaN) has NaN everywhere and visible 0.
    """

    layout: Keypoints2D  # names, skeleton, flip pairs
    xy: Vector  # [K, 2] where each is if it is visible
    similarity: Vector  # [K] −1 … 1, to the keypoint's prototype, where it looks most like it
    clutter: Vector  # [K] the largest similarity to a clutter vector, at the same place
    soft_clutter: Vector  # [K] the same, soft; in the log-odds rule the score is similarity − soft_clutter
    visible: Vector  # [K] probability 0 … 1; NaN if the model was not calibrated for it
    box: Vector  # [4] x0, y0, x1, y1 of the region that was searched
    # [K, M, 2] all places where it may be seen, best first, NaN where there are fewer; None if M = 1
    alternatives: Vector | None = None
    # [K, 2] where each is if it is hidden; None if the model does not place hidden ones
    hidden_xy: Vector | None = None
    # [K] which stand at `hidden_xy`; None: those with P(visible) below ELSEWHERE_BELOW. Smoothing remembers it.
    elsewhere: NDArray[np.bool_] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The K names."""
        return self.layout.names

    @property
    def found(self) -> NDArray[np.bool_]:
        """[K] which keypoints have a peak."""
        return np.asarray(np.isfinite(self.xy).all(axis=1))

    @property
    def hidden(self) -> NDArray[np.bool_]:
        """[K] which keypoints are judged hidden; none, if the model was not calibrated for it."""
        return np.asarray(self.visible < HIDDEN_BELOW)

    @functools.cached_property
    def places(self) -> Vector:
        """[K, 2] where each keypoint is: `hidden_xy` of those that are most likely hidden, `xy` of the others."""
        return (
            self.xy if self.hidden_xy is None else np.where(self.displaced[:, None], self.hidden_xy, self.xy)
        )

    @property
    def displaced(self) -> NDArray[np.bool_]:
        """[K] which keypoints stand at `hidden_xy`; none, if the model does not place hidden ones."""
        if self.hidden_xy is None:
            return np.zeros(len(self), dtype=bool)
        return np.asarray(self.visible < ELSEWHERE_BELOW) if self.elsewhere is None else self.elsewhere

    def __len__(self) -> int:
        return len(self.names)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the box, and for each keypoint its name and numbers, None for what is NaN.

        If the model places hidden keypoints, `hidden_x` and `hidden_y` are there, and `elsewhere` says whether that is
        the likelier place.
        """
        return {
            "box": self.box.tolist(),
            "keypoints": [
                {
                    "name": name,
                    "x": number(self.xy[k, 0]),
                    "y": number(self.xy[k, 1]),
                    "similarity": number(self.similarity[k]),
                    "clutter": number(self.clutter[k]),
                    "soft_clutter": number(self.soft_clutter[k]),
                    "visible": number(self.visible[k]),
                    **self._hidden_place(k),
                }
                for k, name in enumerate(self.names)
            ],
        }

    def _hidden_place(self, k: int) -> dict[str, float | bool | None]:
        if self.hidden_xy is None:
            return {}
        x, y = number(self.hidden_xy[k, 0]), number(self.hidden_xy[k, 1])
        return {"hidden_x": x, "hidden_y": y, "elsewhere": bool(self.displaced[k])}

    def to_coco(self) -> dict[str, Any]:
        """One object of COCO's keypoint results, less `image_id` and `category_id`.

        Keypoints stay as they are, each at its likelier place (`places`); the box is measured from the picture's
        corner, as COCO does. Flags: 0 no peak, 1 judged hidden, 2 visible or not judged. The score is the mean
        similarity of the keypoints that have a peak.
        """
        found = self.found
        flags = np.where(found, np.where(self.hidden, 1, 2), 0)
        triples = np.concatenate([np.where(found[:, None], self.places, 0.0), flags[:, None]], axis=1)
        x0, y0, x1, y1 = self.box.tolist()
        return {
            "keypoints": triples.ravel().tolist(),
            "num_keypoints": int(found.sum()),
            "bbox": [x0 + 0.5, y0 + 0.5, x1 - x0, y1 - y0],
            "score": float(self.similarity[found].mean()) if found.any() else 0.0,
        }

    def to_supervision(self) -> Any:
        """As `supervision.KeyPoints` with one object; `coke_edge.supervision.to_supervision` takes several.

        Raises CokeError if the package supervision is not installed.
        """
        from coke_edge.supervision import to_supervision

        return to_supervision([self])

    def draw(self, frame: NDArray[np.uint8], names: bool = False, box: bool = False) -> NDArray[np.uint8]:
        """A copy of a frame [H, W, 3] BGR with the keypoints on it; see `coke_edge.draw.draw`."""
        from coke_edge.draw import draw

        return draw(frame, self, names, box)


def number(value: float) -> float | None:
    """A float, or None for NaN, which JSON does not have."""
    return None if np.isnan(value) else float(value)
