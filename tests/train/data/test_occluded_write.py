"""Occluded images on disk: the layout, the same pixels and labels as on the fly, all or nothing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coke_edge.errors import DataError
from coke_edge.stream.images import read_image
from coke_edge.train.data import load_dataset
from coke_edge.train.data import occluded_write as module
from coke_edge.train.data.check import check_dataset
from coke_edge.train.data.occluded_write import write_occluded
from coke_edge.train.data.sample import COVERED, HIDDEN, KeypointDataset, NoSuchSplit
from coke_edge.train.occluders import Occluders
from coke_edge.train.occlusion_levels import covered_sample, occlude_sample

Make = Callable[..., Any]


@pytest.fixture
def occluders(tmp_path: Path, make_image: Make) -> Occluders:
    for n in range(3):
        make_image(tmp_path / "photos" / f"{n}.png", 60, 50, seed=50 + n)
    return Occluders(str(tmp_path / "photos"))


@pytest.fixture
def lsp(make_lsp: Make) -> KeypointDataset:
    joints = np.random.default_rng(0).uniform(3, 26, (3, 14, 6))
    joints[2] = np.random.default_rng(1).random((14, 6)) < 0.2
    return load_dataset(f"lsp:{make_lsp(joints, 6)}", "test")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def on_the_fly(dataset: KeypointDataset, level: str, occluders: Occluders, seed: int = 0) -> list[Any]:
    found = []
    for sample in dataset.samples:
        occluded = occlude_sample(read_image(sample.image), sample, level, occluders, seed)
        found.append((occluded, covered_sample(sample, occluded.mask)))
    return found


def test_what_is_read_back_is_what_is_made_on_the_fly(
    lsp: KeypointDataset, occluders: Occluders, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    summaries = write_occluded(lsp, out, ["L1", "L3"], occluders, 4)
    assert [(one.level, one.objects, one.unmet) for one in summaries] == [("L1", 3, 0), ("L3", 3, 0)]
    for level in ("L1", "L3"):
        again = load_dataset(f"occluded:{out}?level={level}", "test")
        for field in ("keypoints", "normaliser", "marks_hidden", "unscored", "counts_hidden"):
            assert getattr(again, field) == getattr(lsp, field)
        made = on_the_fly(lsp, level, occluders, 4)
        for sample, (occluded, shown) in zip(again.samples, made, strict=True):
            np.testing.assert_array_equal(read_image(sample.image), occluded.image)
            for name in ("keypoints", "visibility", "box"):
                np.testing.assert_array_equal(getattr(sample, name), getattr(shown, name))
            np.testing.assert_array_equal(sample.meta[COVERED], shown.meta[COVERED])
            assert sample.key == shown.key
            with np.load(out / f"annotations/lspFG{level}_BG{level}/{sample.key}.npz") as arrays:
                np.testing.assert_array_equal(arrays["occluder_mask"], occluded.mask)
                assert str(arrays["source"]) == f"images/{sample.key}.jpg"
                assert arrays["occluder_box"].shape == (len(occluded.windows), 6)
                y0, y1, x0, x1, height, width = arrays["box"]
                assert (arrays["mask"][y0:y1, x0:x1] == 255).all()
                assert (height, width) == occluded.mask.shape
    assert (out / "lists/lspFGL1_BGL1.txt").read_text() == "im0004.png\nim0005.png\nim0006.png\n"


def test_bytes_are_the_same_again_and_others_with_another_seed(
    lsp: KeypointDataset, occluders: Occluders, tmp_path: Path
) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_occluded(lsp, tmp_path / name, ["L2"], occluders, seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    changed = {k for k, v in contents(tmp_path / "c").items() if v != contents(tmp_path / "a")[k]}
    assert {"images/lspFGL2_BGL2/im0004.png", "L2.json", "occluded.json"} <= changed
    assert not any(str(tmp_path).encode() in data for data in contents(tmp_path / "a").values())


def test_a_folder_that_holds_this_is_left_alone_and_one_with_something_else_refused(
    lsp: KeypointDataset, occluders: Occluders, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = write_occluded(lsp, out, ["L1"], occluders)
    stamp = (out / "L1.json").stat().st_mtime_ns
    assert write_occluded(lsp, out, ["L1"], occluders) == first
    assert (out / "L1.json").stat().st_mtime_ns == stamp
    fewer = dataclasses.replace(lsp, samples=lsp.samples[1:])
    for dataset, levels, seed in ((lsp, ["L2"], 0), (lsp, ["L1"], 1), (fewer, ["L1"], 0)):
        with pytest.raises(DataError, match="holds something else"):
            write_occluded(dataset, out, levels, occluders, seed)
    first_sample = dataclasses.replace(lsp.samples[0], meta={"head_size": 3.0})
    for change in (
        {"samples": [first_sample, *lsp.samples[1:]]},
        {"normaliser": "box"},
        {"unscored": ("neck",)},
        {"counts_hidden": not lsp.counts_hidden},
        {"left_out": {"marked truncated": 1}},
    ):
        with pytest.raises(DataError, match="holds something else"):
            write_occluded(dataclasses.replace(lsp, **change), out, ["L1"], occluders)
    (out / "occluded.json").write_text("{}")
    with pytest.raises(DataError, match="holds something else"):
        write_occluded(lsp, out, ["L1"], occluders)


def test_what_breaks_off_leaves_nothing(
    lsp: KeypointDataset, occluders: Occluders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lsp.samples[2].image.write_bytes(b"broken")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DataError, match=r"im0006\.jpg is truncated"):
        write_occluded(lsp, tmp_path / "out", ["L1"], occluders)
    assert sorted(tmp_path.iterdir()) == before
    monkeypatch.setattr(module, "_write_level", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(DataError, match=r"cannot write .*out: disk full"):
        write_occluded(lsp, tmp_path / "out", ["L1"], occluders)


def test_pascal3d_is_read_by_its_own_loader_too(
    tmp_path: Path, make_image: Make, write_record: Make, thing: Make, occluders: Occluders
) -> None:
    """One image with two cars, a chair between them, and one with one car."""
    root = tmp_path / "pascal3d"
    near = {"left_front_wheel": (11, 21, 1), "left_back_wheel": (31, 21, 1)}
    far = {"left_front_wheel": (20, 9, 1), "left_back_wheel": (26, 9, 2)}
    cars = [thing("car", near), thing("chair", {"seat_upper_left": (9, 9, 1)}), thing("car", far)]
    cars[2]["bbox"] = np.array([[15.0, 3.0, 34.0, 14.0]])
    for name, objects in (("n1_2", cars), ("n2", cars[:1])):
        write_record(root / f"Annotations/car_imagenet/{name}.mat", *objects)
        image = make_image(root / f"Images/car_imagenet/{name}.png", seed=len(name))
        image.rename(image.with_suffix(".JPEG"))
    (root / "Image_sets").mkdir()
    (root / "Image_sets/car_imagenet_val.txt").write_text("n1_2\nn2\n")
    spec = f"pascal3d:{root}?category=car"
    out = tmp_path / "out"
    write_occluded(load_dataset(spec, "test"), out, ["L2"], occluders)
    assert (out / "lists/carFGL2_BGL2.txt").read_text() == "n1_2.0.png\nn1_2.2.png\nn2.png\n"
    ours = load_dataset(f"occluded:{out}?level=L2", "test")
    theirs = load_dataset(f"occluded-pascal3d:{out}?pascal3d={root}&category=car&level=L2", "test")
    assert theirs.left_out == {}
    assert len(ours.samples) == 3
    for one, other in zip(ours.samples, theirs.samples, strict=True):
        assert one.image == other.image
        np.testing.assert_array_equal(one.keypoints, other.keypoints)
        np.testing.assert_array_equal(one.visibility, other.visibility)
        np.testing.assert_array_equal(one.box, other.box)
        assert one.meta["category"] == "car"
    assert any((sample.visibility == HIDDEN).any() for sample in ours.samples)
    (root / "Image_sets/bus_imagenet_val.txt").write_text(
        ""
    )  # no bus, yet the joint model knows its keypoints
    both = load_dataset(spec.replace("car", "car,bus"), "test")
    write_occluded(both, tmp_path / "both", ["L1"], occluders)
    joint = f"occluded-pascal3d:{tmp_path}/both?pascal3d={root}&category=car,bus&level=L1"
    assert len(load_dataset(joint, "test").samples) == 3


@pytest.fixture
def two_cars(tmp_path: Path, make_image: Make, write_record: Make, thing: Make) -> str:
    """One image with a car from the seen half and one from the unseen half, as a test list of PASCAL3D+."""
    root = tmp_path / "pascal3d"
    wheels = {"left_front_wheel": (11, 21, 1), "left_back_wheel": (31, 21, 1)}
    cars = [thing("car", wheels, view={"azimuth": azimuth}) for azimuth in (10.0, 100.0)]
    write_record(root / "Annotations/car_imagenet/n1.mat", *cars)
    image = make_image(root / "Images/car_imagenet/n1.png")
    image.rename(image.with_suffix(".JPEG"))
    (root / "Image_sets").mkdir()
    (root / "Image_sets/car_imagenet_val.txt").write_text("n1\n")
    return f"pascal3d:{root}?category=car"


def test_of_a_filtered_set_the_covered_objects_alone_are_read(
    two_cars: str, occluders: Occluders, tmp_path: Path
) -> None:
    for n, half in enumerate(("seen", "unseen")):
        out = tmp_path / half
        write_occluded(load_dataset(f"{two_cars}&azimuth={half}", "test"), out, ["L2"], occluders)
        assert (out / "lists/carFGL2_BGL2.txt").read_text() == "n1.png\n"
        theirs = f"occluded-pascal3d:{out}?pascal3d={tmp_path}/pascal3d&category=car&level=L2"
        (sample,) = load_dataset(theirs, "test").samples
        assert sample.key == f"carFGL2_BGL2/n1#{n}"
        (same,) = load_dataset(f"occluded:{out}?level=L2", "test").samples
        np.testing.assert_array_equal(sample.visibility, same.visibility)


def test_what_is_no_such_set_of_pascal3d_is_refused(
    two_cars: str, occluders: Occluders, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write_occluded(load_dataset(two_cars, "test"), out, ["L1"], occluders)
    spec = f"occluded-pascal3d:{out}?pascal3d={tmp_path}/pascal3d&category=car&level=L1"
    assert len(load_dataset(spec, "test").samples) == 2
    with pytest.raises(NoSuchSplit, match="made of the test split: use --split test"):
        load_dataset(spec, "val")
    content = json.loads((out / "occluded.json").read_text())
    for change, message in (
        ({"version": 1}, "of an earlier version.*write the folder again"),
        ({"data": "objectnet3d"}, "made of objectnet3d: name it as occluded:"),
        ({"split": "nightly"}, "cannot be read"),
    ):
        (out / "occluded.json").write_text(json.dumps({**content, **change}))
        with pytest.raises(DataError, match=message):
            load_dataset(spec, "test")
    (out / "occluded.json").write_text(json.dumps(content))
    masks = next((out / "annotations/carFGL1_BGL1").iterdir())
    np.savez(masks, occluder_mask=np.zeros((30, 40)), object=np.array("first"), source="n1")
    with pytest.raises(DataError, match="'object' is not the number"):
        load_dataset(spec, "test")


def test_objects_of_one_photo_get_an_image_each_and_coco_reads_them(
    make_coco: Make, occluders: Occluders, tmp_path: Path
) -> None:
    path = make_coco(2)
    content = json.loads(path.read_text())
    content["annotations"][1]["image_id"] = 1
    path.write_text(json.dumps(content))
    dataset = load_dataset(f"coco:{path}?split=all", "test")
    out = tmp_path / "out"
    write_occluded(dataset, out, ["L1"], occluders)
    names = sorted(file.name for file in (out / "images/cupFGL1_BGL1").iterdir())
    assert names == ["1.0.png", "1.1.png"]
    plain = load_dataset(f"coco:{out}/L1.json?split=all", "test")
    ours = load_dataset(f"occluded:{out}?level=L1", "test")
    assert plain.keypoints == ours.keypoints == dataset.keypoints
    assert [s.visibility.tolist() for s in plain.samples] == [s.visibility.tolist() for s in ours.samples]
    assert [s.key for s in ours.samples] == [s.key for s in dataset.samples]


def test_head_sizes_come_back_known_or_not(
    make_mpii: Make, mpii_person: Make, occluders: Occluders, tmp_path: Path
) -> None:
    folder = make_mpii([mpii_person()], [mpii_person(without="x1 y1 x2 y2")])
    dataset = load_dataset(f"mpii:{folder}?split=all", "test")
    write_occluded(dataset, tmp_path / "out", ["L1"], occluders)
    again = load_dataset(f"occluded:{tmp_path}/out?level=L1", "test")
    assert (again.normaliser, again.counts_hidden, again.unscored) == ("head", True, dataset.unscored)
    sizes = [[s.meta.get("head_size", np.nan) for s in d.samples] for d in (again, dataset)]
    np.testing.assert_allclose(*sizes)
    assert np.isfinite(sizes[0]).tolist() == [True, False]


def test_what_must_be_said_of_a_written_folder(
    lsp: KeypointDataset, occluders: Occluders, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write_occluded(lsp, out, ["L1"], occluders)
    with pytest.raises(DataError, match=r"add \?level="):
        load_dataset(f"occluded:{out}", "test")
    with pytest.raises(DataError, match=r"add \?level="):
        load_dataset(f"occluded:{out}?level=../L1", "test")
    with pytest.raises(DataError, match=r"cannot read .*L2\.json"):
        load_dataset(f"occluded:{out}?level=L2", "test")
    with pytest.raises(NoSuchSplit, match="made of the test split: use --split test"):
        load_dataset(f"occluded:{out}?level=L1", "val")
    report, _ = check_dataset(f"occluded:{out}?level=L1", ("train", "val", "test"))
    assert [one.split for one in report.splits] == ["test"]
    assert report.usable
    content = json.loads((out / "L1.json").read_text())
    del content["info"]["normaliser"]
    (out / "L1.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="was not written by `coke-edge data occlude`"):
        load_dataset(f"occluded:{out}?level=L1", "test")
    content = json.loads((out / "L1.json").read_text())
    content["info"]["normaliser"] = "torso"
    first = content["annotations"][0]
    for change in ({"covered": [0]}, {"covered": [300] * 14}, {"meta": {"head_size": "large"}}):
        content["annotations"][0] = {**first, **change}
        (out / "L1.json").write_text(json.dumps(content))
        with pytest.raises(DataError, match=r"contradicts itself|was not written by"):
            load_dataset(f"occluded:{out}?level=L1", "test")


@pytest.mark.data
@pytest.mark.parametrize(
    ("spec", "every"),
    [("lsp:{}/lsp", 250), ("pascal3d:{}/PASCAL3D+_release1.1?category=car", 10)],
)
def test_real_images(data_root: Path, tmp_path: Path, spec: str, every: int) -> None:
    dataset = load_dataset(spec.format(data_root), "test")
    dataset = dataclasses.replace(dataset, samples=dataset.samples[::every])
    occluders = Occluders(f"{data_root / 'backgrounds'}?part=test")
    levels = ["L1", "L2", "L3"]
    summaries = write_occluded(dataset, tmp_path / "out", levels, occluders)
    for one, low in zip(summaries, (0.2, 0.4, 0.6), strict=True):
        assert one.unmet == 0
        assert low <= one.object_share <= low + 0.2
        assert low - 0.2 <= one.background_share <= low
    again = load_dataset(f"occluded:{tmp_path}/out?level=L3", "test")
    for sample, (occluded, shown) in zip(again.samples, on_the_fly(dataset, "L3", occluders), strict=True):
        np.testing.assert_array_equal(read_image(sample.image), occluded.image)
        np.testing.assert_array_equal(sample.visibility, shown.visibility)
