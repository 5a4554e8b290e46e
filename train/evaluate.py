"""A detector against a data set: the same code for every backend and every kind of model file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coke_edge.detector import Detector
from coke_edge.errors import DataError
from coke_edge.manifest import Keypoints2D
from coke_edge.train import metrics
from coke_edge.train.data.joint import SEPARATOR
from coke_edge.train.data.sample import KeypointDataset
from coke_edge.train.evaluation import Evaluation
from coke_edge.train.open_model import open_model
from coke_edge.train.predictions import Predictions, View, predict
from coke_edge.train.scoring import score

__all__ = ["Evaluation", "Predictions", "View", "evaluate", "matching", "open_model", "predict", "score"]

THRESHOLDS = (0.05, 0.1, 0.2)


def evaluate(
    detector: Detector,
    dataset: KeypointDataset,
    *,
    thresholds: Sequence[float] | None = None,
    include_hidden: bool = False,
    limit: int | None = None,
    progress: bool = True,
    model: str = "",
    view: View | None = None,
) -> Evaluation:
    """Run `detector` on the annotated boxes of (the first `limit` objects of) a data set, and measure.

    A model of several categories is measured on the keypoints of those that the data set holds.

    `thresholds` are multiples of the data set's normalising length; by default 0.05, 0.1, 0.2 and the field's
    usual one for that length. `progress` draws a bar on stderr; `model` is the name to report. `view` turns each photo
    and sample into what the detector is shown and measured on.

    Raises DataError if the keypoints are not the model's or an image cannot be read.
    """
    wanted = matching(detector.spec.keypoints, dataset)
    predictions = predict(detector, dataset.samples[:limit], progress=progress, view=view).chosen(
        wanted, dataset.keypoints.names
    )
    if thresholds is None:
        thresholds = sorted({*THRESHOLDS, float(metrics.USUAL_THRESHOLD[dataset.normaliser])})
    return score(
        predictions,
        dataset,
        thresholds,
        include_hidden=include_hidden,
        model=model,
        backend=detector.backend.name,
    )


def matching(model: Keypoints2D, dataset: KeypointDataset) -> NDArray[np.intp]:
    """For each of the data set's K keypoints, its index among the model's.

    They are the same ones in the same order, or, for a model of several categories (`car/left_front_wheel`), those of
    some of its categories. Raises DataError if they are not.
    """
    ours, theirs = model.names, dataset.keypoints.names
    if ours == theirs:
        return np.arange(len(ours))
    if any(SEPARATOR in name for name in ours):
        index = {name: k for k, name in enumerate(ours)}
        categories = {str(sample.meta.get("category", "")) for sample in dataset.samples}
        for prefix in ("", *(category + SEPARATOR for category in categories if len(categories) == 1)):
            if all(prefix + name in index for name in theirs):
                return np.array([index[prefix + name] for name in theirs])
    if len(ours) != len(theirs):
        raise DataError(
            f"the model finds {len(ours)} keypoints ({shorten(ours)}), but {dataset.name} labels "
            f"{len(theirs)} ({shorten(theirs)}): use a data set with the model's keypoints"
        )
    first = next(i for i in range(len(ours)) if ours[i] != theirs[i])
    raise DataError(
        f"keypoint {first} is {ours[first]} in the model, but {theirs[first]} in {dataset.name}: "
        "use a data set with the model's keypoints in the same order"
    )


def shorten(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
