"""One backend on the picture in the package: `python -m coke_edge.doctor.trial BUNDLE BACKEND PRECISION`.

Runs in a process of its own and prints one JSON object, since a broken driver takes down whoever calls it.
"""

from __future__ import annotations

import json
import sys
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coke_edge.detector import Detector
from coke_edge.errors import CokeError
from coke_edge.geometry import box_to_crop
from coke_edge.stream.images import read_image


def detect(bundle: str, backend: str, precision: str) -> dict[str, Any]:
    """The keypoints in the packaged picture: xy in crop pixels [K, 2], similarity, clutter and P(visible) [K].

    None stands for what was not found or is not known. Raises CokeError if the bundle or the backend cannot be used.
    """
    detector = Detector(bundle, backend, precision=precision)
    assets = resources.files("coke_edge.assets")
    with resources.as_file(assets / "demo.jpg") as picture:
        frame = read_image(picture)
    box = json.loads((assets / "demo.json").read_text(encoding="utf-8"))["box"]
    keypoints = detector(frame, box)
    size = detector.spec.input
    scale = np.hypot(*box_to_crop(box, size.width, size.height, size.box_margin)[:, 0])
    return {
        "names": list(keypoints.names),
        "xy": numbers(keypoints.xy * scale),
        "similarity": numbers(keypoints.similarity),
        "clutter": numbers(keypoints.clutter),
        "visible": numbers(keypoints.visible),
    }


def numbers(values: NDArray[np.float64]) -> list[Any]:
    """Nested lists with None for NaN, which JSON does not have."""
    plain = values.astype(object)
    plain[np.isnan(values)] = None
    return list(plain.tolist())


if __name__ == "__main__":
    try:
        print(json.dumps(detect(*sys.argv[1:])))
    except CokeError as error:
        print(json.dumps({"error": str(error)}))
