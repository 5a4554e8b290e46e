"""From the peaks of the head to keypoints in the frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coke_edge.geometry import Affine, cells_to_crop, invert, transform
from coke_edge.kernels.reference import NO_PEAK, Peaks
from coke_edge.keypoints import Keypoints
from coke_edge.manifest import EvidenceSpec, InputSpec, ModelSpec, VisibilitySpec


def decode(
    peaks: Peaks, affines: Sequence[Affine], spec: ModelSpec, boxes: Sequence[ArrayLike] | None = None
) -> list[Keypoints]:
    """The keypoints of B regions of frames, given their peaks and their affines [2, 3] from frame to crop.

    `boxes` [4] go into the result as they are; without them it says which part of the frame the crop shows.
    """
    if boxes is None:
        boxes = [shown(affine, spec.input) for affine in affines]
    count = len(spec.keypoints.names)
    crop_xy = places(peaks, spec)
    at_best = best(peaks)[..., :count]
    at_best[:, peaks.index[:, :count, 0] == NO_PEAK] = np.nan
    visible = visibility(peaks, spec.visibility)[:, :count]
    objects = []
    for b, (affine, box) in enumerate(zip(affines, boxes, strict=True)):
        xy = transform(invert(affine), crop_xy[b])
        objects.append(
            Keypoints(
                layout=spec.keypoints,
                xy=xy[:count, 0],
                similarity=at_best[0, b],
                clutter=at_best[1, b],
                soft_clutter=at_best[2, b],
                visible=visible[b],
                box=np.asarray(box, dtype=np.float64),
                alternatives=xy[:count] if xy.shape[1] > 1 else None,
                hidden_xy=xy[count:, 0] if spec.hidden_maps else None,
            )
        )
    return objects


def places(peaks: Peaks, spec: ModelSpec) -> NDArray[np.float64]:
    """Where the peaks of R score maps are, [B, R, M, 2] in crop pixels; NaN where there is none."""
    row, column = np.divmod(peaks.index, spec.input.width // spec.stride)
    step = sub_cell(peaks.neighbourhood)
    crop_xy = cells_to_crop(column + step[..., 0], row + step[..., 1], spec.stride)
    crop_xy[peaks.index == NO_PEAK] = np.nan
    return crop_xy


def best(peaks: Peaks) -> NDArray[np.float64]:
    """s, c and ĉ [3, B, R] of the best peaks."""
    quantities = (peaks.similarity, peaks.clutter, peaks.soft_clutter)
    return np.array([quantity[..., 0] for quantity in quantities], np.float64)


def shown(affine: Affine, size: InputSpec) -> NDArray[np.float64]:
    """The box [4] of the frame that holds all of a crop."""
    x, y = size.width - 0.5, size.height - 0.5
    corners = transform(invert(affine), [(-0.5, -0.5), (x, -0.5), (x, y), (-0.5, y)])
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def sub_cell(neighbourhood: NDArray[np.float32]) -> NDArray[np.float64]:
    """Where the top of the score lies between cells: (x, y) [..., 2] in cells, −½ … ½, from q [..., 3, 3].

    Each axis has its own parabola through the centre and its two neighbours; at the border of the map, where
    a neighbour is −∞, the step along that axis is 0.
    """
    q = neighbourhood.reshape(*neighbourhood.shape[:-2], 9).astype(np.float64)
    centre, before, after = q[..., 4:5], q[..., 3:0:-2], q[..., 5::2]  # left and above; right and below
    with np.errstate(invalid="ignore"):  # −∞ less −∞
        rise, bend = after - before, 2 * centre - (before + after)
        known = (bend > 0) & (bend < np.inf)
    step = np.divide(rise, 2 * bend, out=np.zeros_like(rise), where=known)
    return np.asarray(np.maximum(np.minimum(step, 0.5), -0.5))


def visibility(peaks: Peaks, spec: VisibilitySpec | None) -> NDArray[np.float64]:
    """P(visible) [B, K]: 0 where there is no peak. NaN of every map, [B, R], if the model is not calibrated."""
    missing = peaks.index[..., 0] == NO_PEAK
    if spec is None:
        return np.where(missing, 0.0, np.nan)
    missing = missing[:, : len(spec.bias)]
    logit = readings(peaks, spec.evidence) @ np.asarray(spec.slopes) + np.asarray(spec.bias)
    return np.where(missing, 0.0, 0.5 * (1 + np.tanh(logit / 2)))  # σ, without overflow


def readings(peaks: Peaks, evidence: EvidenceSpec | None) -> NDArray[np.float64]:
    """What P(visible) is judged by [B, K, Q]: s, c, ĉ of the best peak and, if asked for, e and h; 0 without a peak.

    With h the second half of the R maps are those of hidden keypoints.
    """
    count = peaks.index.shape[1]
    own = []
    if evidence is not None:
        e = soft_maximum(peaks.neighbourhood[..., : evidence.peaks, :, :], evidence.temperature)
        own = [e] if evidence.hidden is None else np.split(e, 2, axis=1)
        count = own[0].shape[1]
    found = np.stack([*best(peaks)[..., :count], *own], axis=-1)
    found[peaks.index[:, :count, 0] == NO_PEAK] = 0.0
    return found


def soft_maximum(q: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """τ·log Σ exp(q / τ) [B, R] of the scores [B, R, M, 3, 3]; −∞ where there is none."""
    exponents = q.reshape(*q.shape[:2], -1) / np.float64(temperature)
    return np.asarray(temperature * np.logaddexp.reduce(exponents, axis=-1))
