"""Keypoints on a picture: skeleton, filled markers, hollow markers for what is judged hidden, names.

Right-hand parts are blue, left-hand parts orange and the rest white: a pair that all common kinds of colour
blindness tell apart (Okabe and Ito). Everything has a dark rim, to be seen on any ground, and scales with the
object, so that a small one in a large picture is not buried under its own markers.
"""

from __future__ import annotations

import re

import cv2
import numpy as np
from numpy.typing import NDArray

from coke_edge.keypoints import Keypoints
from coke_edge.manifest import Keypoints2D

Colour = tuple[int, int, int]  # BGR

LEFT: Colour = (0, 159, 230)
RIGHT: Colour = (233, 180, 86)
MIDDLE: Colour = (245, 245, 245)
RIM: Colour = (40, 32, 28)
SUB_PIXEL = 4  # OpenCV draws at sixteenths of a pixel


def draw(
    frame: NDArray[np.uint8], keypoints: Keypoints, names: bool = False, box: bool = False
) -> NDArray[np.uint8]:
    """A copy of a frame [H, W, 3] BGR with the keypoints of one object on it, each at the likelier of its `places`.

    Lines whose ends are both judged visible are solid, others thin and faint. Keypoints without a peak are
    left out. `names` adds their names, `box` the region that was searched.
    """
    canvas: NDArray[np.uint8] = np.array(frame, dtype=np.uint8, order="C")
    unit = line_width(frame, keypoints)
    if box:
        draw_box(canvas, keypoints.box, unit)
    colours = [side_colour(k, keypoints.layout) for k in range(len(keypoints))]
    found = keypoints.found
    hidden = keypoints.hidden
    bones = [(i, j) for i, j in keypoints.layout.skeleton if found[i] and found[j]]
    faint = [(i, j) for i, j in bones if hidden[i] or hidden[j]]
    if faint:
        veil = canvas.copy()
        draw_bones(veil, keypoints, faint, colours, 0.6 * unit)
        canvas = np.asarray(cv2.addWeighted(veil, 0.55, canvas, 0.45, 0), dtype=np.uint8)
    draw_bones(canvas, keypoints, [pair for pair in bones if pair not in faint], colours, unit)
    if names:
        middle = np.median(keypoints.places[found, 0]) if found.any() else 0.0
        for k in np.flatnonzero(found):
            draw_name(
                canvas, keypoints.places[k], keypoints.names[k], unit, bool(keypoints.places[k, 0] >= middle)
            )
    for k in np.flatnonzero(found):
        draw_marker(canvas, keypoints.places[k], colours[k], unit, bool(hidden[k]))
    return canvas


def line_width(frame: NDArray[np.uint8], keypoints: Keypoints) -> float:
    """Width of a skeleton line in pixels: a share of the object's extent, within a share of the picture's."""
    found = keypoints.places[keypoints.found]
    picture = float(np.hypot(*frame.shape[:2]))
    extent = float(np.hypot(*np.ptp(found, axis=0))) if len(found) > 1 else 0.0
    return float(np.clip(extent / 90, max(1.5, picture / 500), max(1.5, picture / 150)))


def side_colour(k: int, layout: Keypoints2D) -> Colour:
    """Orange for left, blue for right, by the name or, where it does not say, by the flip pairs."""
    words = re.split(r"[^a-z]+", layout.names[k].lower())
    if "left" in words or "l" in words:
        return LEFT
    if "right" in words or "r" in words:
        return RIGHT
    for first, second in layout.flip_pairs:
        if k in (first, second):
            return RIGHT if k == first else LEFT
    return MIDDLE


def draw_box(canvas: NDArray[np.uint8], box: NDArray[np.float64], unit: float) -> None:
    """A thin frame with a rim around a box [4]."""
    for colour, width in ((RIM, 1.2 * unit), (MIDDLE, 0.4 * unit)):
        thickness = max(1, round(width))
        corners = fixed(box[:2]), fixed(box[2:])
        cv2.rectangle(canvas, *corners, colour, thickness, cv2.LINE_AA, SUB_PIXEL)


def draw_bones(
    canvas: NDArray[np.uint8],
    keypoints: Keypoints,
    bones: list[tuple[int, int]],
    colours: list[Colour],
    width: float,
) -> None:
    """Lines between keypoints, each with a rim; a line between two sides is white."""
    for rim in (True, False):
        for i, j in bones:
            # A line from a limb to the middle (shoulder to neck) belongs to the limb's side.
            sides = {colours[i], colours[j]} - {MIDDLE}
            colour = RIM if rim else sides.pop() if len(sides) == 1 else MIDDLE
            thickness = max(1, round(width * 1.9 if rim else width))
            ends = (fixed(keypoints.places[i]), fixed(keypoints.places[j]))
            cv2.line(canvas, *ends, colour, thickness, cv2.LINE_AA, SUB_PIXEL)


def draw_marker(
    canvas: NDArray[np.uint8], xy: NDArray[np.float64], colour: Colour, unit: float, hidden: bool
) -> None:
    """A disc with a rim, or a ring if the point is judged hidden."""
    centre, radius = fixed(xy), 1.9 * unit
    if hidden:
        radius = 2.1 * unit
        for ring, width in ((RIM, 1.5 * unit), (colour, 0.8 * unit)):
            thickness = max(1, round(width))
            cv2.circle(canvas, centre, sixteenths(radius), ring, thickness, cv2.LINE_AA, SUB_PIXEL)
        return
    for disc, size in ((RIM, radius + 0.5 * unit), (MIDDLE, radius), (colour, radius - 0.6 * unit)):
        cv2.circle(canvas, centre, sixteenths(size), disc, cv2.FILLED, cv2.LINE_AA, SUB_PIXEL)


def draw_name(
    canvas: NDArray[np.uint8], xy: NDArray[np.float64], name: str, unit: float, to_right: bool
) -> None:
    """A name on a dark plate beside its marker, on the side asked for unless the picture ends there."""
    text, font, size = name.replace("_", " "), cv2.FONT_HERSHEY_SIMPLEX, max(0.33, 0.13 * unit)
    weight = max(1, round(1.6 * size))
    (width, height), _ = cv2.getTextSize(text, font, size, weight)
    gap, pad = 3.8 * unit, round(0.35 * height)
    x, y = float(xy[0]), float(xy[1])
    room_right, room_left = x + gap + width + pad < canvas.shape[1], x - gap - width - pad >= 0
    to_right = room_right if to_right else not room_left
    left, base = round(x + gap if to_right else x - gap - width), round(y + height / 2)
    plate = canvas[
        max(0, base - height - pad) : max(0, base + pad), max(0, left - pad) : max(0, left + width + pad)
    ]
    plate[:] = (0.35 * plate + 0.65 * np.array(RIM)).astype(np.uint8)
    cv2.putText(canvas, text, (left, base), font, size, MIDDLE, weight, cv2.LINE_AA)


def sixteenths(length: float) -> int:
    """Pixels to OpenCV's fixed-point coordinates."""
    return round(float(length) * (1 << SUB_PIXEL))


def fixed(xy: NDArray[np.float64]) -> tuple[int, int]:
    """A point to fixed point, clipped far outside any picture, where OpenCV's integers would overflow."""
    x, y = np.clip(xy, -30000, 30000)
    return sixteenths(x), sixteenths(y)
