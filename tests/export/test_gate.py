"""The gate lets an equal graph through and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from coke_edge.errors import DataError, ExportError
from coke_edge.export.banks import Banks
from coke_edge.export.crops import Crop, Label
from coke_edge.export.expected import Expected, decoded, torch_results
from coke_edge.export.gate import compare, onnx_runtime, require
from coke_edge.export.graph import build_graph, serialise
from coke_edge.export.verdict import LIMITS, Hidden, Limits, Pck
from coke_edge.kernels import reference
from coke_edge.kernels.reference import Peaks, ScoreMaps
from coke_edge.kernels.spec import HeadSpec
from coke_edge.manifest import EvidenceSpec, InputSpec, Keypoints2D, ModelSpec, VisibilitySpec
from coke_edge.train.checkpoint import Checkpoint

SPEC = ModelSpec(
    Keypoints2D(("a", "b", "c")),
    InputSpec(96, 64, 1.2, (0, 0, 0), (0.5,) * 3, (0.5,) * 3),
    8,
    HeadSpec("similarity", 0.07, 0.005),
)


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


def labelled(expected: Expected, offset: float, threshold: float = 0.2) -> Expected:
    """The same crops with annotations `offset` px to the right of what torch finds, in objects of 50 px."""
    places = decoded(expected.peaks, SPEC).xy + np.array([offset, 0])
    return expected._replace(labels=[Label(xy, np.ones(3, bool), 50.0, threshold) for xy in places])


def test_pck_is_that_of_the_annotations(score: Any) -> None:
    expected = labelled(expected_of(score), offset=7.0)
    actual = copy(expected.peaks)
    row, column = np.divmod(actual.index, 12)
    inside = column < 10
    actual.index[inside] += 2  # 16 px to the right: 9 px from the annotation, still right
    actual.index[0, 0] = (row[0, 0] + 4) % 8 * 12 + column[0, 0]  # 32 px up or down: wrong
    verdict = verdict_of(expected, actual, SPEC)
    assert verdict.pck is not None
    assert (verdict.pck.truth, verdict.pck.keypoints, verdict.pck.torch) == ("annotations", 12, 100.0)
    assert (verdict.pck.lost, verdict.pck.gained) == (1, 0)
    assert verdict.pck.graph == pytest.approx(100 * 11 / 12, abs=1e-3)
    assert verdict.moved > 0.5


def test_uncounted_keypoints_do_not_count(score: Any) -> None:
    expected = expected_of(score)
    hidden = [Label(np.full((3, 2), np.nan), np.zeros(3, bool), np.nan, 0.2)] * 4
    assert verdict_of(expected._replace(labels=hidden), copy(expected.peaks), SPEC).pck is None


def test_without_annotations_torch_is_the_truth(checkpoint: Checkpoint, score: Any) -> None:
    expected = expected_of(score)._replace(images=np.zeros((4, 64, 96, 3), np.uint8))
    actual = copy(expected.peaks)
    actual.index[:2] = (actual.index[:2] + 48) % 96  # four rows: 32 px, where 4.8 px are allowed
    pck = verdict_of(expected, actual, checkpoint.spec).pck
    assert pck is not None
    assert (pck.truth, pck.torch, pck.graph, pck.lost) == ("torch", 100.0, 50.0, 6)


def test_a_fall_of_pck_beyond_chance_fails(checkpoint: Checkpoint, score: Any) -> None:
    expected = expected_of(score)
    base = verdict_of(expected, copy(expected.peaks), checkpoint.spec)
    limits = LIMITS["int8"]

    def failures(lost: int, gained: int) -> list[str]:
        pck = Pck("annotations", 1000, 80.0, 80.0 - (lost - gained) / 10, lost, gained)
        return msgspec.structs.replace(base, pck=pck, limits=limits).failures()

    assert not failures(12, 0)  # 1.2 points; 1.0 are allowed, and chance makes 0.35
    assert not failures(60, 45)  # as many points and more that came and went
    assert failures(40, 0) == ["PCK falls from 80.00 to 76.00 (limit 1 points and 0.63 for chance)"]


def test_visibility_is_held_against_torch(checkpoint: Checkpoint, score: Any) -> None:
    calibrated = msgspec.structs.replace(
        checkpoint.spec, visibility=VisibilitySpec(4.0, 0.0, 0.0, (0.0,) * 3)
    )
    expected = expected_of(score)
    actual = copy(expected.peaks)
    actual.similarity[:] -= 0.5
    verdict = compare([expected], lambda images: actual, calibrated, LIMITS["int8"])
    assert verdict.visibility is not None
    assert 0.05 < verdict.visibility.mean <= verdict.visibility.max < 1
    assert "P(visible) changes by" in verdict.failures()[0]
    assert verdict_of(expected, actual, checkpoint.spec).visibility is None


def test_hidden_places_are_held_against_torch_where_annotations_say_nothing(score: Any) -> None:
    """All keypoints judged hidden, all annotated: PCK is that of the first maps alone."""
    never = VisibilitySpec(0.0, 0.0, 0.0, (-1e3,) * 3, EvidenceSpec(8.0, 1, 0.07, hidden=-8.0))
    spec = msgspec.structs.replace(SPEC, visibility=never, hidden_maps=True)
    expected = expected_of(np.concatenate([score, score[:, ::-1]], axis=1))
    places = decoded(expected.peaks, spec).xy[:, :3]
    expected = expected._replace(labels=[Label(xy, np.ones(3, bool), 50.0, 0.2) for xy in places])
    good = compare([expected], lambda images: copy(expected.peaks), spec, LIMITS["int8"])
    assert good.passed
    assert good.hidden == Hidden(12, 0.0)
    moved = copy(expected.peaks)
    moved.index[:, 3:] = (moved.index[:, 3:] + 48) % 96  # 32 px
    bad = compare([expected], lambda images: moved, spec, LIMITS["int8"])
    assert bad.pck is not None
    assert bad.pck.drop == 0
    assert "the median distance of 12 hidden keypoints is 32 px (limit 2 px)" in bad.failures()
    few = compare([cut(expected, 3)], lambda images: Peaks(*(v[:3] for v in moved)), spec, LIMITS["int8"])
    assert few.hidden == Hidden(9, 32.0)
    assert not any("hidden keypoints" in sentence for sentence in few.failures())
    assert verdict_of(expected_of(score), expected_of(score).peaks, SPEC).hidden is None


def cut(expected: Expected, count: int) -> Expected:
    """The first crops."""
    return Expected(
        expected.names[:count],
        expected.images[:count],
        Peaks(*(values[:count] for values in expected.peaks)),
        expected.score[:count],
        expected.labels[:count],
    )


def test_the_worst_images_are_named(checkpoint: Checkpoint, score: Any) -> None:
    expected = expected_of(score)
    actual = copy(expected.peaks)
    actual.index[3, 1] = (actual.index[3, 1] + 48) % 96
    actual.similarity[1, 2] = np.nan
    verdict = verdict_of(expected, actual, checkpoint.spec)
    assert [worst.image for worst in verdict.worst_images][:2] == ["1.jpg", "3.jpg"]
    assert verdict.to_manifest()["worst_images"][1]["keypoint"] == "left ear"
    assert verdict.to_manifest()["pck"]["drop"] == pytest.approx(100 * 2 / 12, abs=0.01)


@pytest.mark.parametrize(
    ("precision", "change", "words"),
    [
        ("fp16", {"pixels": {"median": 0.2, "p99": 0.5, "max": 2.0}}, "the median distance is 0.2 px"),
        ("fp16", {"pixels": {"median": 0.0, "p99": 1.5, "max": 2.0}}, "the p99 distance is 1.5 px"),
        ("int8", {"pixels": {"median": 1.5, "p99": 90.0, "max": 99.0}}, "the median distance is 1.5 px"),
        ("int8", {"missing": 1}, "1 peaks missing or not finite"),
    ],
)
def test_limits_of_lower_precision(
    checkpoint: Checkpoint, score: Any, precision: Any, change: dict[str, Any], words: str
) -> None:
    expected = expected_of(score)
    base = verdict_of(expected, copy(expected.peaks), checkpoint.spec)
    good = msgspec.structs.replace(base, limits=LIMITS[precision])
    assert good.passed
    assert words in msgspec.structs.replace(good, **change).failures()[0]


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
