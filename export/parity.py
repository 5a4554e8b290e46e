"""The gate: an exported graph against torch, on the same crops of real pictures, after the decode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from coke_edge.decode import decode
from coke_edge.errors import DataError, ExportError
from coke_edge.export.banks import Banks
from coke_edge.export.crops import Crop
from coke_edge.kernels import torch_reference
from coke_edge.kernels.reference import NO_PEAK, Peaks
from coke_edge.manifest import ModelSpec
from coke_edge.train.model import CokeModel

BATCH_SIZE = 8
TIE = 1e-4  # two cells whose scores in torch are nearer than this may change places
PIXEL_DIGITS, RESPONSE_DIGITS = 3, 5  # what lies below depends on the number of threads: no two bundles alike
IDENTITY = np.eye(2, 3)

Run = Callable[[NDArray[np.uint8]], Peaks]  # crops uint8 [B, height, width, 3] BGR → peaks
Float = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Limits(msgspec.Struct, frozen=True):
    """What a graph may differ by. The defaults are for float32."""

    pixels: float = 0.05  # a keypoint's distance in crop pixels, ties apart
    response: float = 1e-3  # similarity and clutter responses
    ties: float = 0.01  # share of peaks that changed places with an equal one


class Worst(msgspec.Struct, frozen=True):
    """The keypoint that moved most."""

    image: str
    keypoint: str
    pixels: float


class Verdict(msgspec.Struct, frozen=True):
    """How a graph differs from torch; goes into the manifest."""

    images: int
    keypoints: int  # compared: the best peaks that both have, ties apart
    pixels: dict[str, float]  # distance in crop pixels: median, p99, max
    response_max: float  # largest difference of similarity, clutter and soft clutter at a common peak
    peaks: int  # all that torch has, the M of a keypoint counted singly
    ties: int  # of them, at another cell whose score in torch is within TIE
    displaced: int  # lower-ranked peaks at another cell beyond a tie
    missing: int  # found by one and not by the other, or not finite
    worst: Worst
    limits: Limits

    def failures(self) -> list[str]:
        """What is beyond the limits, in words; empty if the graph passes."""
        limit, worst = self.limits, self.worst
        where, elsewhere = f"{worst.keypoint} of {worst.image}", self.ties + self.displaced
        sentences = []
        if not self.peaks:
            sentences.append("torch finds no keypoint in these images, so nothing was compared")
        if self.missing:
            sentences.append(f"{self.missing} peaks missing or not finite, the first is {where}")
        elif worst.pixels > limit.pixels:
            sentences.append(f"{where} lies {worst.pixels:g} px off (limit {limit.pixels:g} px)")
        if self.response_max > limit.response:
            sentences.append(f"responses differ by {self.response_max:g} (limit {limit.response:g})")
        if elsewhere > limit.ties * self.peaks:
            sentences.append(f"{elsewhere} of {self.peaks} peaks lie in other cells (limit {limit.ties:.0%})")
        return sentences

    @property
    def passed(self) -> bool:
        """Whether everything is within the limits."""
        return not self.failures()

    def to_manifest(self) -> dict[str, Any]:
        """Plain data for the manifest."""
        numbers: dict[str, Any] = msgspec.to_builtins(self)
        return {"passed": self.passed, **numbers}


class Expected(NamedTuple):
    """What torch makes of B crops."""

    names: list[str]  # B
    images: NDArray[np.uint8]  # [B, height, width, 3]
    peaks: Peaks
    score: NDArray[np.float32]  # [B, K, H·W] q


@torch.inference_mode()
def torch_results(network: CokeModel, spec: ModelSpec, banks: Banks, crops: Sequence[Crop]) -> list[Expected]:
    """The features by torch, the head by its torch twin. Raises DataError if there is no crop."""
    tensors = {name: torch.from_numpy(array) for name, array in banks.arrays().items()}
    results = []
    for batch in batches(crops):
        images = np.stack([crop.image for crop in batch])
        features = network.features(torch.from_numpy(images)).float()
        maps = torch_reference.score_maps(features, head=spec.head, **tensors)
        peaks = torch_reference.find_peaks(maps, spec.head.peaks)
        results.append(
            Expected(
                [crop.name for crop in batch],
                images,
                Peaks(*(tensor.numpy() for tensor in peaks)),
                maps.score.flatten(2).numpy(),
            )
        )
    if not results:
        raise DataError("there is no image to hold the export against; name some with --data or --images")
    return results


def batches(crops: Sequence[Crop]) -> list[Sequence[Crop]]:
    """The crops in groups, the last one smaller: so a wrong batch dimension shows."""
    return [crops[i : i + BATCH_SIZE] for i in range(0, len(crops), BATCH_SIZE)]


def onnx_runtime(graph: bytes) -> Run:
    """The graph in ONNX Runtime on the CPU. Raises ExportError if it refuses the graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class of their own
        reason = str(error).splitlines()[0]
        raise ExportError(f"onnxruntime {onnxruntime.__version__} refuses the graph: {reason}") from error
    return lambda images: Peaks(*session.run(list(Peaks._fields), {"image": images}))


