"""The figures that an evaluation gives, as data."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from coke_edge.train.data.sample import Normaliser
from coke_edge.train.predictions import Predictions


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """The measured figures; percentages are over all counted keypoints together, NaN where there are none.

    Counted are the visible keypoints, and the hidden ones too if `include_hidden`, of all objects whose
    normalising length is known, less the keypoints that the data set's measure leaves out and those that an occluder
    was pasted on (train/occlusion_levels.py), which are scored for visibility alone.
    """

    model: str
    backend: str
    dataset: str
    split: str
    images: int
    objects: int
    excluded: int  # objects whose normalising length is 0 or unknown
    keypoints: int  # keypoints counted
    include_hidden: bool
    normaliser: Normaliser
    pck: dict[str, float]  # by threshold, in multiples of the normalising length
    left_right_forgiven: dict[str, float]  # the same, where a mirror keypoint counts as right
    per_keypoint: dict[str, dict[str, Any]]  # name → {"pck": {threshold: percent}, "count": n}
    keypoint_mean: dict[
        str, float
    ]  # PCK averaged over the keypoints of each category, then over the categories
    per_category: dict[
        str, dict[str, Any]
    ]  # name → pck, keypoint_mean, objects, keypoints; "" if it has no name
    left_out: dict[str, int]  # reason → objects that are not among the `objects`
    median_error_px: float  # of the counted keypoints; infinite if most have no peak
    visibility_auroc: float  # visible against hidden, at the predicted places; NaN if either is not known
    covered: int  # keypoints annotated as visible that an occluder was pasted on
    covered_pck: dict[str, float]  # of these, by threshold: how many are placed right all the same
    covered_auroc: (
        float  # visible against covered ones, at the predicted places; NaN if there are none or no P(visible)
    )
    latency_ms: dict[
        str, float
    ]  # median and 95th percentile of one object, from the decoded image to its keypoints
    predictions: Predictions = dataclasses.field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """The figures as plain data, without the predictions; None for what JSON cannot hold."""
        figures = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del figures["predictions"]
        return {name: plain(value) for name, value in figures.items()}


def plain(value: Any) -> Any:
    """Numbers rounded to four decimals, None for NaN and infinity, the same inside dictionaries."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value
