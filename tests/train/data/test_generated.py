from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coke_edge.errors import DataError
from coke_edge.stream.images import read_image
from coke_edge.train.data import load_dataset
from coke_edge.train.data.bracket import NAMES
from coke_edge.train.data.check import check_dataset
from coke_edge.train.data.generated import write_generated
from coke_edge.train.data.sample import HIDDEN, UNLABELLED, VISIBLE
from coke_edge.train.data.scene import HEIGHT, WIDTH, render_scene


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_generated(tmp_path_factory.mktemp("generated") / "set", count=10, seed=3)


def test_it_is_a_data_set_like_any_other(annotations: Path) -> None:
    report, datasets = check_dataset(f"coco:{annotations}", ["train", "val", "test"])
    assert report.usable
    assert [one.objects for one in report.splits] == [8, 1, 1]
    assert not any(one.boxes_outside or one.points_outside or one.duplicates for one in report.splits)
    assert report.sides == []
    assert datasets[0].keypoints.names == NAMES
    assert len(datasets[0].keypoints.flip_pairs) == 3


def test_keypoints_survive_the_file(annotations: Path) -> None:
    sample = load_dataset(f"coco:{annotations}?split=all", "train").samples[4]
    scene = render_scene(np.random.default_rng([3, 5]))
    labelled = scene.visibility != UNLABELLED
    np.testing.assert_array_equal(sample.visibility, scene.visibility)
    np.testing.assert_allclose(sample.keypoints[labelled], scene.keypoints[labelled], atol=1e-3)
    np.testing.assert_allclose(sample.box, scene.box, atol=1e-3)
    assert np.abs(read_image(sample.image).astype(int) - scene.image).mean() < 6  # JPEG


def test_a_larger_set_begins_with_the_smaller(annotations: Path, tmp_path: Path) -> None:
    write_generated(tmp_path / "set", count=3, seed=3)
    for n in (1, 2, 3):
        name = f"images/{n:06d}.jpg"
        assert (tmp_path / "set" / name).read_bytes() == (annotations.parent / name).read_bytes()


def test_another_seed_draws_other_pictures(annotations: Path, tmp_path: Path) -> None:
    write_generated(tmp_path / "set", count=1, seed=4)
    name = "images/000001.jpg"
    assert (tmp_path / "set" / name).read_bytes() != (annotations.parent / name).read_bytes()


def test_the_same_set_is_left_alone_and_another_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    path = write_generated(folder, count=1, seed=0)
    before = path.stat().st_mtime_ns
    assert write_generated(folder, count=1, seed=0).stat().st_mtime_ns == before
    with pytest.raises(DataError, match="holds something else"):
        write_generated(folder, count=2, seed=0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        write_generated(tmp_path / "file" / "set", count=1)


def test_scenes_have_every_kind_of_keypoint() -> None:
    scenes = [render_scene(np.random.default_rng([0, n])) for n in range(12)]
    visibility = np.stack([scene.visibility for scene in scenes])
    assert (visibility == VISIBLE).mean() > 0.8
    assert (visibility == HIDDEN).any()
    for scene in scenes:
        assert scene.image.shape == (HEIGHT, WIDTH, 3)
        inside = scene.keypoints[scene.visibility == VISIBLE]
        assert (inside >= scene.box[:2] - 1.5).all()
        assert (inside <= scene.box[2:] + 1.5).all()
