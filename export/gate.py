"""The gate: an exported graph against torch, on the same crops of real pictures, after the decode."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from coke_edge.backends.onnxruntime import session_options
from coke_edge.errors import ExportError
from coke_edge.export.differences import PIXEL_DIGITS, RESPONSE_DIGITS, Differences, differences
from coke_edge.export.expected import Expected
from coke_edge.export.graph import serialise
from coke_edge.export.precision.rounded import rounded
from coke_edge.export.verdict import Hidden, Limits, Pck, Verdict, Visibility, Worst
from coke_edge.kernels.reference import Peaks
from coke_edge.manifest import ModelSpec

WORST_IMAGES = 3

Run = Callable[[NDArray[np.uint8]], Peaks]  # crops uint8 [B, height, width, 3] BGR → peaks
Float = NDArray[np.float64]


def onnx_runtime(graph: bytes, as_written: bool = False) -> Run:
    """The graph in ONNX Runtime on the CPU, optimised as for detection or, if `as_written`, not at all.

    Raises ExportError if ONNX Runtime refuses the graph.
    """
    import onnxruntime

    options = session_options()
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class of their own
        reason = str(error).splitlines()[0]
        raise ExportError(f"onnxruntime {onnxruntime.__version__} refuses the graph: {reason}") from error
    return lambda images: Peaks(*session.run(list(Peaks._fields), {"image": images}))


def run_as_on_gpu(graph: onnx.ModelProto) -> Run:
    """A graph that holds float16 or is meant for a GPU, with all roundings, on the CPU.

    ONNX Runtime's optimiser is off: it would give convolutions between Q/DQ nodes biases in int32, and those of a graph
    in float16 overflow. Raises ExportError if ONNX Runtime refuses the graph.
    """
    return onnx_runtime(serialise(rounded(graph)), as_written=True)


def compare(expected: Sequence[Expected], run: Run, spec: ModelSpec, limits: Limits) -> Verdict:
    """Run a graph on the crops that torch has seen, and measure the differences."""
    parts = [differences(batch, run(batch.images), spec) for batch in expected]
    found = Differences(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    names = [name for batch in expected for name in batch.names]
    measured = found.distance[np.isfinite(found.distance)]
    median, p99, most = np.percentile(measured, [50, 99, 100]) if measured.size else [0.0] * 3
    worst_images = worst(found, names, map_names(spec))
    return Verdict(
        images=len(names),
        keypoints=int(measured.size),
        pixels={"median": float(median), "p99": round(float(p99), PIXEL_DIGITS), "max": float(most)},
        response_max=float(np.fmax.reduce(found.response, axis=None, initial=0.0)),
        peaks=int(found.peaks.sum()),
        ties=int(found.tie.sum()),
        displaced=int(found.displaced.sum()),
        missing=int(found.missing.sum()),
        worst=worst_images[0],
        limits=limits,
        moved=round(float((measured > 1).mean()), 4) if measured.size else 0.0,
        pck=pck(found, any(label for batch in expected for label in batch.labels)),
        hidden=hidden(found),
        visibility=visibility(found.visible),
        worst_images=worst_images,
    )


def map_names(spec: ModelSpec) -> list[str]:
    """What each score map is called."""
    names = list(spec.keypoints.names)
    return names + [f"{name} (hidden)" for name in names] if spec.hidden_maps else names


def worst(found: Differences, images: Sequence[str], keypoints: Sequence[str]) -> tuple[Worst, ...]:
    """The images with the farthest keypoint, and that keypoint; a missing one is worse than any distance."""
    badness = np.where(found.missing.any(-1), np.inf, np.nan_to_num(found.distance))  # [B, R]
    keypoint = badness.argmax(axis=1)
    order = np.argsort(-badness.max(axis=1), kind="stable")[:WORST_IMAGES]
    return tuple(
        Worst(images[b], keypoints[keypoint[b]], float(np.nan_to_num(found.distance[b, keypoint[b]])))
        for b in order
    )


def pck(found: Differences, annotated: bool) -> Pck | None:
    """PCK of torch and of the graph; None if no keypoint counts."""
    count = int(found.counted.sum())
    if not count:
        return None
    ours, theirs = (correct & found.counted for correct in (found.torch_correct, found.graph_correct))
    torch, graph = (round(100.0 * int(correct.sum()) / count, 3) for correct in (ours, theirs))
    lost, gained = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    return Pck("annotations" if annotated else "torch", count, torch, graph, lost, gained)


def hidden(found: Differences) -> Hidden | None:
    """How far hidden places moved; None if torch reports none."""
    distance = found.distance[:, found.visible.shape[1] :]
    known = distance[np.isfinite(distance)]
    if not known.size:
        return None
    return Hidden(int(known.size), round(float(np.median(known)), PIXEL_DIGITS))


def visibility(change: Float) -> Visibility | None:
    """Mean and largest |ΔP(visible)| [B, K]; None if none is known."""
    known = change[np.isfinite(change)]
    if not known.size:
        return None
    return Visibility(round(float(known.mean()), RESPONSE_DIGITS), float(known.max()))


def require(precision: str, verdict: Verdict) -> None:
    """Raises ExportError, one sentence, if a graph is beyond its limits."""
    if failures := verdict.failures():
        clauses = "; ".join([*failures, *filter(None, [verdict.culprits()])])
        raise ExportError(f"the {precision} graph is not what torch computes: {clauses}; nothing was written")
