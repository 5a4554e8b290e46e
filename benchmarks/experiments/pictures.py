"""Good and bad cases of a finished run, as contact sheets of its test images.

They hold the data set's photos: those of LSP, PASCAL3D+ and MPII may be looked at, not handed on.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coke_edge.benchmarks.experiments.definition import Run
from coke_edge.benchmarks.experiments.opened import open_run
from coke_edge.benchmarks.experiments.places import Places
from coke_edge.stream.images import read_image, write_image
from coke_edge.train.data import load_dataset
from coke_edge.train.data.sample import KeypointDataset, NoObjects, Sample
from coke_edge.train.evaluate import Evaluation
from coke_edge.train.occluders import Occluders
from coke_edge.train.occlusion_levels import occlude_sample
from coke_edge.train.report import contact_sheet
from coke_edge.train.robustness import evaluate_levels
from coke_edge.train.scoring import measured

COUNT = 12  # cases of either kind


def write_pictures(
    run: Run, where: Places, folder: Path, out: Path, levels: Sequence[str], limit: int | None = None
) -> list[Path]:
    """Sheets of the best and the worst cases of each part and level, as JPG in `out`, where there are any; their paths.

    `limit` looks at the first so many objects only. Raises CokeError as `open_run` does.
    """
    _, detector, occluders = open_run(run, where, folder)
    written = []
    for part, data in run.test.parts.items():
        try:
            dataset = load_dataset(where.located(data), "test")
        except NoObjects:
            continue
        for one in evaluate_levels(
            detector, dataset, levels, occluders, run.test.seed, progress=True, limit=limit
        ):
            for kind, chosen in cases(one.evaluation, dataset).items():
                if not chosen:
                    continue
                path = out / f"{part + '-' if part else ''}{one.level}-{kind}.jpg"
                sheet(path, one.evaluation, dataset, chosen, one.level, occluders, run.test.seed)
                written.append(path)
    return written


def cases(evaluation: Evaluation, dataset: KeypointDataset) -> dict[str, list[int]]:
    """The objects of the smallest and of the largest mean error, of those with half of the keypoints counted.

    None is both: of few objects the better half is good.
    """
    distance, length, mask = measured(evaluation.predictions, dataset)
    with np.errstate(invalid="ignore"):
        relative = np.where(mask, np.minimum(distance / length[:, None], 1.0), 0.0)
    counted = mask.sum(axis=1)
    error = relative.sum(axis=1) / np.maximum(counted, 1)
    known = np.flatnonzero(2 * counted >= max(1, counted.max()))
    order = known[np.argsort(error[known], kind="stable")].tolist()
    half = (len(order) + 1) // 2
    return {"good": order[:half][:COUNT], "bad": order[half:][::-1][:COUNT]}


def sheet(
    path: Path,
    evaluation: Evaluation,
    dataset: KeypointDataset,
    chosen: Sequence[int],
    level: str,
    occluders: Occluders | None,
    seed: int,
) -> None:
    """A contact sheet of some objects, under the occluders that the model saw."""
    found = evaluation.predictions
    with tempfile.TemporaryDirectory() as name:
        shown: list[Sample] = []
        for i in chosen:
            image = occlude_sample(
                read_image(dataset.samples[i].image), dataset.samples[i], level, occluders, seed
            ).image
            place = Path(name) / f"{i}.png"
            write_image(place, image)
            shown.append(dataclasses.replace(found.samples[i], image=place))
        part = dataclasses.replace(found.objects(chosen), samples=shown)
        contact_sheet(path, dataclasses.replace(evaluation, predictions=part), dataset, count=COUNT)
