"""What is known of a model's making: for the manifest as data, for people as MODEL_CARD.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from coke_edge.errors import ExportError
from coke_edge.export.clutter_report import Report
from coke_edge.export.verdict import Verdict
from coke_edge.manifest import ModelSpec
from coke_edge.train.checkpoint import Checkpoint
from coke_edge.train.lineage import EARLIER, Stage, stages_in
from coke_edge.train.metrics import USUAL_THRESHOLD

# What the publishers say of their data, by the scheme of a specification.
TERMS = {
    "lsp": (
        "Leeds Sports Pose (Johnson and Everingham, BMVC 2010): photographs from Flickr, published "
        "for research. The photographers keep their rights; use it for research, or clear the rights first."
    ),
    "pascal3d": (
        "PASCAL3D+ (Xiang, Mottaghi and Savarese, WACV 2014): images of PASCAL VOC and ImageNet, published "
        "for research under their terms."
    ),
    "objectnet3d": (
        "ObjectNet3D (Xiang et al., ECCV 2016): annotations under the MIT licence, images of ImageNet and Google Image "
        "Search, published for research."
    ),
    "mpii": (
        "MPII Human Pose (Andriluka et al., CVPR 2014): annotations under the Simplified BSD licence, images from "
        "YouTube videos for research; commercial use is not allowed."
    ),
    "coco": "Annotations in the COCO format: the terms are those of the images' owner.",
}
MEASURED = (
    "split",
    "images",
    "keypoints",
    "normaliser",
    "pck",
    "left_right_forgiven",
    "median_error_px",
    "visibility_auroc",
)
GATE_COLUMNS = ("graph", "images", "keypoints", "median", "p99", "> 1 px", "PCK", "torch", "gate")
UNKNOWN_TERMS = "The data set's terms are not recorded: ask whoever trained the model."


def training_summary(checkpoint: Checkpoint) -> dict[str, Any]:
    """The recipe, the data and the measured figures of a checkpoint, without the folders of the machine."""
    recipe: dict[str, Any] = msgspec.to_builtins(checkpoint.recipe)
    for key in ("pretrained", "occluder_images", "start"):
        recipe[key] = recipe[key] and Path(recipe[key]).name
    summary = {**checkpoint.training, "recipe": recipe}
    if "data" in summary:
        summary["data"] = without_folders(str(summary["data"]))
    if EARLIER in summary:
        stages = stages_in(checkpoint.training, checkpoint.recipe.occluder_images)[:-1]
        summary[EARLIER] = [without_folders_of(stage) for stage in stages]
    return summary


def read_evaluation(path: Path) -> dict[str, Any]:
    """The figures of an `evaluation.json` that belong into a model card: what was measured, on what, and how.

    Raises ExportError if the file is none of `coke-edge eval --report`.
    """
    try:
        found: dict[str, Any] = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        usual = USUAL_THRESHOLD[found["normaliser"]]
        return {
            "data": without_folders(found["dataset"]),
            **{key: found[key] for key in MEASURED},
            f"pck@{usual} of": {name: row["pck"][usual] for name, row in found["per_keypoint"].items()},
        }
    except OSError as error:
        raise ExportError(f"cannot read the evaluation {path}: {error.strerror}") from None
    except (msgspec.DecodeError, KeyError, TypeError):
        raise ExportError(f"{path} is no evaluation.json written by `coke-edge eval --report`") from None


def without_folders(spec: str) -> str:
    """A data set's specification with every path cut to its last part: `lsp:/data/lsp` → `lsp:lsp`."""
    location, mark, query = spec.partition("?")
    scheme, _, path = location.partition(":")
    parameters = [part.partition("=") for part in query.split("&") if part]
    shortened = "&".join(f"{name}={last_part_of(value)}" for name, _, value in parameters)
    return f"{scheme}:{Path(path).name}{mark}{shortened}"


def last_part_of(value: str) -> str:
    """The last part of a parameter's path, whose strokes may be written as %2F."""
    return Path(unquote(value)).name.replace("%", "%25").replace("&", "%26")


def without_folders_of(stage: Stage) -> dict[str, Any]:
    """An earlier training, every path cut to its last part."""
    occluders = stage.occluder_images
    data = stage.data and without_folders(stage.data)
    return {"data": data, "occluder_images": occluders and Path(occluders).name}


def model_card(
    name: str, spec: ModelSpec, training: Mapping[str, Any], clutter: Report, gate: Mapping[str, Verdict]
) -> str:
    """The card in Markdown; `training` as `training_summary` gives it."""
    recipe, data_terms = training.get("recipe", {}), "\n\n".join(trained_on(training))
    size, head, bank = spec.input, spec.head, clutter.sentence()
    figures = {k: v for k, v in training.items() if k not in ("recipe", "data", EARLIER)}
    places = (
        "two places, one if it is visible and one if it is hidden"
        if spec.hidden_maps
        else "a place, also a hidden one"
    )
    calibrated = "calibrated on validation images" if spec.visibility else "not calibrated"
    return f"""# {name}

Finds {len(spec.keypoints.names)} keypoints of one object in a box: {", ".join(spec.keypoints.names)}.

* Input: a crop of {size.width} by {size.height} pixels that holds the object's box times {size.box_margin:g}.
* Network: {recipe.get("backbone", "not recorded")}, features at stride {spec.stride}.
* Score: rule `{head.rule}`, τ = {head.temperature:g}, w = {head.clutter_weight:g}.
* Peaks kept per keypoint: {head.peaks}.
* Visibility: {calibrated}.
* {bank[0].upper()}{bank[1:]}.

## Data and licence terms

{data_terms}
Initial weights: `{recipe.get("pretrained", "not recorded")}`; where they come from ImageNet, its terms apply.

## Figures

{table(("figure", "value"), flatten(figures))}
## Exported graphs against torch

Distances are in crop pixels, after the sub-cell step, on real images.

{table(GATE_COLUMNS, (gate_row(*item) for item in gate.items()))}
## Limits

* One object per box; the box comes from elsewhere. Every keypoint gets {places}: read its
  visibility{"" if spec.visibility else ", once it is calibrated"}.
* The figures hold for images like those of the data set. Measure on your own with
  `coke-edge eval {name}.coke --data …`.
"""


def trained_on(training: Mapping[str, Any]) -> Iterator[str]:
    """A paragraph for every training, the model's own first, with the terms of its data."""
    recipe, beginning = training.get("recipe") or {}, "Trained"
    for stage in reversed(stages_in(training, None, recipe.get("start"))):
        terms = TERMS.get(stage.data.partition(":")[0], UNKNOWN_TERMS)
        yield f"{beginning} on `{stage.data or 'not recorded'}`. {terms}"
        beginning = "It started from a model trained"


def gate_row(precision: str, verdict: Verdict) -> tuple[str, ...]:
    """One line of the gate's table, under GATE_COLUMNS."""
    pixels = (f"{verdict.pixels[key]:.3f}" for key in ("median", "p99"))
    pck = (f"{verdict.pck.graph:.1f}", f"{verdict.pck.torch:.1f}") if verdict.pck else ("–", "–")
    gate = "passed" if verdict.passed else "allowed" if verdict.allowed else "left out"
    numbers = (str(verdict.images), str(verdict.keypoints), *pixels, f"{verdict.moved:.1%}")
    return (precision, *numbers, *pck, gate)


def flatten(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested figures as (dotted name, value)."""
    for key, value in figures.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", f"{value:.4g}" if isinstance(value, float) else value


def table(header: tuple[str, ...], rows: Iterator[tuple[Any, ...]]) -> str:
    """A Markdown table."""
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
