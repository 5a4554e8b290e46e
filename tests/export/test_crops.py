"""What the export is checked on is what the detector sees."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from coke_edge.errors import DataError
from coke_edge.export.crops import dataset_crops, folder_crops, spread
from coke_edge.geometry import box_to_crop, transform
from coke_edge.manifest import InputSpec, Keypoints2D
from coke_edge.preprocess import crop
from coke_edge.stream.images import read_image
from coke_edge.train.data.sample import HIDDEN, VISIBLE, KeypointDataset, Sample

SIZE = InputSpec(96, 64, 1.5, (1, 2, 3), (0.5,) * 3, (0.5,) * 3)


def test_a_folder_is_spread_over_and_other_files_are_left_out(pictures: Path) -> None:
    crops = list(folder_crops(pictures, SIZE, 3))
    assert [c.name for c in crops] == ["0.png", "4.png", "9.png"]
    assert all(c.label is None for c in crops)
    assert all(c.image.shape == (64, 96, 3) and c.image.dtype == np.uint8 for c in crops)
    # 120×80 into 96×64: the same aspect, so the whole frame fills the crop and no border shows.
    frame = cv2.resize(read_image(pictures / "4.png"), (96, 64), interpolation=cv2.INTER_LINEAR)
    assert np.abs(crops[1].image.astype(int) - frame)[2:-2, 2:-2].mean() < 3


def test_a_data_set_is_cut_at_its_boxes_with_the_margin(pictures: Path) -> None:
    box = np.array([20, 10, 70, 50], np.float32)
    keypoints, flags = np.zeros((1, 2), np.float32), np.full(1, VISIBLE, np.uint8)
    samples = [Sample(pictures / f"{n}.png", keypoints, flags, box, str(n)) for n in range(5)]
    dataset = KeypointDataset("test", "val", Keypoints2D(("a",)), samples, "box", marks_hidden=False)
    crops = list(dataset_crops(dataset, SIZE, 2))
    assert [c.name for c in crops] == ["0.png", "4.png"]
    label = crops[0].label
    assert label is not None
    np.testing.assert_allclose(label.keypoints, transform(box_to_crop(box, 96, 64, 1.5), keypoints))
    assert label.counted.tolist() == [True]
    assert label.threshold == 0.1
    assert label.length == pytest.approx(
        50 * 64 / 40 / 1.5
    )  # the box's longer side, scaled to fit its height
    expected = crop(read_image(pictures / "4.png"), box_to_crop(box, 96, 64, 1.5), SIZE)
    np.testing.assert_array_equal(crops[1].image, expected)


def test_folders_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no image"):
        list(folder_crops(tmp_path, SIZE, 3))
    with pytest.raises(DataError, match="there is no folder"):
        list(folder_crops(tmp_path / "absent", SIZE, 3))


def test_spread() -> None:
    assert spread([1, 2, 3], 5) == [1, 2, 3]
    assert spread(list(range(101)), 3) == [0, 50, 100]
    assert spread(list(range(7)), 1) == [0]


def test_labels_are_placed_among_the_keypoints_of_a_joint_model(pictures: Path) -> None:
    box = np.array([20, 10, 70, 50], np.float32)
    points, flags = np.array([[30, 20], [40, 30]], np.float32), np.full(2, VISIBLE, np.uint8)
    sample = Sample(pictures / "0.png", points, flags, box, "0", {"category": "pot"})
    dataset = KeypointDataset("test", "val", Keypoints2D(("lid", "ear")), [sample], "box", marks_hidden=False)
    joint = Keypoints2D(("pot/ear", "cup/rim", "pot/lid"))
    (plain,), (placed,) = (list(dataset_crops(dataset, SIZE, 1, layout)) for layout in (None, joint))
    assert plain.label is not None
    assert placed.label is not None
    np.testing.assert_array_equal(placed.label.keypoints[[2, 0]], plain.label.keypoints)
    assert np.isnan(placed.label.keypoints[1]).all()
    assert placed.label.counted.tolist() == [True, False, True]
    with pytest.raises(DataError, match="the model finds 1 keypoints"):
        list(dataset_crops(dataset, SIZE, 1, Keypoints2D(("nose",))))


def test_pck_counts_what_the_data_set_counts(pictures: Path) -> None:
    points, flags = np.array([[30, 20], [40, 30], [50, 30]], np.float32), np.array([VISIBLE, HIDDEN, VISIBLE])
    sample = Sample(
        pictures / "0.png", points, flags.astype(np.uint8), np.array([20, 10, 70, 50], np.float32), "0"
    )
    names = Keypoints2D(("knee", "ankle", "pelvis"))
    for counts_hidden in (False, True):
        dataset = KeypointDataset("test", "val", names, [sample], "box", True, ("pelvis",), counts_hidden)
        label = next(dataset_crops(dataset, SIZE, 1)).label
        assert label is not None
        assert label.counted.tolist() == [True, counts_hidden, False]
