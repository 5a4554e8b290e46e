"""From the frame to the crop that the network takes: the only definition, training uses it too."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import CokeError
from coke_edge.geometry import Affine
from coke_edge.manifest import InputSpec


class FrameError(CokeError, ValueError):
    """A frame or a box that cannot be detected on."""


def check_frame(frame: object) -> NDArray[np.uint8]:
    """The frame itself if it is uint8 [H, W, 3] with at least one pixel. Raises FrameError otherwise."""
    if not isinstance(frame, np.ndarray):
        raise FrameError(f"a frame must be a numpy array, not {type(frame).__name__}")
    if frame.dtype != np.uint8:
        raise FrameError(f"a frame must have uint8 pixels, not {frame.dtype}; scale it to 0 … 255 first")
    if frame.ndim != 3 or frame.shape[2] != 3:
        raise FrameError(f"a frame must have the shape [H, W, 3] (BGR), not {list(frame.shape)}")
    if 0 in frame.shape:
        raise FrameError(f"the frame is empty: its shape is {list(frame.shape)}")
    return frame


def crop(frame: NDArray[np.uint8], affine: Affine, spec: InputSpec) -> NDArray[np.uint8]:
    """The crop uint8 [height, width, 3] BGR that `affine` (frame to crop) cuts out of a BGR frame.

    Bilinear, with the border colour outside the frame.
    """
    warped = cv2.warpAffine(
        np.ascontiguousarray(frame),
        np.asarray(affine, dtype=np.float64),
        (spec.width, spec.height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=spec.border,
    )
    return cast("NDArray[np.uint8]", warped)
