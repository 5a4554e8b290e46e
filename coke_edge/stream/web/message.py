"""A result as one message to a viewer: the picture as JPEG, and what the page says beside it."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from coke_edge.draw import LEFT, RIGHT, side_colour
from coke_edge.keypoints import HIDDEN_BELOW, Keypoints, number
from coke_edge.stream.frame import Result
from coke_edge.stream.sinks import Painter

LONGEST_SIDE = 1280  # pixels of the picture that is sent; figures stay in pixels of the frame
QUALITY = 80  # of 100: about 150 KB at this size
SIDES = {LEFT: "left", RIGHT: "right"}


def encode(result: Result, sequence: int, paint: Painter) -> bytes:
    """The length of the JSON in four bytes, big-endian; the JSON; the JPEG."""
    text = msgspec.json.encode(describe(result, sequence))
    return struct.pack(">I", len(text)) + text + jpeg(paint(result))


def describe(result: Result, sequence: int) -> dict[str, Any]:
    """What the page says of a result: numbers of the frame's pixels and milliseconds, None for what is not known."""
    height, width = result.frame.image.shape[:2]
    age = result.age
    return {
        "sequence": sequence,
        "index": result.frame.index,
        "name": result.frame.name,
        "width": width,
        "height": height,
        "latency": 1000 * result.latency,
        "age": None if age is None else 1000 * age,
        "dropped": result.frame.dropped,
        "objects": [rows(keypoints) for keypoints in result.objects],
    }


def rows(keypoints: Keypoints) -> list[dict[str, Any]]:
    """A row of the table for each keypoint: its numbers, place and side as in the picture, and the verdict on it.

    What stands at its hidden place has no similarity and clutter: those belong to where it looks most like itself.
    """
    return [
        {
            "name": row["name"],
            "x": number(keypoints.places[k, 0]),
            "y": number(keypoints.places[k, 1]),
            "similarity": None if keypoints.displaced[k] else row["similarity"],
            "clutter": None if keypoints.displaced[k] else row["clutter"],
            "visible": row["visible"],
            "hidden": row["visible"] is not None and row["visible"] < HIDDEN_BELOW,
            "side": SIDES.get(side_colour(k, keypoints.layout), "middle"),
        }
        for k, row in enumerate(keypoints.to_dict()["keypoints"])
    ]


def jpeg(image: NDArray[np.uint8]) -> bytes:
    """A picture [H, W, 3] BGR as JPEG, made smaller where it is larger than viewers need."""
    scale = LONGEST_SIDE / max(image.shape[:2])
    if scale < 1:
        size = tuple(max(1, round(scale * side)) for side in image.shape[1::-1])
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
