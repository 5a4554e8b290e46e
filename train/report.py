"""An evaluation to look at: the PCK curve, the worst cases side by side, every prediction as JSON lines."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from coke_edge.files import replacing
from coke_edge.geometry import box_to_crop, transform
from coke_edge.keypoints import HIDDEN_BELOW
from coke_edge.manifest import InputSpec
from coke_edge.preprocess import crop
from coke_edge.train import metrics
from coke_edge.train.data.images import ImageCache
from coke_edge.train.data.sample import HIDDEN, UNLABELLED, VISIBLE, KeypointDataset, Sample
from coke_edge.train.evaluation import Evaluation
from coke_edge.train.predictions import CACHE_BYTES, Predictions
from coke_edge.train.scoring import measured, measured_places

CURVE_END = 2.5  # × the usual threshold
TILE = 256  # px, side of one picture of a contact sheet
LABEL = 22  # px, height of the line of text in it
TILE_MARGIN = 1.35
TILE_INPUT = InputSpec(TILE, TILE, TILE_MARGIN, (40, 40, 40), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
GREEN, ORANGE, RED, WHITE = (80, 220, 80), (0, 160, 255), (60, 60, 255), (255, 255, 255)  # BGR

Float = NDArray[np.float64]


def write_report(folder: Path, evaluation: Evaluation, dataset: KeypointDataset) -> list[Path]:
    """Write evaluation.json, curve.png, worst.jpg and predictions.jsonl into `folder`; returns their paths.

    Raises CokeError if the folder cannot be written.
    """
    figures, curve, worst, every = (
        folder / name for name in ("evaluation.json", "curve.png", "worst.jpg", "predictions.jsonl")
    )
    write(figures, (json.dumps(evaluation.to_json(), indent=2) + "\n").encode())
    plot_curve(curve, evaluation, dataset)
    contact_sheet(worst, evaluation, dataset)
    write_predictions(every, evaluation, dataset)
    return [figures, curve, worst, every]


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as file:
        file.write(data)


def plot_curve(path: Path, evaluation: Evaluation, dataset: KeypointDataset) -> None:
    """PCK over the threshold as a PNG: a thin line per keypoint, a thick one for all, a dashed one with
    left/right confusion forgiven."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    usual = float(metrics.USUAL_THRESHOLD[evaluation.normaliser])
    thresholds = np.linspace(0, CURVE_END * usual, 101)
    predictions = evaluation.predictions
    distance, length, mask = measured(predictions, dataset, evaluation.include_hidden)
    curve = metrics.pck(distance, length, mask, thresholds)
    truth = np.stack([sample.keypoints for sample in predictions.samples])
    mirrored = metrics.distances_forgiven(predictions.xy, truth, dataset.keypoints.flip_pairs)
    forgiven = metrics.pck(mirrored, length, mask, thresholds)

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_prop_cycle(color=colormaps["tab20"](range(20)))
    for name, line in zip(predictions.names, curve.per_keypoint.T, strict=True):
        axes.plot(thresholds, line, linewidth=0.8, alpha=0.7, label=name)
    axes.plot(thresholds, curve.percent, color="black", linewidth=2.5, label="all")
    if dataset.keypoints.flip_pairs:
        axes.plot(thresholds, forgiven.percent, "--", color="black", label="all, left/right forgiven")
    axes.axvline(usual, color="grey", linewidth=0.8, linestyle=":")
    axes.set(
        xlim=(0, thresholds[-1]),
        ylim=(0, 100),
        xlabel=f"threshold, in {evaluation.normaliser} lengths",
        ylabel="PCK [%]",
        title=f"{evaluation.dataset} ({evaluation.split}), {evaluation.objects} objects, {evaluation.model}",
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    png = io.BytesIO()
    figure.savefig(png, dpi=120, format="png")
    write(path, png.getvalue())


def contact_sheet(
    path: Path, evaluation: Evaluation, dataset: KeypointDataset, count: int = 24, columns: int = 6
) -> None:
    """The `count` objects with the largest mean error, worst first, as a JPG.

    A green dot is an annotated keypoint (orange: annotated as hidden); a red line leads from it to where the
    model found it, to a cross, or to a small square if the model takes it for hidden. Below each picture
    stands the mean error in multiples of the normalising length, where one keypoint counts at most 1.
    """
    distance, length, mask = measured(evaluation.predictions, dataset, evaluation.include_hidden)
    with np.errstate(invalid="ignore"):
        relative = np.where(mask, np.minimum(distance / length[:, None], 1.0), 0.0)
    error = relative.sum(axis=1) / np.maximum(mask.sum(axis=1), 1)
    order = np.argsort(-error, kind="stable")[:count]
    cache = ImageCache(CACHE_BYTES)
    tiles = [tile(evaluation, dataset, int(i), f"{error[i]:.2f}", cache) for i in order]
    columns = min(columns, len(tiles))
    blank = np.zeros((TILE, TILE, 3), np.uint8)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    _, jpeg = cv2.imencode(".jpg", np.concatenate(rows), [cv2.IMWRITE_JPEG_QUALITY, 88])
    write(path, jpeg.tobytes())


def tile(
    evaluation: Evaluation, dataset: KeypointDataset, index: int, text: str, cache: ImageCache
) -> NDArray[np.uint8]:
    """One object of a contact sheet, uint8 [TILE, TILE, 3]: keypoints joined to where their error is measured."""
    predictions = evaluation.predictions
    sample = predictions.samples[index]
    affine = box_to_crop(sample.box, TILE, TILE, TILE_MARGIN)
    picture = np.array(crop(cache.read(sample.image), affine, TILE_INPUT))
    found = transform(affine, measured_places(predictions.objects([index]))[0])
    truth = transform(affine, sample.keypoints)
    for a, b in dataset.keypoints.skeleton:
        if np.isfinite(found[[a, b]]).all():
            cv2.line(picture, pixel(found[a]), pixel(found[b]), WHITE, 1, cv2.LINE_AA)
    for k, flag in enumerate(sample.visibility):
        if flag == UNLABELLED:
            continue
        if np.isfinite(found[k]).all():
            cv2.line(picture, pixel(truth[k]), pixel(found[k]), RED, 1, cv2.LINE_AA)
            hidden = predictions.visible[index, k] < HIDDEN_BELOW
            marker = cv2.MARKER_SQUARE if hidden else cv2.MARKER_TILTED_CROSS
            cv2.drawMarker(picture, pixel(found[k]), RED, marker, 7, 1, cv2.LINE_AA)
        cv2.circle(picture, pixel(truth[k]), 3, GREEN if flag == VISIBLE else ORANGE, -1, cv2.LINE_AA)
    picture[-LABEL:] //= 3
    text_at = (6, TILE - 7)
    cv2.putText(
        picture, f"{sample.key}  {text}", text_at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, WHITE, 1, cv2.LINE_AA
    )
    return picture


def pixel(point: Float) -> tuple[int, int]:
    """The nearest pixel; far outside the picture it stays near enough for OpenCV's integers."""
    x, y = np.rint(np.clip(point, -10_000, 10_000)).astype(int)
    return int(x), int(y)


def write_predictions(path: Path, evaluation: Evaluation, dataset: KeypointDataset) -> None:
    """One JSON object per line and object: truth, prediction and error of every keypoint, None for NaN.

    `found` is where the first map has a keypoint, `place` where it stands: where it is if hidden, if the model says
    that and it is the likelier place. The error is that of `found` if the keypoint is visible, else that of `place`.
    """
    predictions = evaluation.predictions
    distance, length, _ = measured(predictions, dataset, evaluation.include_hidden)
    lines = []
    for i, sample in enumerate(predictions.samples):
        keypoints = [
            keypoint_row(name, sample, predictions, distance, (i, k))
            for k, name in enumerate(predictions.names)
        ]
        row = {
            "key": sample.key,
            "image": sample.image.name,
            "box": rounded(sample.box),
            evaluation.normaliser: number(length[i]),
            "keypoints": keypoints,
        }
        lines.append(json.dumps(row))
    write(path, ("\n".join(lines) + "\n").encode())


def keypoint_row(
    name: str, sample: Sample, predictions: Predictions, distance: Float, at: tuple[int, int]
) -> dict[str, Any]:
    """One keypoint of `predictions.jsonl`: `at` is the object's index and the keypoint's."""
    return {
        "name": name,
        "truth": rounded(sample.keypoints[at[1]]),
        "truth_visibility": {UNLABELLED: "unlabelled", HIDDEN: "hidden", VISIBLE: "visible"}[
            int(sample.visibility[at[1]])
        ],
        "found": rounded(predictions.xy[at]),
        "place": rounded(predictions.places[at]),
        "visible": number(predictions.visible[at]),
        "error_px": number(distance[at]),
    }


def rounded(values: NDArray[Any]) -> list[float | None]:
    """Numbers to a hundredth of a pixel."""
    return [number(value, 2) for value in values]


def number(value: float, digits: int = 4) -> float | None:
    """A rounded float, or None for NaN and infinity."""
    return round(float(value), digits) if np.isfinite(value) else None
