"""Keypoints for the package supervision (github.com/roboflow/supervision), which draws, counts and filters them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import CokeError
from coke_edge.keypoints import Keypoints


def to_supervision(objects: Sequence[Keypoints]) -> Any:
    """The N objects of a frame, of one model, as `supervision.KeyPoints`.

    Places [N, K, 2], float32; a keypoint without a peak stands at (0, 0), which supervision does not draw. The
    confidence [N, K] is P(visible), or the similarity if the model is not calibrated for visibility. From supervision
    0.29 on, `visible` says which points are not judged hidden. `data["box"]` [N, 4] is the region searched.

    Raises CokeError if supervision is not installed.
    """
    try:
        supervision: Any = import_module("supervision")
    except ImportError as error:
        raise CokeError(
            f"cannot import supervision ({error}); `pip install supervision` installs it"
        ) from None
    if not objects:
        return supervision.KeyPoints.empty()
    found = np.stack([keypoints.found for keypoints in objects])
    places = np.stack([keypoints.places for keypoints in objects])
    confidence = np.stack([confidences(keypoints) for keypoints in objects]).astype(np.float32)
    values: dict[str, Any] = {
        "xy": np.where(found[..., None], places, 0.0).astype(np.float32),
        "class_id": np.zeros(len(objects), dtype=int),
        "data": {"box": np.stack([keypoints.box for keypoints in objects])},
    }
    fields = {field.name for field in dataclasses.fields(supervision.KeyPoints)}
    if "keypoint_confidence" in fields:  # 0.29 renamed it
        hidden = np.stack([keypoints.hidden for keypoints in objects])
        values |= {"keypoint_confidence": confidence, "visible": found & ~hidden}
    else:
        values["confidence"] = confidence
    return supervision.KeyPoints(**values)


def confidences(keypoints: Keypoints) -> NDArray[np.float64]:
    """[K] P(visible), or the similarity where the model does not say it; 0 without a peak."""
    values = np.where(np.isnan(keypoints.visible), keypoints.similarity, keypoints.visible)
    return np.where(keypoints.found, values, 0.0)
