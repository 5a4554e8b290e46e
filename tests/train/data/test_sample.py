from __future__ import annotations

import numpy as np

from coke_edge.train.data.sample import bounding_box


def test_the_box_covers_the_pixels_of_labelled_keypoints() -> None:
    points = np.array([[3, 8], [np.nan, np.nan], [10, 2]], np.float32)
    np.testing.assert_array_equal(bounding_box(points), [2.5, 1.5, 10.5, 8.5])


def test_the_box_of_one_keypoint_is_its_pixel() -> None:
    np.testing.assert_array_equal(bounding_box(np.array([[3, 8]], np.float32)), [2.5, 7.5, 3.5, 8.5])
