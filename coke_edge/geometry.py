"""From the frame to the crop that the network sees, and from a cell of its map back to the frame.

Coordinates: x to the right, y down, pixel centres at integers (OpenCV), so an image of width w covers
[−½, w − ½]. A box is (x0, y0, x1, y1) in the same coordinates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Affine = NDArray[np.float64]  # [2, 3], takes source (x, y, 1) to target (x, y)


def frame_box(width: int, height: int) -> NDArray[np.float64]:
    """The box [4] that covers a whole frame of `width` × `height` pixels."""
    return np.array([-0.5, -0.5, width - 0.5, height - 0.5])


def box_to_crop(box: ArrayLike, width: int, height: int, margin: float = 1.0) -> Affine:
    """Affine [2, 3] from frame to a crop of `width` × `height` that holds `box` scaled by `margin`.

    The box keeps its aspect and its centre lies at the crop's centre; what is left over is filled from the
    frame, or with the border colour outside it (letterbox).

    Raises ValueError if the box is empty or not finite.
    """
    x0, y0, x1, y1 = (float(v) for v in np.asarray(box, dtype=np.float64))
    if not (np.isfinite([x0, y0, x1, y1]).all() and x1 > x0 and y1 > y0):
        raise ValueError(f"a box needs x0 < x1 and y0 < y1, not {(x0, y0, x1, y1)}")
    scale = min(width / (x1 - x0), height / (y1 - y0)) / margin
    return np.array(
        [
            [scale, 0.0, (width - 1) / 2 - scale * (x0 + x1) / 2],
            [0.0, scale, (height - 1) / 2 - scale * (y0 + y1) / 2],
        ]
    )


def invert(affine: ArrayLike) -> Affine:
    """The inverse [2, 3] of an affine [2, 3]. Raises ValueError if it has none."""
    # Written out: after a network, np.linalg costs every frame more (benchmarks/NOTES-cpu.md).
    (a, b, x), (c, d, y) = np.asarray(affine, dtype=np.float64).tolist()
    determinant = a * d - b * c
    if not determinant:
        raise ValueError(f"the affine {affine!r} puts everything on a line: it has no inverse")
    inverse = np.array([[d, -b, b * y - d * x], [-c, a, c * x - a * y]])
    inverse /= determinant
    return inverse


def transform(affine: ArrayLike, points: ArrayLike) -> NDArray[np.float64]:
    """Apply an affine [2, 3] to points [..., 2]."""
    a = np.asarray(affine, dtype=np.float64)
    return np.asarray(np.asarray(points, dtype=np.float64) @ a[:, :2].T + a[:, 2])


def cells_to_crop(column: ArrayLike, row: ArrayLike, stride: int) -> NDArray[np.float64]:
    """Crop position [..., 2] of cell (column, row) of a map of `stride`: ((j + ½)·S − ½, (i + ½)·S − ½).

    Fractions are allowed: the sub-cell step of the decode passes them.
    """
    cells = np.stack([np.asarray(column, dtype=np.float64), np.asarray(row, dtype=np.float64)], axis=-1)
    return (cells + 0.5) * stride - 0.5


def crop_to_cells(points: ArrayLike, stride: int) -> NDArray[np.float64]:
    """Inverse of `cells_to_crop`: crop positions [..., 2] to fractional (column, row) [..., 2]."""
    return (np.asarray(points, dtype=np.float64) + 0.5) / stride - 0.5
