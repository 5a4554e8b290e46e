"""The warp kernel in the interpreter, and wrong crops that have to be noticed."""

from __future__ import annotations

import numpy as np
import pytest

from coke_edge.benchmarks.gpu_check import crops
from coke_edge.benchmarks.gpu_check.rows import FAILED, PASSED, Options, Row

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, on NaN, in the interpreter

SMALL = Options(device="interpreter")


def failed(rows: list[Row]) -> list[Row]:
    return [found for found in rows if found["status"] == FAILED]


def test_crops_pass_in_the_interpreter() -> None:
    found = list(crops.rows(SMALL))
    assert failed(found) == []
    assert len(found) == 4


def test_a_wrong_crop_is_noticed() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    affines = crops.crop_to_frame((20, 30), (8, 9))
    right = crops.definition(frame, affines, (8, 9))
    assert crops.judged("right", right, frame, affines, (8, 9), "fp32")["status"] == PASSED
    for wrong in (
        right[:, ::-1],
        right + 1.5,
        np.where(right == right.max(), np.nan, right),
        np.roll(right, 1, 3),
    ):
        assert crops.judged("wrong", wrong, frame, affines, (8, 9), "fp32")["status"] == FAILED


def test_the_definition_of_crops_is_opencv_s() -> None:
    cv2 = pytest.importorskip("cv2")
    frame = np.random.default_rng(0).integers(0, 256, (61, 83, 3), np.uint8)
    affines = crops.crop_to_frame((61, 83), (33, 51))
    found = crops.definition(frame, affines, (33, 51))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for levels, affine in zip(found[:-1], affines, strict=False):
        expected = cv2.warpAffine(
            frame,
            affine.astype(float),
            (51, 33),
            flags=flags,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=crops.BORDER,
        )
        apart = np.abs(levels - expected[..., ::-1].transpose(2, 0, 1))
        # OpenCV 4 moves positions to the next 1/32 pixel, OpenCV 5 does not.
        assert apart.max() <= (1 if int(cv2.__version__.split(".")[0]) >= 5 else 12)
