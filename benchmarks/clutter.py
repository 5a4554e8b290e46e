"""What a smaller clutter bank costs: `python -m coke_edge.benchmarks.clutter CHECKPOINT --data SPEC --split SPLIT`.

Every rule and every size is held against the full bank on the same features: images as photographed and with
synthetic occluders (those of the calibration, `train/visibility.py`). P(visible) is given with the model's own slopes
("as is") and with slopes moved to the smaller bank without labels (`export/transfer.py`), fitted on the unoccluded
images of the other half.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from coke_edge.decode import visibility
from coke_edge.export.banks import Banks
from coke_edge.export.clutter import compress, features_of
from coke_edge.export.crops import Crop
from coke_edge.export.expected import decoded
from coke_edge.export.trained import network_of
from coke_edge.export.transfer import transfer
from coke_edge.geometry import box_to_crop, transform
from coke_edge.kernels import torch_reference
from coke_edge.kernels.reference import Peaks
from coke_edge.kernels.spec import HeadSpec, Rule
from coke_edge.manifest import ModelSpec
from coke_edge.preprocess import crop
from coke_edge.train import metrics
from coke_edge.train.checkpoint import Checkpoint, load_checkpoint
from coke_edge.train.data import load_dataset
from coke_edge.train.data.sample import HIDDEN, VISIBLE, KeypointDataset
from coke_edge.train.visibility import RULES, at_most, occluded_images

SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048)
COLUMNS = (
    *("rule", "rows", "cells", "px p99", "PCK", "occluded"),
    *("as is: AUROC", "occluded", "mean difference", "p99"),
    *("moved: AUROC", "occluded", "mean difference", "p99"),
)

Float = NDArray[np.float64]


class Seen(NamedTuple):
    """n crops of a data set, their features and what is annotated in them."""

    features: list[NDArray[np.float32]]  # batches [B, C, H, W]
    truth: Float  # [n, K, 2] crop px
    length: Float  # [n] normalising length in crop px
    flags: NDArray[np.uint8]  # [n, K] visibility, covered keypoints hidden
    occluded: NDArray[np.bool_]  # [n]
    odd: NDArray[np.bool_]  # [n] one half of the objects, whatever lies over them
    threshold: float  # of PCK


def see(checkpoint: Checkpoint, dataset: KeypointDataset) -> Seen:
    """All samples at every level of occlusion."""
    size, names = checkpoint.spec.input, dataset.keypoints.names
    crops, truth, length, flags, occluded, odd = [], [], [], [], [], []
    for number, pasted, image, visible in occluded_images(dataset, None, 0):
        sample = dataset.samples[number]
        affine = box_to_crop(sample.box, size.width, size.height, size.box_margin)
        head = [sample.meta.get("head_size", np.nan)]
        own = metrics.lengths(dataset.normaliser, sample.keypoints[None], sample.box[None], names, head)
        crops.append(Crop(sample.key, crop(image, affine, size)))
        truth.append(transform(affine, sample.keypoints))
        length.append(own[0] * affine[0, 0])
        flags.append(visible)
        occluded.append(pasted)
        odd.append(number % 2 == 1)
    features = features_of(network_of(checkpoint), crops)
    threshold = float(metrics.USUAL_THRESHOLD[dataset.normaliser])
    return Seen(
        features,
        np.stack(truth),
        np.array(length),
        np.stack(flags),
        np.array(occluded),
        np.array(odd),
        threshold,
    )


@torch.inference_mode()
def peaks_by_rule(seen: Seen, banks: Banks, head: HeadSpec) -> dict[Rule, Peaks]:
    """The best peaks of all crops under each rule, from one pass over the bank."""
    tensors = {name: torch.from_numpy(array) for name, array in banks.arrays().items()}
    found: dict[Rule, list[Any]] = {rule: [] for rule in RULES}
    for batch in seen.features:
        maps = torch_reference.score_maps(torch.from_numpy(batch), head=head, **tensors)
        subtracted: dict[Rule, Any] = {
            "similarity": 0.0,
            "margin": maps.clutter[:, None],
            "log_odds": maps.soft_clutter[:, None],
        }
        for rule in RULES:
            ruled = maps._replace(score=maps.similarity - subtracted[rule])
            found[rule].append(torch_reference.find_peaks(ruled, head.peaks))
    return {
        rule: Peaks(*(torch.cat(parts).numpy() for parts in zip(*batches, strict=True)))
        for rule, batches in found.items()
    }


def row(seen: Seen, spec: ModelSpec, rule: Rule, rows: int, full: Peaks, found: Peaks) -> tuple[str, ...]:
    """One line of the table."""
    assert spec.visibility is not None
    before, after = decoded(full, spec), decoded(found, spec)
    distance = np.linalg.norm(after.xy - before.xy, axis=-1)[before.reported]
    moved = float((found.index != full.index)[..., 0][before.reported].mean())
    xy = after.xy[:, : seen.flags.shape[1]]
    mask = metrics.counted(seen.flags, seen.length)
    miss = metrics.distances(xy, seen.truth)
    pck = [
        metrics.pck(miss[part], seen.length[part], mask[part], [seen.threshold]).percent[0]
        for part in (~seen.occluded, seen.occluded)
    ]
    expected, as_is = visibility(full, spec.visibility), visibility(found, spec.visibility)
    other = np.empty_like(as_is)
    for half in (seen.odd, ~seen.odd):
        fitted = transfer(spec.visibility, full, found, ~half & ~seen.occluded)
        other[half] = visibility(found, fitted)[half]
    figures = [
        f"{100 * moved:.2f} %",
        f"{np.percentile(distance, 99):.2f}",
        *(f"{value:.2f}" for value in pck),
    ]
    for probability in (as_is, other):
        gap = np.abs(probability - expected)
        figures += [f"{value:.4f}" for value in aurocs(seen, probability)]
        figures += [f"{gap.mean():.4f}", f"{np.percentile(gap, 99):.4f}"]
    return (rule, str(rows), *figures)


def aurocs(seen: Seen, probability: Float) -> list[float]:
    """Visible against hidden: images as photographed, images with occluders."""
    labelled = (seen.flags == VISIBLE) | (seen.flags == HIDDEN)
    return [
        metrics.auroc(probability[part][labelled[part]], seen.flags[part][labelled[part]] == VISIBLE)
        for part in (~seen.occluded, seen.occluded)
    ]


def compare(checkpoint: Checkpoint, dataset: KeypointDataset) -> None:
    """Print the table."""
    spec, full = checkpoint.spec, Banks.of(network_of(checkpoint))
    seen = see(checkpoint, dataset)
    print(
        f"{dataset.split}: {len(dataset.samples)} images, {int(seen.occluded.sum())} copies with occluders\n"
    )
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    best = peaks_by_rule(seen, full, spec.head)
    tables: dict[Rule, list[tuple[str, ...]]] = {rule: [] for rule in RULES}
    for rows in (*(size for size in SIZES if size < len(full.clutter)), len(full.clutter)):
        smaller = compress(full, rows) if rows < len(full.clutter) else full
        for rule, found in peaks_by_rule(seen, smaller, spec.head).items():
            tables[rule].append(row(seen, spec, rule, rows, best[rule], found))
    for lines in tables.values():
        for line in lines:
            print(f"| {' | '.join(line)} |")


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", required=True, help="data set, such as lsp:FOLDER")
    parser.add_argument("--split", default="val", choices=("train", "val", "test"))
    parser.add_argument("--count", type=int, default=500, help="images of the split, at most")
    arguments = parser.parse_args()
    dataset = load_dataset(arguments.data, arguments.split)
    compare(load_checkpoint(arguments.checkpoint), at_most(arguments.count, dataset, 0))


if __name__ == "__main__":
    main()
