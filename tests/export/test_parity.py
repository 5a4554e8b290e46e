"""The gate lets an equal graph through and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from coke_edge.errors import DataError, ExportError
from coke_edge.export.banks import Banks
from coke_edge.export.crops import Crop
from coke_edge.export.graph import build_graph, serialise
from coke_edge.export.parity import Expected, Limits, compare, onnx_runtime, require, torch_results
from coke_edge.kernels import reference
from coke_edge.kernels.reference import Peaks, ScoreMaps
from coke_edge.manifest import ModelSpec
from coke_edge.train.checkpoint import Checkpoint


def expected_of(score: Any, peaks: int = 1) -> Expected:
    """As if torch had computed these scores [B, K, H, W]."""
    b, _, h, w = score.shape
    zeros = np.zeros((b, h, w), np.float32)
    found = reference.find_peaks(ScoreMaps(score, score, zeros, zeros), peaks)
    images = np.zeros((b, 1, 1, 3), np.uint8)
    return Expected([f"{i}.jpg" for i in range(b)], images, found, score.reshape(*score.shape[:2], -1))


@pytest.fixture
def score() -> Any:
    """Scores [4, 3, 8, 12] with well separated peaks."""
    rng = np.random.default_rng(0)
    values = rng.permutation(4 * 3 * 8 * 12).reshape(4, 3, 8, 12) / 1152
    return values.astype(np.float32)


def verdict_of(expected: Expected, actual: Peaks, spec: ModelSpec) -> Any:
    return compare([expected], lambda images: actual, spec, Limits())


def copy(peaks: Peaks) -> Peaks:
    return Peaks(*(values.copy() for values in peaks))


def test_equal_peaks_pass(checkpoint: Checkpoint, score: Any) -> None:
    expected = expected_of(score, peaks=2)
    verdict = verdict_of(expected, copy(expected.peaks), checkpoint.spec)
    assert verdict.passed
    assert (verdict.images, verdict.keypoints, verdict.peaks) == (4, 12, 24)
    assert verdict.pixels == {"median": 0.0, "p99": 0.0, "max": 0.0}
    require("fp32", verdict)


def test_a_keypoint_in_another_cell_is_named(checkpoint: Checkpoint, score: Any) -> None:
    expected = expected_of(score)
    actual = copy(expected.peaks)
    actual.index[2, 1] = (actual.index[2, 1] + 40) % 96
    verdict = verdict_of(expected, actual, checkpoint.spec)
    with pytest.raises(ExportError, match=r"left ear of 2\.jpg lies .* px off"):
        require("fp32", verdict)
    assert verdict.ties == 0
    assert verdict.pixels["max"] > 8


def test_a_sub_cell_difference_beyond_the_limit_fails(checkpoint: Checkpoint, score: Any) -> None:
    expected = expected_of(score)
    inside = np.argwhere(np.isfinite(expected.peaks.neighbourhood).all((-2, -1)))[0]
    actual = copy(expected.peaks)
    around = actual.neighbourhood[tuple(inside)]
    around[1, 2] += 0.5 * (around[1, 1] - around[1, 2])
    verdict = verdict_of(expected, actual, checkpoint.spec)
    assert 0.05 < verdict.pixels["max"] < 4
    assert not verdict.passed


def test_a_tie_is_reported_and_not_measured(checkpoint: Checkpoint, score: Any) -> None:
    score[3, 0, 0, 0], score[3, 0, 5, 5] = 2.0, 2.0 + 5e-5
    expected = expected_of(score)
    assert expected.peaks.index[3, 0, 0] == 65
    actual = copy(expected.peaks)
    actual.index[3, 0, 0] = 0
    verdict = compare([expected], lambda images: actual, checkpoint.spec, Limits(ties=0.1))
    assert (verdict.ties, verdict.keypoints, verdict.pixels["max"]) == (1, 11, 0.0)
    assert verdict.passed
    with pytest.raises(ExportError, match="1 of 12 peaks lie in other cells"):
        require("fp32", verdict_of(expected, actual, checkpoint.spec))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("index", -1),
        ("index", 96),
        ("similarity", np.nan),
        ("soft_clutter", -np.inf),
        ("neighbourhood", np.nan),
    ],
)
def test_a_missing_or_undefined_peak_fails(
    checkpoint: Checkpoint, score: Any, field: str, value: float
) -> None:
    expected = expected_of(score)
    actual = copy(expected.peaks)
    getattr(actual, field)[1, 2] = value
    verdict = verdict_of(expected, actual, checkpoint.spec)
    assert verdict.missing == 1
    with pytest.raises(ExportError, match=r"1 peaks missing or not finite, the first is right ear of 1\.jpg"):
        require("fp32", verdict)


def test_a_wrong_response_fails(checkpoint: Checkpoint, score: Any) -> None:
    expected = expected_of(score)
    actual = copy(expected.peaks)
    actual.clutter[0, 0] += 0.01
    with pytest.raises(ExportError, match=r"responses differ by 0\.01"):
        require("fp32", verdict_of(expected, actual, checkpoint.spec))


def test_lower_peaks_count_too(checkpoint: Checkpoint, score: Any) -> None:
    expected = expected_of(score, peaks=3)
    actual = copy(expected.peaks)
    actual.index[..., 2] = (actual.index[..., 2] + 1) % 96
    verdict = verdict_of(expected, actual, checkpoint.spec)
    assert verdict.displaced == 12
    assert not verdict.passed


def test_nothing_compared_is_no_pass(checkpoint: Checkpoint) -> None:
    expected = expected_of(np.full((1, 3, 8, 12), -np.inf, np.float32))
    with pytest.raises(ExportError, match="nothing was compared"):
        require("fp32", verdict_of(expected, copy(expected.peaks), checkpoint.spec))


def test_no_images(checkpoint: Checkpoint) -> None:
    with pytest.raises(DataError, match="no image"):
        torch_results(checkpoint.model, checkpoint.spec, Banks.of(checkpoint.model), [])


def test_a_graph_that_onnxruntime_refuses() -> None:
    with pytest.raises(ExportError, match="refuses the graph"):
        onnx_runtime(b"no graph")


def test_one_changed_weight_is_found(checkpoint: Checkpoint, exported_once: None) -> None:
    rng = np.random.default_rng(0)
    crops = [Crop(f"{i}", rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)) for i in range(9)]
    banks = Banks.of(checkpoint.model)
    expected = torch_results(checkpoint.model, checkpoint.spec, banks, crops)
    assert [len(batch.images) for batch in expected] == [8, 1]
    graph = build_graph(checkpoint.model, checkpoint.spec, banks)
    good = compare(expected, onnx_runtime(serialise(graph)), checkpoint.spec, Limits())
    assert good.passed
    assert (good.images, good.keypoints) == (9, 27)
    tampered = compare(expected, onnx_runtime(serialise(tamper(graph))), checkpoint.spec, Limits())
    assert not tampered.passed


def tamper(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with one channel of one layer a tenth larger."""
    changed = onnx.ModelProto()
    changed.CopyFrom(graph)
    (weight,) = (i for i in changed.graph.initializer if i.name == "neck.project.weight")
    values = numpy_helper.to_array(weight).copy()
    values[0] *= 1.1
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    return changed
