"""What a model is, in words: shared by checkpoints, bundles, backends and the decode.

Everything here is plain data (msgspec structs) that goes to JSON and back unchanged; unknown values and
missing fields are refused on reading.
"""

from __future__ import annotations

from collections.abc import Sequence
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


class EvidenceSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """e = τ·log Σ exp(q / τ) over the 3×3 cells of a keypoint's best peaks: a soft maximum of its score q.

    These cells hold nearly all of the same sum over the whole map, which training sets against the null class: so e
    tells what one cell cannot, whether the keypoint is anywhere at all.
    """

    slope: float  # of e in the logit of P(visible)
    peaks: int  # how many of them, at most the head's M
    temperature: float  # τ
    hidden: float | None = (
        None  # slope of h, the same sum over the map of the hidden keypoint; None: there is no such map
    )


class VisibilitySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """P(visible) = σ(a·s + b·c + d·ĉ + f·e + g·h + bias_k): s, c, ĉ of keypoint k's best peak, e, h of several."""

    similarity: float  # a
    clutter: float  # b
    soft_clutter: float  # d
    bias: tuple[float, ...]  # [K]
    evidence: EvidenceSpec | None = None  # f is its slope, g its hidden one; None leaves e and h out

    @property
    def slopes(self) -> tuple[float, ...]:
        """a, b, d and, if there is evidence, f and perhaps g."""
        own = (self.similarity, self.clutter, self.soft_clutter)
        if self.evidence is None:
            return own
        hidden = self.evidence.hidden
        return (*own, self.evidence.slope) if hidden is None else (*own, self.evidence.slope, hidden)

    def with_slopes(self, slopes: Sequence[float], bias: Sequence[float]) -> VisibilitySpec:
        """The same quantities, weighted otherwise. Raises ValueError if there is not a slope for each."""
        evidence, own = self.evidence, list(map(float, slopes))
        if evidence is not None:
            hidden = None if evidence.hidden is None else own.pop()
            evidence = msgspec.structs.replace(evidence, slope=own.pop(), hidden=hidden)
        a, b, d = own
        return VisibilitySpec(a, b, d, tuple(map(float, bias)), evidence)


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is needed, beside the weights, to turn a frame into keypoints."""

    keypoints: Keypoints2D
    input: InputSpec
    stride: int
    head: HeadSpec
    visibility: VisibilitySpec | None = None
    # Whether each keypoint has a second prototype and score map, K + k, for when it is hidden.
    hidden_maps: bool = False

    @property
    def maps(self) -> int:
        """How many score maps, and prototypes, there are: K, or 2 K with those of hidden keypoints."""
        return len(self.keypoints.names) * (2 if self.hidden_maps else 1)


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
