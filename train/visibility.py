"""What a trained model still needs before it is used: its box margin and score rule, and P(visible).

P(visible) is fitted (train/visibility_fit.py) on validation images as they are and with synthetic occluders. Visible
means annotated as visible and not covered; hidden means covered or, where the data set marks it, annotated as hidden.
The quantities are read where the model finds the keypoint, right or wrong, as they are in use. The probability
therefore refers to the mix of images that it was fitted on: of three, one is as photographed and two have 10 to 30 and
30 to 60 % of the box covered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from coke_edge.decode import readings
from coke_edge.detector import Detector
from coke_edge.kernels.reference import NO_PEAK
from coke_edge.kernels.spec import Rule
from coke_edge.manifest import EvidenceSpec, ModelSpec
from coke_edge.train import metrics
from coke_edge.train.data.images import ImageCache
from coke_edge.train.data.sample import HIDDEN, VISIBLE, KeypointDataset
from coke_edge.train.evaluate import evaluate
from coke_edge.train.occlusion import hide_covered, paste_occluders
from coke_edge.train.predictions import CACHE_BYTES
from coke_edge.train.torch_backend import Scorer, TorchBackend
from coke_edge.train.visibility_fit import Observations, fit_simplest

RULES: tuple[Rule, ...] = get_args(Rule)
COVERAGES = ((0.0, 0.0), (0.1, 0.3), (0.3, 0.6))  # of the box; one pass over the images each
PEAKS = 4  # read by P(visible): eight tell no more
MAX_OBJECTS = 500  # more than this change neither choice nor fit
POOL = 48  # images of the data set that occluders are cut from if there are no photos

Float = NDArray[np.float64]
Image = NDArray[np.uint8]


class Candidate(NamedTuple):
    """A model under a specification that is being tried."""

    model: Scorer
    spec: ModelSpec

    def detector(self) -> Detector:
        """It, ready to run."""
        return Detector.from_backend(self.spec, TorchBackend(self))


def calibrate(
    model: Scorer,
    spec: ModelSpec,
    dataset: KeypointDataset,
    photos: Sequence[Image] | None = None,
    seed: int = 0,
    rules: Sequence[Rule] = RULES,
    margins: Sequence[float] = (),
) -> tuple[ModelSpec, dict[str, Any]]:
    """`spec` with the best of `margins` and `rules`, a fitted visibility and the peaks that it reads, and the figures.

    `photos`, uint8 [h, w, 3] BGR, are what occluders are cut from; None takes other images of `dataset`. Give
    one rule to keep it, and no margins to keep the margin. Visibility stays None if all observed keypoints
    are visible, or none.
    """
    dataset = at_most(MAX_OBJECTS, dataset, seed)
    figures: dict[str, Any] = {}
    if margins:
        spec, figures["pck_by_margin"] = choose_margin(model, spec, dataset, margins)
    spec, figures["pck_by_rule"] = choose_rule(model, spec, dataset, rules)
    figures |= {"rule": spec.head.rule, "margin": spec.input.box_margin}
    hidden = 0.0 if spec.hidden_maps else None
    evidence = EvidenceSpec(0.0, PEAKS, spec.head.temperature, hidden)
    reading = with_peaks(spec, evidence)
    seen = observe(Candidate(model, reading).detector(), dataset, photos, seed, evidence)
    if seen.visible.all() or not seen.visible.any():
        return msgspec.structs.replace(spec, visibility=None), figures
    fitted, figures["visibility"] = fit_simplest(seen, len(spec.keypoints.names), evidence, seed)
    return msgspec.structs.replace(reading, visibility=fitted), figures


def with_peaks(spec: ModelSpec, evidence: EvidenceSpec) -> ModelSpec:
    """The specification with at least as many peaks as the evidence reads."""
    head = dataclasses.replace(spec.head, peaks=max(spec.head.peaks, evidence.peaks))
    return msgspec.structs.replace(spec, head=head)


def at_most(count: int, dataset: KeypointDataset, seed: int) -> KeypointDataset:
    """The data set, or a random part of it if it has more than `count` samples."""
    if len(dataset.samples) <= count:
        return dataset
    chosen = np.sort(np.random.default_rng(seed).choice(len(dataset.samples), count, replace=False))
    return dataclasses.replace(dataset, samples=[dataset.samples[i] for i in chosen])


def choose_rule(
    model: Scorer, spec: ModelSpec, dataset: KeypointDataset, rules: Sequence[Rule] = RULES
) -> tuple[ModelSpec, dict[str, float]]:
    """`spec` with the rule of the best PCK at the usual threshold (the first on a tie), and PCK by rule."""
    specs = [msgspec.structs.replace(spec, head=dataclasses.replace(spec.head, rule=rule)) for rule in rules]
    best, pck = best_of(model, specs, dataset)
    return specs[best], dict(zip(rules, pck, strict=True))


def choose_margin(
    model: Scorer, spec: ModelSpec, dataset: KeypointDataset, margins: Sequence[float]
) -> tuple[ModelSpec, dict[str, float]]:
    """`spec` with the margin of the best PCK (the first on a tie), and PCK by margin.

    Training shows the object at many sizes; which of them the network reads best is not the middle one.
    """
    inputs = [msgspec.structs.replace(spec.input, box_margin=margin) for margin in margins]
    specs = [msgspec.structs.replace(spec, input=size) for size in inputs]
    best, pck = best_of(model, specs, dataset)
    return specs[best], {f"{margin:g}": value for margin, value in zip(margins, pck, strict=True)}


def best_of(model: Scorer, specs: Sequence[ModelSpec], dataset: KeypointDataset) -> tuple[int, list[float]]:
    """Which specification has the best PCK at the usual threshold, and the PCK of all."""
    threshold = metrics.USUAL_THRESHOLD[dataset.normaliser]
    pck = [
        evaluate(Candidate(model, spec).detector(), dataset, progress=False).pck[threshold] for spec in specs
    ]
    return int(np.argmax(np.nan_to_num(pck, nan=-1.0))), np.round(pck, 3).tolist()


def observe(
    detector: Detector,
    dataset: KeypointDataset,
    photos: Sequence[Image] | None = None,
    seed: int = 0,
    evidence: EvidenceSpec | None = None,
) -> Observations:
    """Run a detector over the data set once per entry of `COVERAGES`; what has no peak is left out.

    With `evidence` that is read as well; its slope does not matter.
    """
    rows: list[Observations] = []
    for number, occluded, image, flags in occluded_images(dataset, photos, seed):
        sample = dataset.samples[number]
        peaks = detector.peaks(image, sample.box)
        quantities = readings(peaks, evidence)[0]
        labelled = (flags == VISIBLE) | (flags == HIDDEN)
        if not dataset.marks_hidden:
            labelled &= sample.visibility == VISIBLE
        found = peaks.index[0, : len(labelled), 0] != NO_PEAK
        known = np.flatnonzero(labelled & found)
        rows.append(
            Observations(
                quantities[known],
                known,
                flags[known] == VISIBLE,
                np.full(len(known), number),
                np.full(len(known), occluded),
            )
        )
    return Observations(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def occluded_images(
    dataset: KeypointDataset, photos: Sequence[Image] | None, seed: int
) -> Iterator[tuple[int, bool, Image, NDArray[np.uint8]]]:
    """(number of the sample, whether occluded, image, visibility flags [K]) for every coverage and sample."""
    cache = ImageCache(CACHE_BYTES)
    pool = [] if photos is not None else sorted({sample.image for sample in dataset.samples})
    pool = [pool[i] for i in np.random.default_rng(seed).permutation(len(pool))[:POOL]]
    own = {path: cache.read(path) for path in pool}
    for level, coverage in enumerate(COVERAGES):
        for number, sample in enumerate(dataset.samples):
            image = cache.read(sample.image)
            if coverage[1] == 0:
                yield number, False, image, sample.visibility
                continue
            others = [photo for path, photo in own.items() if path != sample.image]
            rng = np.random.default_rng([seed, level, number])
            image, mask = paste_occluders(
                image, sample.box, rng, others if photos is None else photos, coverage
            )
            yield number, True, image, hide_covered(sample.keypoints, sample.visibility, mask)
