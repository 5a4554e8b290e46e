"""A smaller clutter bank, and what it costs: measured on real images against the full one.

The rows become the directions of spherical k-means, each with the number of vectors that it stands for. Centres lie
nearer to everything than what they stand for, so c and ĉ shift, and with them P(visible), whose slopes belong to the
full bank. They are fitted anew, without labels: the least squares that give back the logits of the full bank. Where
the score subtracts the clutter response, the places of keypoints change as well, and nothing makes up for that.

`choose` therefore measures before it decides. Differences of P(visible) are taken on images that the slopes were not
fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from coke_edge.errors import DataError, ExportError
from coke_edge.export.banks import Banks
from coke_edge.export.clutter_report import Difference, Limits, Report, Rows
from coke_edge.export.expected import decoded
from coke_edge.export.kmeans import spherical_kmeans
from coke_edge.export.transfer import cross_fitted, transfer
from coke_edge.kernels import torch_reference
from coke_edge.kernels.reference import Peaks
from coke_edge.manifest import ModelSpec
from coke_edge.train import metrics

if TYPE_CHECKING:
    from coke_edge.export.crops import Crop, Label
    from coke_edge.train.model import CokeModel

SMALLEST = 16
BATCH_SIZE = 8
DIGITS = 4  # of what is reported: what lies below depends on the number of threads

Float = NDArray[np.float64]
Features = NDArray[np.float32]  # [B, C, H, W]


class Choice(NamedTuple):
    """What to export."""

    banks: Banks
    spec: ModelSpec  # its visibility belongs to these banks
    report: Report


def choose(
    features: Sequence[Features],
    banks: Banks,
    spec: ModelSpec,
    rows: Rows = "auto",
    labels: Sequence[Label | None] = (),
    limits: Limits | None = None,
) -> Choice:
    """The clutter bank to export, held against the full one on `features`, batches [B, C, H, W] of real images.

    `rows` "auto" takes the smallest power of two from 16 on that is within the limits (found by halving), or
    the full bank if none is or there are too few images to tell; "all" the full bank, for which `features`
    may be empty; a number that many, whatever it costs. `labels`, one for each image, say where the keypoints
    really are, for PCK.

    Raises ExportError if a number is asked for that the bank does not have, and DataError if a smaller bank
    is to be measured and there is no image.
    """
    limits = limits or Limits()
    full, images = len(banks.clutter), sum(len(batch) for batch in features)
    if isinstance(rows, int) and not 0 < rows <= full:
        raise ExportError(f"the clutter bank has {full} rows: ask for 1 to {full} of them, not {rows}")
    sizes = sizes_to_try(rows, full)
    if not sizes or (rows == "auto" and 0 < images < limits.images):
        return Choice(banks, spec, Report(rows, full, full, images, (), limits))
    if not images:
        raise DataError("there is no image to measure a smaller clutter bank on; name some, or keep all rows")
    before = detect(features, banks, spec)
    tried: dict[int, Difference] = {}
    best = None
    while sizes:  # halve the sizes: a bank of fewer rows is hardly ever nearer to the full one
        middle = (len(sizes) - 1) // 2
        size = sizes[middle]
        smaller = compress(banks, size)
        after = detect(features, smaller, spec)
        tried[size] = difference(before, after, spec, size, labels)
        if rows != "auto" or not tried[size].failures(limits):
            best = size, smaller, after
            sizes = sizes[:middle]
        else:
            sizes = sizes[middle + 1 :]
    differences = tuple(tried[size] for size in sorted(tried))
    if best is None:
        return Choice(banks, spec, Report(rows, full, full, images, differences, limits))
    size, smaller, after = best
    visibility = transfer(spec.visibility, before, after) if spec.visibility else None
    report = Report(rows, size, full, images, differences, limits)
    return Choice(smaller, msgspec.structs.replace(spec, visibility=visibility), report)


def sizes_to_try(rows: Rows, full: int) -> list[int]:
    """Numbers of rows below that of the full bank, smallest first."""
    if rows == "auto":
        return [2**power for power in range(SMALLEST.bit_length() - 1, full.bit_length()) if 2**power < full]
    return [rows] if isinstance(rows, int) and rows < full else []


def compress(banks: Banks, rows: int, seed: int = 0) -> Banks:
    """The banks with `rows` clutter rows, 1 to N; their counts add up to those of the rows before."""
    clutter = banks.clutter.astype(np.float64)
    counts = np.ones(len(clutter)) if banks.counts is None else banks.counts.astype(np.float64)
    clusters = spherical_kmeans(clutter, counts, rows, seed)
    return Banks(banks.prototypes, clusters.centres.astype(np.float32), clusters.weights.astype(np.float32))


@torch.inference_mode()
def features_of(network: CokeModel, crops: Sequence[Crop]) -> list[Features]:
    """The features of crops, in batches."""
    batches = [crops[i : i + BATCH_SIZE] for i in range(0, len(crops), BATCH_SIZE)]
    return [
        network.features(torch.from_numpy(np.stack([crop.image for crop in batch]))).float().numpy()
        for batch in batches
    ]


@torch.inference_mode()
def detect(features: Sequence[Features], banks: Banks, spec: ModelSpec) -> Peaks:
    """The head on all batches: peaks of all images."""
    tensors = {name: torch.from_numpy(array) for name, array in banks.arrays().items()}
    found = [torch_reference.match(torch.from_numpy(batch), head=spec.head, **tensors) for batch in features]
    return Peaks(*(torch.cat(parts).numpy() for parts in zip(*found, strict=True)))


def difference(
    before: Peaks, after: Peaks, spec: ModelSpec, rows: int, labels: Sequence[Label | None]
) -> Difference:
    """What the decode makes of both, keypoint by keypoint."""
    ours, theirs = decoded(before, spec), decoded(after, spec)
    place, other, count = ours.xy, theirs.xy, len(spec.keypoints.names)
    distance = np.linalg.norm(place - other, axis=-1)
    lost, never = (np.isnan(xy).any(-1) for xy in (place + other, np.fmax(place, other)))
    distance[lost] = np.hypot(spec.input.width, spec.input.height)  # found by one alone: as far as can be
    distance[never] = 0.0
    distance = distance[ours.reported]
    same = before.index[..., 0] == after.index[..., 0]
    with np.errstate(invalid="ignore"):  # −∞ − −∞ where there is no peak
        responses = np.abs(np.subtract(before[2:4], after[2:4]))[..., 0]
    kept = responses[:, same & np.isfinite(responses).all(0)]
    gap = cross_fitted(spec.visibility, before, after) if spec.visibility else None
    return Difference(
        rows=rows,
        moved=round(1 - float(same[ours.reported].mean()), DIGITS),
        pixels=summary(distance, median=50, p99=99, max=100),
        pck_drop=pck_drop(place[:, :count], other[:, :count], labels),
        visible=None
        if gap is None
        else {"mean": round(float(gap.mean()), DIGITS), **summary(gap, p99=99, max=100)},
        response_p99=summary(kept, p99=99)["p99"] if kept.size else 0.0,
    )


def summary(values: Float, **percentiles: float) -> dict[str, float]:
    """Percentiles by name."""
    return {name: round(float(np.percentile(values, q)), DIGITS) for name, q in percentiles.items()}


def pck_drop(place: Float, other: Float, labels: Sequence[Label | None]) -> float | None:
    """How many percentage points of PCK positions [n, K, 2] lose; None if nothing is labelled."""
    chosen = [(i, label) for i, label in enumerate(labels) if label is not None and label.counted.any()]
    if not chosen:
        return None
    images = [i for i, _ in chosen]
    truth = np.stack([label.keypoints for _, label in chosen])
    counted = np.stack([label.counted for _, label in chosen])
    reach = np.array([label.threshold * label.length for _, label in chosen])
    before, after = (
        metrics.pck(metrics.distances(xy[images], truth), reach, counted, [1.0]).percent[0]
        for xy in (place, other)
    )
    return round(float(before - after), DIGITS)
