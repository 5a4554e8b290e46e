from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coke_edge.decode import decode, soft_maximum, sub_cell
from coke_edge.geometry import box_to_crop, crop_to_cells, transform
from coke_edge.kernels.reference import NO_PEAK, Peaks, ScoreMaps, find_peaks
from coke_edge.manifest import EvidenceSpec, ModelSpec, VisibilitySpec

ROWS, COLUMNS = 8, 12  # of the map of the colour model, 64 × 96 at stride 8


def bump(column: float, row: float) -> np.ndarray:
    """A score map [H, W] whose top lies at a fractional cell; each axis is a parabola."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    return 1 - 0.01 * (x - column) ** 2 - 0.02 * (y - row) ** 2


def peaks_of(score: np.ndarray, count: int = 1) -> Peaks:
    """Peaks of score maps [K, H, W], which are their similarities too."""
    zero = np.zeros((1, ROWS, COLUMNS))
    return find_peaks(ScoreMaps(score[None], score[None], zero, zero - 0.5), count)


inside = st.tuples(st.floats(0.51, COLUMNS - 1.51), st.floats(0.51, ROWS - 1.51))  # not nearest the border
boxes = st.tuples(st.floats(-50, 500), st.floats(-50, 500), st.floats(20, 900), st.floats(20, 900))


@given(st.lists(inside, min_size=3, max_size=3), boxes, st.floats(0, 6.28))
def test_a_point_comes_back_through_any_affine(
    spec: ModelSpec, cells: list[tuple[float, float]], box: tuple[float, ...], angle: float
) -> None:
    x, y, w, h = box
    affine = box_to_crop((x, y, x + w, y + h), 96, 64)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    affine = np.concatenate([turn @ affine[:, :2], turn @ affine[:, 2:] + 5], axis=1)
    [keypoints] = decode(peaks_of(np.stack([bump(*cell) for cell in cells])), [affine], spec)
    found = crop_to_cells(transform(affine, keypoints.xy), spec.stride)
    np.testing.assert_allclose(found, cells, atol=1e-3)


def test_at_the_border_there_is_no_step_along_the_missing_axis() -> None:
    square = np.array([[-np.inf, 0.5, 0.4], [-np.inf, 1.0, 0.9], [-np.inf, 0.8, 0.5]], np.float32)
    step = sub_cell(square)
    assert step[0] == 0
    np.testing.assert_allclose(step[1], (0.8 - 0.5) / (2 * (2 - 1.3)), rtol=1e-6)


def test_flat_or_missing_neighbourhoods_have_no_step() -> None:
    for value in (0.0, 1.0, -np.inf):
        assert sub_cell(np.full((3, 3), value, np.float32)).tolist() == [0, 0]


@given(st.lists(st.floats(-1, 1, width=32), min_size=9, max_size=9))
def test_the_step_stays_in_the_cell(values: list[float]) -> None:
    step = sub_cell(np.array(values, np.float32).reshape(3, 3))
    assert (np.abs(step) <= 0.5).all()


def test_no_peak_is_nan_and_not_visible(spec: ModelSpec) -> None:
    score = np.stack([bump(3, 3), np.full((ROWS, COLUMNS), -np.inf), bump(5, 5)])
    [keypoints] = decode(peaks_of(score), [np.eye(2, 3)], spec)
    assert np.isnan(keypoints.xy[1]).all()
    assert np.isnan(keypoints.similarity[1])
    assert keypoints.visible[1] == 0
    assert keypoints.found.tolist() == [True, False, True]


def test_visibility_is_the_logistic_of_the_manifest(spec: ModelSpec) -> None:
    visibility = VisibilitySpec(2.0, -3.0, 0.5, (0.1, -0.2, 300.0))
    score = np.stack([bump(3, 3), bump(4, 4) - 0.5, bump(5, 5)])
    peaks = peaks_of(score)
    [keypoints] = decode(peaks, [np.eye(2, 3)], msgspec.structs.replace(spec, visibility=visibility))
    s, c, soft = peaks.similarity[0, :, 0], peaks.clutter[0, :, 0], peaks.soft_clutter[0, :, 0]
    expected = 1 / (1 + np.exp(-(2 * s - 3 * c + 0.5 * soft + visibility.bias)))
    np.testing.assert_allclose(keypoints.visible, expected, rtol=1e-6)


def test_the_evidence_sums_over_the_cells_around_the_best_peaks(spec: ModelSpec) -> None:
    evidence = EvidenceSpec(5.0, 2, 0.1)
    visibility = VisibilitySpec(2.0, 0.0, 0.0, (0.1, -0.2, 0.0), evidence)
    score = np.stack(
        [
            np.maximum.reduce([bump(2, 2), bump(9, 5) - 0.1, bump(9, 1) - 0.2]),  # the third is not read
            bump(0, 0),
            np.full((ROWS, COLUMNS), -np.inf),
        ]
    )
    spec = msgspec.structs.replace(spec, visibility=visibility, head=dataclasses.replace(spec.head, peaks=3))
    [keypoints] = decode(peaks_of(score, 3), [np.eye(2, 3)], spec)
    two = [score[0, 1:4, 1:4], score[0, 4:7, 8:11]]
    corner = [score[1, :2, :2]]
    for k, cells in enumerate((two, corner)):
        e = 0.1 * np.log(sum(np.exp(part.astype(np.float64) / 0.1).sum() for part in cells))
        expected = 1 / (1 + np.exp(-(2 * keypoints.similarity[k] + 5 * e + visibility.bias[k])))
        np.testing.assert_allclose(keypoints.visible[k], expected, rtol=1e-6)
    assert keypoints.visible[2] == 0


def test_the_evidence_of_one_cell_is_its_score() -> None:
    q = np.full((1, 2, 1, 3, 3), -np.inf, np.float32)
    q[0, 0, 0, 1, 1] = 0.75
    assert soft_maximum(q, 0.07).tolist() == [[0.75, -np.inf]]


def test_visibility_is_unknown_without_calibration(spec: ModelSpec) -> None:
    score = np.stack([bump(3, 3), np.full((ROWS, COLUMNS), -np.inf), bump(5, 5)])
    [keypoints] = decode(peaks_of(score), [np.eye(2, 3)], msgspec.structs.replace(spec, visibility=None))
    assert np.isnan(keypoints.visible[[0, 2]]).all()
    assert keypoints.visible[1] == 0
    assert keypoints.hidden.tolist() == [False, True, False]


def test_alternatives_start_with_the_best(spec: ModelSpec) -> None:
    score = np.stack([np.maximum(bump(2, 2), bump(9, 5) - 0.1), bump(4, 4), bump(5, 5)])
    spec = msgspec.structs.replace(spec, head=dataclasses.replace(spec.head, peaks=2))
    [keypoints] = decode(peaks_of(score, 2), [np.eye(2, 3)], spec)
    assert keypoints.alternatives is not None
    assert keypoints.alternatives.shape == (3, 2, 2)
    assert np.array_equal(keypoints.alternatives[:, 0], keypoints.xy)
    np.testing.assert_allclose(crop_to_cells(keypoints.alternatives[0, 1], 8), [9, 5], atol=1e-3)
    assert np.isnan(keypoints.alternatives[1, 1]).all()
    [single] = decode(peaks_of(score), [np.eye(2, 3)], spec)
    assert single.alternatives is None


def test_every_region_has_its_own_affine_and_box(spec: ModelSpec) -> None:
    one = peaks_of(np.stack([bump(3, 3), bump(4, 4), bump(5, 5)]))
    two = Peaks(*(np.concatenate([quantity, quantity]) for quantity in one))
    affines = [box_to_crop(box, 96, 64) for box in [(0, 0, 96, 64), (100, 50, 196, 114)]]
    first, second = decode(two, affines, spec)
    np.testing.assert_allclose(second.xy - first.xy, np.tile([100, 50], (3, 1)), atol=1e-9)
    np.testing.assert_allclose(second.box, (100, 50, 196, 114), atol=1e-9)  # what the crop shows
    given_box = decode(one, affines[:1], spec, [(1, 2, 3, 4)])[0].box
    assert given_box.tolist() == [1, 2, 3, 4]


def test_index_of_no_peak_is_never_a_place(spec: ModelSpec) -> None:
    nothing = Peaks(
        np.full((1, 3, 1), NO_PEAK, np.int32),
        *(np.full((1, 3, 1), -np.inf, np.float32) for _ in range(3)),
        np.full((1, 3, 1, 3, 3), -np.inf, np.float32),
    )
    [keypoints] = decode(nothing, [np.eye(2, 3)], spec)
    assert not keypoints.found.any()
    assert (keypoints.visible == 0).all()


@pytest.mark.parametrize("count", [1, 3])
def test_shapes(spec: ModelSpec, count: int) -> None:
    [keypoints] = decode(peaks_of(np.stack([bump(3, 3)] * 3), count), [np.eye(2, 3)], spec)
    assert keypoints.xy.shape == (3, 2)
    assert keypoints.xy.dtype == np.float64
    assert {len(v) for v in (keypoints.similarity, keypoints.clutter, keypoints.visible)} == {3}


def with_hidden_maps(spec: ModelSpec, bias: tuple[float, ...]) -> ModelSpec:
    """The specification of a model whose P(visible) weighs both maps of a keypoint alike."""
    visibility = VisibilitySpec(0.0, 0.0, 0.0, bias, EvidenceSpec(8.0, 2, 0.07, hidden=-8.0))
    return msgspec.structs.replace(spec, hidden_maps=True, visibility=visibility)


def test_a_hidden_keypoint_is_where_its_own_map_says(spec: ModelSpec) -> None:
    where, elsewhere = [(3, 2), (5, 4), (7, 5)], [(2, 6), (8, 1), (4, 3)]
    seen = np.stack([bump(*cell) for cell in where])
    hidden = np.stack(
        [bump(*cell) - offset for cell, offset in zip(elsewhere, (0.4, -0.4, 0.0), strict=True)]
    )
    peaks = peaks_of(np.concatenate([seen, hidden]), 2)
    given_spec = with_hidden_maps(spec, (0.0, 0.0, 0.0))
    [keypoints] = decode(peaks, [np.eye(2, 3)], given_spec)
    totals = soft_maximum(peaks.neighbourhood, 0.07)[0]
    np.testing.assert_allclose(
        keypoints.visible, 1 / (1 + np.exp(-8.0 * (totals[:3] - totals[3:]))), rtol=1e-12
    )
    assert keypoints.hidden.tolist()[:2] == [False, True]
    for found, expected in (
        (keypoints.xy, where),
        (keypoints.hidden_xy, elsewhere),
        (keypoints.places[:2], [where[0], elsewhere[1]]),
    ):
        np.testing.assert_allclose(crop_to_cells(found, spec.stride), expected, atol=1e-4)
    assert (keypoints.to_dict()["keypoints"][1]["hidden_x"], keypoints.to_dict()["keypoints"][1]["x"]) == (
        keypoints.hidden_xy[1, 0],
        keypoints.xy[1, 0],
    )
    assert keypoints.to_coco()["keypoints"][3:5] == keypoints.hidden_xy[1].tolist()
    np.testing.assert_array_equal(keypoints.similarity, peaks.similarity[0, :3, 0])
    assert keypoints.alternatives is not None
    np.testing.assert_allclose(crop_to_cells(keypoints.alternatives[:, 0], spec.stride), where, atol=1e-4)


def test_without_calibration_no_keypoint_is_hidden_and_each_is_where_it_is_seen(spec: ModelSpec) -> None:
    score = np.stack([bump(column, 3) for column in (2, 4, 6, 7, 8, 9)])
    bare = msgspec.structs.replace(spec, hidden_maps=True, visibility=None)
    [keypoints] = decode(peaks_of(score), [np.eye(2, 3)], bare)
    assert np.isnan(keypoints.visible).all()
    np.testing.assert_allclose(crop_to_cells(keypoints.xy, spec.stride)[:, 0], [2, 4, 6], atol=1e-4)
    np.testing.assert_array_equal(keypoints.places, keypoints.xy)


def test_no_peak_in_either_map_is_nan_and_not_visible(spec: ModelSpec) -> None:
    nothing = np.full((ROWS, COLUMNS), -np.inf)
    score = np.stack([bump(3, 3), nothing, bump(5, 5), bump(4, 3), nothing, bump(6, 5)])
    [keypoints] = decode(peaks_of(score), [np.eye(2, 3)], with_hidden_maps(spec, (9.0, 9.0, 9.0)))
    assert keypoints.found.tolist() == [True, False, True]
    assert keypoints.visible[1] == 0
    assert np.isnan(keypoints.xy[1]).all()
