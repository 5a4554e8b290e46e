from __future__ import annotations

import cv2
import numpy as np
import pytest

from coke_edge.errors import CokeError
from coke_edge.geometry import box_to_crop, cells_to_crop, frame_box, invert, transform
from coke_edge.manifest import InputSpec
from coke_edge.preprocess import FrameError, check_frame, crop

SPEC = InputSpec(48, 32, 1.0, (10, 20, 30), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_a_frame_of_the_crops_size_comes_through_unchanged() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    assert np.array_equal(crop(frame, box_to_crop(frame_box(48, 32), 48, 32), SPEC), frame)


def test_outside_the_frame_is_the_border_colour() -> None:
    frame = np.full((32, 32, 3), 200, np.uint8)
    out = crop(frame, box_to_crop(frame_box(32, 32), 48, 32), SPEC)
    assert out.shape == (32, 48, 3)
    assert (out[:, :7] == SPEC.border).all()
    assert (out[:, -7:] == SPEC.border).all()
    assert (out[:, 9:39] == 200).all()


def test_a_point_lands_where_the_affine_says() -> None:
    y, x = np.mgrid[:200, :300]
    frame = np.repeat((255 * np.exp(-((x - 120) ** 2 + (y - 70) ** 2) / 200))[..., None], 3, axis=2).astype(
        np.uint8
    )
    affine = box_to_crop((80, 40, 170, 100), 48, 32)
    out = crop(frame, affine, SPEC)[..., 0].astype(np.float64)
    y, x = np.mgrid[:32, :48]
    out *= out > 60
    centre = [(out * x).sum() / out.sum(), (out * y).sum() / out.sum()]
    np.testing.assert_allclose(centre, transform(affine, [120, 70]), atol=0.1)


def test_a_cell_maps_back_to_the_pixels_it_was_pooled_from() -> None:
    frame = np.zeros((32, 48, 3), np.uint8)
    frame[8:16, 24:32] = 255
    affine = box_to_crop(frame_box(48, 32), 48, 32)
    cells = cv2.resize(crop(frame, affine, SPEC), (6, 4), interpolation=cv2.INTER_AREA)[..., 0]
    row, column = np.unravel_index(cells.argmax(), cells.shape)
    assert transform(invert(affine), cells_to_crop(column, row, 8)).tolist() == [27.5, 11.5]


def test_views_of_any_stride_are_taken() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    affine = box_to_crop(frame_box(48, 32), 48, 32)
    assert np.array_equal(crop(frame[:, ::-1, ::-1], affine, SPEC), frame[:, ::-1, ::-1])


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (None, "numpy array"),
        ([[1, 2, 3]], "numpy array"),
        (np.zeros((4, 4, 3)), "uint8"),
        (np.zeros((4, 4), np.uint8), "shape"),
        (np.zeros((4, 4, 4), np.uint8), "shape"),
        (np.zeros((3, 4, 4), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "empty"),
    ],
)
def test_bad_frames(frame: object, sentence: str) -> None:
    with pytest.raises(FrameError, match=sentence) as caught:
        check_frame(frame)
    assert isinstance(caught.value, CokeError)
    assert isinstance(caught.value, ValueError)
