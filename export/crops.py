"""Real pictures as the network sees them: what an exported graph is held against torch on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from coke_edge.geometry import Affine, box_to_crop, frame_box, transform
from coke_edge.manifest import InputSpec, Keypoints2D
from coke_edge.preprocess import crop
from coke_edge.stream.images import list_images, read_image
from coke_edge.train import metrics
from coke_edge.train.data.sample import KeypointDataset, Sample
from coke_edge.train.evaluate import matching

T = TypeVar("T")


class Label(NamedTuple):
    """What is annotated in a crop, in crop pixels."""

    keypoints: NDArray[np.float64]  # [K, 2], NaN where unlabelled
    counted: NDArray[np.bool_]  # [K] those that the data set's PCK counts, in an object of known length
    length: float  # the data set's normalising length, NaN where it is unknown
    threshold: float  # the data set's usual PCK threshold, in lengths


class Crop(NamedTuple):
    """One picture, cut out as at detection."""

    name: str  # file name, for reports: no folder of this machine
    image: NDArray[np.uint8]  # [height, width, 3] BGR
    label: Label | None = None


def dataset_crops(
    dataset: KeypointDataset, size: InputSpec, count: int, layout: Keypoints2D | None = None
) -> Iterator[Crop]:
    """The boxes of `count` samples with what is annotated in them, spread evenly over a data set.

    The labels are of the K keypoints of a model's `layout`, which may know more categories than the data set; None is
    that of the data set. Raises DataError if the keypoints are not the model's or an image cannot be read.
    """
    layout = layout or dataset.keypoints
    places = matching(layout, dataset)
    for sample in spread(dataset.samples, count):
        affine = box_to_crop(sample.box, size.width, size.height, size.box_margin)
        image = crop(read_image(sample.image), affine, size)
        label = label_of(sample, dataset, affine)
        yield Crop(sample.image.name, image, placed(label, places, len(layout.names)))


def label_of(sample: Sample, dataset: KeypointDataset, affine: Affine) -> Label:
    """A sample's annotation after the affine [2, 3] from frame to crop, which keeps the aspect."""
    length = metrics.lengths(
        dataset.normaliser,
        sample.keypoints[None],
        sample.box[None],
        dataset.keypoints.names,
        [sample.meta.get("head_size", np.nan)],
    )
    counted = metrics.counted(sample.visibility[None], length, dataset.counts_hidden)[0]
    counted &= ~np.isin(dataset.keypoints.names, dataset.unscored)
    threshold = float(metrics.USUAL_THRESHOLD[dataset.normaliser])
    return Label(transform(affine, sample.keypoints), counted, float(length[0] * affine[0, 0]), threshold)


def placed(label: Label, places: NDArray[np.intp], count: int) -> Label:
    """The label among `count` keypoints, its own at `places`; the others are not labelled."""
    keypoints, counted = np.full((count, 2), np.nan), np.zeros(count, bool)
    keypoints[places], counted[places] = label.keypoints, label.counted
    return label._replace(keypoints=keypoints, counted=counted)


def folder_crops(folder: Path, size: InputSpec, count: int) -> Iterator[Crop]:
    """`count` images of a folder, each whole, spread evenly over their sorted names.

    Raises DataError if there is none or one cannot be read.
    """
    for path in spread(list_images(folder), count):
        frame = read_image(path)
        affine = box_to_crop(frame_box(frame.shape[1], frame.shape[0]), size.width, size.height)
        yield Crop(path.name, crop(frame, affine, size))


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items, evenly spread, in their order."""
    if len(items) <= count:
        return list(items)
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, count)]
