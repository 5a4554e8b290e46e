from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from coke_edge.bundle import Bundle
from coke_edge.detector import Detector
from coke_edge.geometry import Affine
from coke_edge.kernels.reference import Peaks, match
from coke_edge.manifest import ModelSpec
from coke_edge.preprocess import FrameError, crop

BLOBS = {0: (45.0, 60.0), 1: (150.0, 70.0), 2: (100.0, 120.0)}


@pytest.fixture(scope="module")
def detector(bundle_path: Path) -> Detector:
    return Detector(bundle_path, threads=1)


def test_finds_the_blobs(detector: Detector, paint) -> None:
    frame = paint(200, 160, BLOBS)
    keypoints = detector(frame)
    np.testing.assert_allclose(
        keypoints.xy, [BLOBS[k] for k in range(3)], atol=2.5
    )  # 2.5 frame px: 1 crop px
    assert keypoints.names == ("blue", "green", "red")
    assert (keypoints.visible > 0.5).all()
    assert keypoints.box.tolist() == [-0.5, -0.5, 199.5, 159.5]


def test_a_box_narrows_the_search(detector: Detector, paint) -> None:
    near, far = (60.0, 60.0), (500.0, 300.0)
    frame = np.minimum(paint(600, 400, {0: near}, 12.0), 255)
    frame[250:350, 450:550] = paint(600, 400, {0: far}, 20.0)[250:350, 450:550]
    for target in (near, far):
        box = (target[0] - 50, target[1] - 35, target[0] + 50, target[1] + 35)
        keypoints = detector(frame, box)
        np.testing.assert_allclose(keypoints.xy[0], target, atol=1.5)
        assert keypoints.box.tolist() == list(box)


def test_a_batch_is_its_boxes_one_by_one(detector: Detector, paint) -> None:
    frame = paint(200, 160, BLOBS)
    boxes = [None, (10, 20, 180, 150), (0, 0, 100, 100)]
    for together, box in zip(detector.batch(frame, boxes), boxes, strict=True):
        alone = detector(frame, box)
        np.testing.assert_allclose(together.xy, alone.xy, atol=1e-4)
        np.testing.assert_allclose(together.similarity, alone.similarity, atol=1e-6)
    assert detector.batch(frame, []) == []


def test_its_parts_are_timed_on_the_same_work(detector: Detector, paint) -> None:
    frame, boxes = paint(200, 160, BLOBS), [None, (10, 20, 180, 150)]
    start = time.perf_counter()
    objects, parts = detector.stages(frame, boxes)
    whole = 1e3 * (time.perf_counter() - start)
    for timed, plain in zip(objects, detector.batch(frame, boxes), strict=True):
        assert timed.to_dict() == plain.to_dict()
    assert set(parts) == {"warp", "network", "decode"}
    assert all(value > 0 for value in parts.values())
    assert sum(parts.values()) <= whole


def test_a_backend_of_ones_own(bundle_path: Path, spec: ModelSpec, detector: Detector, paint) -> None:
    banks = Bundle(bundle_path).banks()

    class Reference:
        name = "reference"

        def __call__(self, frame: np.ndarray, crops: Sequence[Affine]) -> Peaks:
            images = np.stack([crop(frame, affine, spec.input) for affine in crops]).astype(np.float32)
            pooled = images.reshape(len(images), 8, 8, 12, 8, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2)
            return match(pooled, banks["prototypes"], banks["clutter"], spec.head)

    other = Detector.from_backend(spec, Reference())
    frame = paint(200, 160, BLOBS)
    ours, theirs = detector(frame), other(frame)
    np.testing.assert_allclose(ours.xy, theirs.xy, atol=1e-3)
    for name in ("similarity", "clutter", "soft_clutter", "visible"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-5)


def test_a_box_gets_the_models_margin_and_a_whole_frame_none(spec: ModelSpec, detector: Detector) -> None:
    seen: list[Affine] = []

    class Recording:
        name = "recording"

        def __call__(self, frame: np.ndarray, crops: Sequence[Affine]) -> Peaks:
            seen.extend(crops)
            return detector.backend(frame, crops)

    frame = np.zeros((64, 96, 3), np.uint8)
    Detector.from_backend(spec, Recording()).batch(frame, [None, (-0.5, -0.5, 95.5, 63.5)])
    assert [affine[0, 0] for affine in seen] == pytest.approx([1.0, 1 / spec.input.box_margin])
    _, parts = Detector.from_backend(spec, Recording()).stages(frame, [None])
    assert set(parts) == {"warp", "network", "decode"}  # what it does not tell apart is one


def test_bad_frames_and_boxes(detector: Detector) -> None:
    frame = np.zeros((10, 10, 3), np.uint8)
    with pytest.raises(FrameError, match="uint8"):
        detector(frame.astype(np.float32))
    for box in [(5, 5, 5, 9), (0, 0, 1), "box", (0, 0, np.nan, 1), (50, 50, 60, 60), (-9, 0, -1, 9)]:
        with pytest.raises(FrameError, match="box"):
            detector(frame, box)


def test_an_open_bundle_and_its_path_are_the_same(bundle_path: Path, detector: Detector, paint) -> None:
    frame = paint(200, 160, BLOBS)
    assert np.array_equal(Detector(Bundle(bundle_path))(frame).xy, detector(frame).xy)