class Differences(NamedTuple):
    """Between torch and a graph, peak by peak."""

    distance: Float  # [B, K] of the best peaks, crop px; NaN where one is missing or they are tied
    response: Float  # [B, K, M] largest of s, c, ĉ; NaN where the cells differ
    tie: Mask  # [B, K, M] another cell with the same score, in torch
    displaced: Mask  # [B, K, M] another cell, without that excuse; the best peaks' distance tells it
    missing: Mask  # [B, K, M] one has it and the other has not, or it is not finite


def compare(expected: Sequence[Expected], run: Run, spec: ModelSpec, limits: Limits) -> Verdict:
    """Run a graph on the crops that torch has seen, and measure the differences."""
    parts = [differences(batch, run(batch.images), spec) for batch in expected]
    found = Differences(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    names = [name for batch in expected for name in batch.names]
    measured = found.distance[np.isfinite(found.distance)]
    median, p99, most = np.percentile(measured, [50, 99, 100]) if measured.size else [0.0] * 3
    # The worst keypoint is a missing one, if there is any.
    badness = np.where(found.missing.any(-1), np.inf, np.nan_to_num(found.distance))
    image, keypoint = np.unravel_index(int(badness.argmax()), badness.shape)
    return Verdict(
        images=len(names),
        keypoints=int(measured.size),
        pixels={"median": float(median), "p99": round(float(p99), PIXEL_DIGITS), "max": float(most)},
        response_max=float(np.fmax.reduce(found.response, axis=None, initial=0.0)),
        peaks=int(sum((batch.peaks.index != NO_PEAK).sum() for batch in expected)),
        ties=int(found.tie.sum()),
        displaced=int(found.displaced.sum()),
        missing=int(found.missing.sum()),
        worst=Worst(
            names[image],
            spec.keypoints.names[keypoint],
            float(np.nan_to_num(found.distance[image, keypoint])),
        ),
        limits=limits,
    )


def differences(expected: Expected, actual: Peaks, spec: ModelSpec) -> Differences:
    """The differences in one batch."""
    cells = expected.score.shape[-1]
    torch_has, graph_has = usable(expected.peaks, cells), usable(actual, cells)
    both = torch_has & graph_has
    moved = both & (expected.peaks.index != actual.index)
    score, other_score = (
        np.take_along_axis(expected.score, np.where(both, peaks.index, 0), -1)
        for peaks in (expected.peaks, actual)
    )
    tie = moved & np.isclose(score, other_score, rtol=0.0, atol=TIE)
    distance = np.linalg.norm(crop_positions(expected.peaks, spec) - crop_positions(actual, spec), axis=-1)
    distance = distance.round(PIXEL_DIGITS)
    distance[~both[..., 0] | tie[..., 0]] = np.nan
    ours, theirs = (np.where(both, peaks[1:4], 0.0) for peaks in (expected.peaks, actual))
    response = np.where(both & ~moved, np.abs(ours - theirs).max(0).round(RESPONSE_DIGITS), np.nan)
    displaced = moved & ~tie
    displaced[..., 0] = False
    return Differences(distance, response, tie, displaced, torch_has != graph_has)


def usable(peaks: Peaks, cells: int) -> Mask:
    """Which peaks [B, K, M] exist, lie in the map and have finite numbers."""
    inside = (peaks.index >= 0) & (peaks.index < cells)
    finite = np.isfinite(np.stack(peaks[1:4])).all(0) & ~np.isnan(peaks.neighbourhood).any((-2, -1))
    return np.asarray(inside & finite)


def crop_positions(peaks: Peaks, spec: ModelSpec) -> Float:
    """The best peaks' positions [B, K, 2] in crop pixels."""
    objects = decode(peaks, [IDENTITY] * len(peaks.index), spec)
    return np.stack([found.xy for found in objects])


def require(precision: str, verdict: Verdict) -> None:
    """Raises ExportError, one sentence, if a graph is beyond its limits."""
    if failures := verdict.failures():
        raise ExportError(
            f"the {precision} graph is not what torch computes: {'; '.join(failures)}; nothing was written"
        )
