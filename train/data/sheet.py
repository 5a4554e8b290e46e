"""A contact sheet: objects cut out of their images with keypoints, lines and box drawn, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from coke_edge.draw import MIDDLE, RIM, Colour, draw, side_colour
from coke_edge.errors import DataError
from coke_edge.geometry import box_to_crop, transform
from coke_edge.keypoints import Keypoints
from coke_edge.manifest import Keypoints2D
from coke_edge.stream.images import read_image
from coke_edge.train.data.sample import VISIBLE, KeypointDataset, Sample

TILE, GAP, LEGEND_LINE, FONT_SIZE = 300, 6, 22, 12
MARGIN = 1.35  # of the box, so that its surroundings show
GROUND: Colour = (28, 26, 24)
UNREADABLE: Colour = (30, 30, 90)
Canvas = NDArray[np.uint8]
Text = tuple[tuple[int, int], str, Colour]  # upper left corner, what, colour


def contact_sheet(datasets: Sequence[KeypointDataset], count: int = 24, columns: int = 6) -> Canvas:
    """A picture, uint8 [H, W, 3] BGR, of about `count` objects spread evenly over the splits.

    Drawn as detections are: left orange, right blue, hidden points as rings; so a swapped pair or a shifted
    point leaps to the eye. The legend below gives the names to the numbers.
    """
    layout = datasets[0].keypoints
    # PASCAL3D+ has one list for val and test: it is shown once.
    distinct = {tuple(s.key for s in d.samples): d for d in reversed(datasets)}
    shown = list(reversed(distinct.values()))
    share = -(-count // len(shown))
    chosen = [(d.split, d.samples[i]) for d in shown for i in _spread(len(d.samples), share)][:count]
    tiles = [_tile(sample, split, layout) for split, sample in chosen]
    columns = min(columns, len(tiles))
    tiles += [np.full((TILE, TILE, 3), GROUND, np.uint8)] * (-len(tiles) % columns)
    padded = [_framed(tile) for tile in tiles]
    grid = np.vstack([np.hstack(padded[i : i + columns]) for i in range(0, len(padded), columns)])
    return np.vstack([grid, _legend(layout, grid.shape[1])])


def _spread(length: int, count: int) -> list[int]:
    """At most `count` indices, evenly over the whole length."""
    return sorted({round(i) for i in np.linspace(0, length - 1, min(count, length))})


def _tile(sample: Sample, split: str, layout: Keypoints2D) -> Canvas:
    """One object [TILE, TILE, 3], with its split and key."""
    title: Text = ((6, 3), f"{split} · {sample.key}", MIDDLE)
    try:
        image = read_image(sample.image)
    except DataError:
        tile = np.full((TILE, TILE, 3), UNREADABLE, np.uint8)
        return _write(tile, [title, ((6, 23), "image missing or unreadable", MIDDLE)])
    affine = box_to_crop(sample.box, TILE, TILE, MARGIN)
    cut = cv2.warpAffine(image, affine, (TILE, TILE), flags=cv2.INTER_CUBIC, borderValue=GROUND)
    points, nothing = transform(affine, sample.keypoints), np.full(len(layout.names), np.nan)
    visible = (sample.visibility == VISIBLE).astype(np.float64)
    box = transform(affine, sample.box.reshape(2, 2))
    shown = Keypoints(layout, points, nothing, nothing, nothing, visible, box.ravel())
    corners = np.rint(box).astype(int).tolist()
    cv2.rectangle(cut, corners[0], corners[1], MIDDLE, 1, cv2.LINE_AA)
    tile = draw(np.asarray(cut, np.uint8), shown)
    numbers: list[Text] = [
        ((int(points[k, 0]) + 6, int(points[k, 1]) - 14), str(k), MIDDLE) for k in np.flatnonzero(shown.found)
    ]
    return _write(tile, [title, *numbers])


def _framed(tile: Canvas) -> Canvas:
    return np.asarray(
        cv2.copyMakeBorder(tile, GAP, 0, GAP, 0, cv2.BORDER_CONSTANT, value=GROUND), dtype=np.uint8
    )


def _legend(layout: Keypoints2D, width: int) -> Canvas:
    """Numbered names in the colours of their sides, in as many columns as fit."""
    column = 14 + 8 * max(len(name) + 4 for name in layout.names)
    columns = max(1, (width - 2 * GAP) // column)
    rows = -(-len(layout.names) // columns)
    canvas = np.full((rows * LEGEND_LINE + 3 * GAP, width, 3), GROUND, np.uint8)
    texts: list[Text] = [
        (
            (2 * GAP + k % columns * column, GAP + k // columns * LEGEND_LINE),
            f"{k}  {name}",
            side_colour(k, layout),
        )
        for k, name in enumerate(layout.names)
    ]
    return _write(canvas, texts)


def _write(canvas: Canvas, texts: Sequence[Text]) -> Canvas:
    """Text with a dark rim; in Pillow's font, as OpenCV has no smooth small letters."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(canvas[..., ::-1])
    pen: Any = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=FONT_SIZE)
    for position, text, colour in texts:
        pen.text(position, text, colour[::-1], font, stroke_width=2, stroke_fill=RIM[::-1])
    return np.ascontiguousarray(np.asarray(picture)[..., ::-1])
