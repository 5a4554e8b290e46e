"""What a model is, in words: shared by checkpoints, bundles, backends and the decode.

Everything here is plain data (msgspec structs) that goes to JSON and back unchanged; unknown values and
missing fields are refused on reading.
"""

from __future__ import annotations

from typing import Any

import msgspec

from coke_edge.kernels.spec import HeadSpec

SCHEMA_VERSION = 1


class Keypoints2D(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keypoints of an object: what they are called and how they belong together."""

    names: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...] = ()  # pairs of keypoint indices, drawn as lines
    flip_pairs: tuple[tuple[int, int], ...] = ()  # pairs that swap when an image is mirrored


class InputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The crop that the network takes: uint8, `height` × `width` × 3, BGR."""

    width: int
    height: int
    box_margin: float  # the crop holds the object's box scaled by this
    border: tuple[int, int, int]  # BGR, fills the crop outside the frame
    mean: tuple[float, float, float]  # RGB, of pixels / 255; the graph subtracts it …
    std: tuple[float, float, float]  # … and divides by this


class VisibilitySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """P(visible) = σ(a·similarity + b·clutter + c·soft_clutter + bias_k), at the best peak of keypoint k."""

    similarity: float
    clutter: float
    soft_clutter: float
    bias: tuple[float, ...]  # [K]


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is needed, beside the weights, to turn a frame into keypoints."""

    keypoints: Keypoints2D
    input: InputSpec
    stride: int
    head: HeadSpec
    visibility: VisibilitySpec | None = None


class EntrySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file in a bundle."""

    sha256: str
    size: int  # bytes


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`manifest.json` of a bundle."""

    name: str
    model: ModelSpec
    entries: dict[str, EntrySpec]
    training: dict[str, Any] = {}  # recipe, data, epochs, measured figures
    clutter: dict[str, Any] = {}  # how much of the trained clutter bank was kept, and what that changed
    gate: dict[str, dict[str, Any]] = {}  # per precision: the measured differences from torch
    versions: dict[str, str] = {}  # of the tools that wrote the bundle
    schema_version: int = SCHEMA_VERSION
