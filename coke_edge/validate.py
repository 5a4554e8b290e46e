"""What must hold of a manifest and of the banks beyond their types, each broken rule one sentence."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import BundleError
from coke_edge.kernels.spec import HeadSpec
from coke_edge.manifest import SCHEMA_VERSION, Manifest, ModelSpec

MOST_PEAKS = 8


class SchemaVersion(msgspec.Struct):
    """The one field that every manifest has had and will have."""

    schema_version: int


def read_manifest(text: bytes) -> Manifest:
    """`manifest.json` to a Manifest of a schema version that this program knows.

    Raises BundleError, one clause without the name of the file.
    """
    try:
        version = msgspec.json.decode(text, type=SchemaVersion).schema_version
        if version > SCHEMA_VERSION:
            raise BundleError(
                f"its schema version is {version} and this coke-edge reads up to {SCHEMA_VERSION}; "
                "upgrade with `pip install -U coke-edge`"
            )
        manifest = msgspec.json.decode(text, type=Manifest)
        # msgspec ignores unknown fields of a dataclass, and HeadSpec is one.
        head = msgspec.json.decode(text)["model"]["head"]
    except msgspec.MsgspecError as error:
        raise BundleError(f"its manifest does not hold what it should: {error}") from None
    if unknown := set(head) - {field.name for field in dataclasses.fields(HeadSpec)}:
        raise BundleError(f"its manifest has unknown fields in `head`: {', '.join(sorted(unknown))}")
    check_model(manifest.model)
    return manifest


def check_model(model: ModelSpec) -> None:
    """Raises BundleError, one clause, if the parts of a model's specification contradict each other."""
    names, count = model.keypoints.names, len(model.keypoints.names)
    pairs = model.keypoints.skeleton + model.keypoints.flip_pairs
    size = model.input
    evidence = model.visibility.evidence if model.visibility else None
    read, temperature = (evidence.peaks, evidence.temperature) if evidence else (1, 1.0)
    rules = {
        "it has no keypoints": count > 0,
        "two of its keypoints have the same name": len(set(names)) == count,
        f"its skeleton or flip pairs name keypoints beyond {count}": all(
            0 <= i < count for pair in pairs for i in pair
        ),
        f"its stride {model.stride} is no positive number": model.stride > 0,
        f"its input of {size.width} by {size.height} is no multiple of its stride {model.stride}": (
            min(size.width, size.height) > 0
            and size.width % max(model.stride, 1) == size.height % max(model.stride, 1) == 0
        ),
        "its box margin is not positive": 0 < size.box_margin < math.inf,
        "its border colour is no three values from 0 to 255": all(0 <= v <= 255 for v in size.border),
        "its normalisation divides by zero": all(v > 0 for v in size.std),
        "its temperature is not positive": 0 < model.head.temperature < math.inf,
        "its clutter weight is not positive": 0 < model.head.clutter_weight < math.inf,
        f"it keeps {model.head.peaks} peaks, not 1 to {MOST_PEAKS}": 1 <= model.head.peaks <= MOST_PEAKS,
        "its visibility has another number of keypoints": (
            model.visibility is None or len(model.visibility.bias) == count
        ),
        f"its visibility reads {read} peaks, not 1 to the {model.head.peaks} that it keeps": (
            1 <= read <= model.head.peaks
        ),
        "the temperature of its visibility is not positive": 0 < temperature < math.inf,
        "its visibility reads maps of hidden keypoints that it has not, or leaves out those that it has": (
            model.visibility is None
            or model.hidden_maps == (evidence is not None and evidence.hidden is not None)
        ),
    }
    for sentence, holds in rules.items():
        if not holds:
            raise BundleError(sentence)


def check_banks(banks: Mapping[str, NDArray[np.generic]], maps: int) -> None:
    """Raises BundleError, one clause, unless they are prototypes [R, C], clutter [N, C], maybe counts [N].

    R is the number of score maps, `ModelSpec.maps`. All float32 and finite; the rows of the first two have length 1.
    """
    if not {"prototypes", "clutter"} <= banks.keys() <= {"prototypes", "clutter", "counts"}:
        raise BundleError(f"its banks are {', '.join(sorted(banks))}, not prototypes and clutter")
    prototypes, clutter = banks["prototypes"], banks["clutter"]
    if any(bank.dtype != np.float32 or not np.isfinite(bank).all() for bank in banks.values()):
        raise BundleError("its banks hold values other than finite float32")
    if prototypes.ndim != 2 or clutter.ndim != 2 or prototypes.shape[1] != clutter.shape[1]:
        raise BundleError(f"its banks do not fit together: {prototypes.shape} and {clutter.shape}")
    if len(prototypes) != maps:
        raise BundleError(f"it has {len(prototypes)} prototypes for {maps} score maps")
    if any(np.abs(np.linalg.norm(bank, axis=1) - 1).max(initial=0) > 1e-3 for bank in (prototypes, clutter)):
        raise BundleError("the rows of its banks do not have length 1")
    if "counts" in banks and (
        banks["counts"].shape != clutter.shape[:1] or banks["counts"].min(initial=1) <= 0
    ):
        raise BundleError("its clutter counts are not one positive number for each row")
