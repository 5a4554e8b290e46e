from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coke_edge.geometry import box_to_crop, cells_to_crop, crop_to_cells, frame_box, invert, transform

sizes = st.integers(8, 2000)
coordinates = st.floats(-1000, 3000)
boxes = st.tuples(coordinates, coordinates, st.floats(1, 2000), st.floats(1, 2000)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(boxes, sizes, sizes, st.floats(0.5, 3))
def test_the_crop_holds_the_box_centred_and_as_large_as_it_can(
    box: tuple[float, ...], width: int, height: int, margin: float
) -> None:
    affine = box_to_crop(box, width, height, margin)
    x0, y0, x1, y1 = box
    corners = transform(affine, [(x0, y0), (x1, y1)])
    np.testing.assert_allclose(corners.mean(axis=0), [(width - 1) / 2, (height - 1) / 2], atol=1e-6)
    share = (corners[1] - corners[0]) * margin / (width, height)
    np.testing.assert_allclose(share.max(), 1, rtol=1e-9)
    np.testing.assert_allclose(affine[0, 0], affine[1, 1])


@given(sizes, sizes)
def test_a_whole_frame_of_the_crops_size_stays_as_it_is(width: int, height: int) -> None:
    affine = box_to_crop(frame_box(width, height), width, height)
    np.testing.assert_allclose(affine, [[1, 0, 0], [0, 1, 0]], atol=1e-9)


@given(boxes, sizes, sizes, st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=5))
def test_invert_undoes(
    box: tuple[float, ...], width: int, height: int, points: list[tuple[float, float]]
) -> None:
    affine = box_to_crop(box, width, height)
    np.testing.assert_allclose(transform(invert(affine), transform(affine, points)), points, atol=1e-6)


@given(st.lists(st.floats(-100, 100), min_size=6, max_size=6))
def test_invert_undoes_turns_and_shears(values: list[float]) -> None:
    affine = np.reshape(values, (2, 3))
    assume(abs(np.linalg.det(affine[:, :2])) > 1)
    points = [(0.0, 0.0), (3.0, -1.0), (-2.0, 5.0)]
    np.testing.assert_allclose(transform(invert(affine), transform(affine, points)), points, atol=1e-6)


def test_what_puts_all_on_a_line_has_no_inverse() -> None:
    with pytest.raises(ValueError, match="no inverse"):
        invert([[1.0, 2.0, 0.0], [2.0, 4.0, 5.0]])


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (5, 0, 1, 5), (0, 0, np.nan, 5), (0, 0, np.inf, 5)])
def test_empty_boxes(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="x0 < x1"):
        box_to_crop(box, 64, 64)


@given(st.floats(0, 200), st.floats(0, 200), st.sampled_from([4, 8, 16, 32]))
def test_cells_and_back(column: float, row: float, stride: int) -> None:
    np.testing.assert_allclose(
        crop_to_cells(cells_to_crop(column, row, stride), stride), [column, row], atol=1e-9
    )


def test_the_centre_of_the_first_cell() -> None:
    pixels = np.arange(8)  # of the first cell, centres at integers
    assert cells_to_crop(0, 0, 8).tolist() == [pixels.mean(), pixels.mean()]
