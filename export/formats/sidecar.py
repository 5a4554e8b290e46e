"""What must be known to use a plain ONNX file, as JSON beside it: metadata inside the graph upsets other tools."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from coke_edge.bundle import Bundle
from coke_edge.manifest import InputSpec, ModelSpec

FORMAT = "coke-edge plain onnx"
VERSION = 1

CROP = (
    "Cut the crop out of the frame with an affine map, bilinear, `border` outside the frame. "
    "For a box (x0, y0, x1, y1): scale = min(width / (x1 - x0), height / (y1 - y0)) / box_margin; "
    "shift_x = (width - 1) / 2 - scale * (x0 + x1) / 2; shift_y = (height - 1) / 2 - scale * (y0 + y1) / 2; "
    "crop_x = scale * frame_x + shift_x; crop_y = scale * frame_y + shift_y. "
    "For a whole frame of w by h pixels the box is (-0.5, -0.5, w - 0.5, h - 0.5) and box_margin is 1. "
    "In OpenCV: cv2.warpAffine(frame, np.array([[scale, 0, shift_x], [0, scale, shift_y]]), (width, height), "
    "flags=cv2.INTER_LINEAR, borderValue=border). The graph normalises; give it the pixels as they are."
)
COORDINATES = (
    "Pixels of the crop, x to the right, y down, pixel centres at integers. "
    "The inverse of the crop's map takes them to the frame: frame_x = (crop_x - shift_x) / scale, y alike."
)
BEHIND = "; the second half are the maps of hidden keypoints, of every output of the head"
VISIBLE = {
    True: "probability that the keypoint is visible, 0 where there is no peak",
    False: "NaN: the model is not calibrated for visibility",
}


def sidecar(bundle: Bundle, model: str, graph: bytes, precision: str) -> bytes:
    """The JSON for a graph that was written as the file `model`; the same bytes for the same bundle."""
    spec = bundle.manifest.model
    content = {
        "format": FORMAT,
        "version": VERSION,
        "name": bundle.manifest.name,
        "model": {
            "file": model,
            "sha256": hashlib.sha256(graph).hexdigest(),
            "precision": precision,
            "bundle_sha256": bundle.sha256,
        },
        "keypoints": spec.keypoints,
        "input": input_of(spec.input),
        "outputs": outputs_of(spec),
        "coordinates": COORDINATES,
    }
    return bytes(msgspec.json.format(msgspec.json.encode(content), indent=2)) + b"\n"


def input_of(size: InputSpec) -> dict[str, Any]:
    """What the graph takes."""
    return {
        "name": "image",
        "dtype": "uint8",
        "shape": ["batch", size.height, size.width, 3],
        "channels": "BGR",
        "width": size.width,
        "height": size.height,
        "box_margin": size.box_margin,
        "border": size.border,
        "crop": CROP,
    }


def outputs_of(spec: ModelSpec) -> dict[str, Any]:
    """What the graph gives."""
    shape = ["batch", spec.maps, spec.head.peaks]
    hidden = {
        "dtype": "float32",
        "shape": ["batch", len(spec.keypoints.names), 2],
        "values": [
            "x in crop pixels of the place where the keypoint is if it is hidden",
            "y in crop pixels of that place",
        ],
    }
    return {
        "keypoints": {
            "dtype": "float32",
            "shape": ["batch", len(spec.keypoints.names), 3],
            "values": [
                "x in crop pixels, NaN where there is no peak",
                "y in crop pixels, NaN where there is no peak",
                VISIBLE[spec.visibility is not None],
            ],
        },
        **({"hidden": hidden} if spec.hidden_maps else {}),
        "index": {
            "dtype": "int32",
            "shape": shape,
            "values": f"row-major cell of each peak, best first, in a map of {spec.input.width // spec.stride} by "
            f"{spec.input.height // spec.stride} cells of {spec.stride} pixels; -1 where there is none"
            + (BEHIND if spec.hidden_maps else ""),
        },
        "similarity": {
            "dtype": "float32",
            "shape": shape,
            "values": "cosine to the keypoint's prototype, -inf where there is no peak",
        },
        "clutter": {
            "dtype": "float32",
            "shape": shape,
            "values": "largest cosine to a clutter vector, -inf where there is no peak",
        },
        "soft_clutter": {
            "dtype": "float32",
            "shape": shape,
            "values": "the same, soft, -inf where there is no peak",
        },
        "neighbourhood": {
            "dtype": "float32",
            "shape": [*shape, 3, 3],
            "values": f"score (rule {spec.head.rule}) of the 3 by 3 cells around each peak, -inf outside the map",
        },
    }
