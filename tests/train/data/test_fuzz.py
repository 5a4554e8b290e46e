"""Files with damage: a sentence (DataError) or a data set whose samples are in order, never a traceback.

The damage is drawn from seeds: bytes of a genuine file cut off, changed, repeated or removed, and values of its tree
replaced by ones of another type or size. A sample that is read all the same must have what training relies on.
"""

from __future__ import annotations

import copy
import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from coke_edge.errors import DataError
from coke_edge.train.data import load_dataset
from coke_edge.train.data.check import check_dataset
from coke_edge.train.data.sample import UNLABELLED

Rng = np.random.Generator
ROUNDS = int(os.environ.get("COKE_EDGE_FUZZ_ROUNDS", "40"))  # more of them look further
KINDS = ("mpii.mat", "mpii.json", "mpii.h5", "pascal3d", "mask", "objectnet3d", "list", "lsp", "coco")


@pytest.fixture
def genuine(
    make_mpii: Any, mpii_person: Any, make_mpii_h5: Any, make_occluded: Any, make_objectnet3d: Any, thing: Any,
    make_coco: Any, tmp_path: Path,
) -> Callable[[str], tuple[Path, str]]:  # fmt: skip
    """The file that is damaged and the specification that reads it."""

    def make(kind: str) -> tuple[Path, str]:
        if kind == "mpii.mat":
            root = make_mpii([mpii_person(), mpii_person(without="scale")], [mpii_person()], training=[1, 1])
            return root / "mpii_human_pose_v1_u12_1.mat", f"mpii:{root}?split=all&persons=separated"
        if kind == "mpii.json":
            path = tmp_path / "mpii.json"
            joints = [[10.5 + j, 20.0] for j in range(16)]
            one = {
                "image": "1.png",
                "joints": joints,
                "joints_vis": [1] * 16,
                "center": [20.0, 15.0],
                "scale": 0.1,
            }
            path.write_text(json.dumps([one, {**one, "joints_vis": [0] * 16}]))
            return path, f"mpii:{path}?split=all"
        if kind == "mpii.h5":
            path = make_mpii_h5()
            return path, f"mpii:{path}?split=all"
        if kind in ("pascal3d", "mask"):
            spec = make_occluded(np.eye(30, 40, dtype=bool)) + "&level=L1&azimuth=unseen"
            record = tmp_path / "pascal3d/Annotations/car_imagenet/n0001.mat"
            mask = tmp_path / "occluded/annotations/carFGL1_BGL1/n0001.npz"
            return record if kind == "pascal3d" else mask, spec
        if kind in ("objectnet3d", "list"):
            objects = [thing("pot", {"left_ear": (3, 4, 1), "lid": None}), thing("cup", None)]
            spec = make_objectnet3d("pot", {"n01": objects}, train="n01", test="n01") + "&azimuth=unseen"
            path = "Annotations/n01.mat" if kind == "objectnet3d" else "Image_sets/test.txt"
            return tmp_path / path, spec
        if kind == "lsp":
            savemat(tmp_path / "joints.mat", {"joints": np.arange(3 * 14 * 4, dtype=float).reshape(3, 14, 4)})
            return tmp_path / "joints.mat", f"lsp:{tmp_path}"
        path = make_coco(3)
        return path, f"coco:{path}?split=all"

    return make


def must_be_in_order(spec: str) -> None:
    """Load; a DataError of one sentence is in order, too."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # nothing overflows on the way
            dataset = load_dataset(spec, "test", require_images=False)
    except DataError as error:
        _one_line(str(error))
        dataset = None
    for sample in dataset.samples if dataset else ():
        labelled = sample.visibility != UNLABELLED
        assert labelled.any()
        assert set(sample.visibility.tolist()) <= {0, 1, 2}
        assert np.isfinite(sample.keypoints[labelled]).all()
        assert np.isfinite(sample.box).all()
        assert (sample.box[2:] > sample.box[:2]).all()


def _one_line(sentence: str) -> None:
    assert "\n" not in sentence


def damaged(data: bytes, rng: Rng) -> bytes:
    """The bytes with one or several pieces cut, changed, repeated or removed."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at, length = int(rng.integers(len(out) + 1)), int(rng.integers(1, 9))
        match rng.integers(5):
            case 0:
                del out[at:]
            case 1:
                out[at : at + length] = rng.bytes(len(out[at : at + length]))
            case 2:
                out[at : at + length] = b"\xff" * len(out[at : at + length])
            case 3:
                out[at:at] = out[at : at + 8 * length]
            case _:
                del out[at : at + length]
        if not out:
            break
    return bytes(out)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_bytes(genuine: Any, kind: str) -> None:
    path, spec = genuine(kind)
    assert load_dataset(spec, "test", require_images=False).samples
    whole = path.read_bytes()
    for seed in range(ROUNDS):
        path.write_bytes(damaged(whole, np.random.default_rng([seed, KINDS.index(kind)])))
        must_be_in_order(spec)
    for content in (b"", b"\0" * 512, b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"):
        path.write_bytes(content)
        must_be_in_order(spec)


ODD = (
    [], "", "nonsense", np.nan, np.inf, -np.inf, 1e300, -1.0, 0.0, True, 1 + 2j, np.zeros((0, 3)), np.zeros((2, 2, 2)),
    np.full((1, 4), np.nan), np.array([[5.0, 5, 5, 5]]), np.array([[9.0, 9, 1, 1]]), {"x": 1.0}, {"location": [[1, 2]]},
    np.array([["a", 1.0, None]], dtype=object)[:, :2], np.uint8(200), np.int64(2**62), b"bytes",
)  # fmt: skip


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything in a tree of dicts and lists."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], (dict, list)):
            yield from places(tree[key])


def mangled(tree: Any, rng: Rng) -> Any:
    """A copy of a tree with up to three of its values replaced or removed."""
    out = copy.deepcopy(tree)
    for _ in range(rng.integers(1, 4)):
        found = list(places(out))
        if not found:
            break
        container, key = found[rng.integers(len(found))]
        if isinstance(container, dict) and rng.random() < 0.2:
            del container[key]
        else:
            container[key] = copy.deepcopy(ODD[rng.integers(len(ODD))])
    return out


def for_matlab(tree: Any) -> Any:
    """Lists as cell arrays, which savemat would otherwise try to make one array of."""
    if isinstance(tree, dict):
        return {key: for_matlab(value) for key, value in tree.items()}
    if isinstance(tree, list):
        array = np.empty((1, len(tree)), dtype=object)
        for i, item in enumerate(tree):
            array[0, i] = for_matlab(item)
        return array
    return tree


def as_tree(value: Any) -> Any:
    """What `loadmat` gives, with its object arrays as lists."""
    if isinstance(value, dict):
        return {key: as_tree(item) for key, item in value.items() if not key.startswith("__")}
    if isinstance(value, (list, np.ndarray)) and (isinstance(value, list) or value.dtype == object):
        return [as_tree(item) for item in value]
    return value


@pytest.mark.parametrize("kind", ["mpii.mat", "pascal3d", "objectnet3d", "lsp"])
def test_values_of_another_kind_in_matlab_files(genuine: Any, kind: str) -> None:
    path, spec = genuine(kind)
    tree = as_tree(loadmat(path, simplify_cells=True))
    for seed in range(2 * ROUNDS):
        content = mangled(tree, np.random.default_rng([seed, KINDS.index(kind)]))
        savemat(path, {name: for_matlab(value) for name, value in content.items()})
        must_be_in_order(spec)


@pytest.mark.parametrize("kind", ["mpii.json", "coco"])
def test_values_of_another_kind_in_json(genuine: Any, kind: str) -> None:
    path, spec = genuine(kind)
    tree = json.loads(path.read_text())
    for seed in range(2 * ROUNDS):
        content = mangled(tree, np.random.default_rng([seed, KINDS.index(kind)]))
        text = json.dumps(content, default=lambda value: None)  # what JSON has no word for is null
        path.write_text(text.replace("Infinity", "1e999").replace("NaN", "null"))
        must_be_in_order(spec)


@pytest.mark.parametrize("odd", range(len(ODD)))
def test_an_array_of_another_kind_in_npz_and_h5(genuine: Any, odd: int) -> None:
    path, spec = genuine("mask")
    np.savez(path, occluder_mask=np.asarray(ODD[odd], dtype=object if isinstance(ODD[odd], dict) else None))
    must_be_in_order(spec)
    path, spec = genuine("mpii.h5")
    import h5py

    for name in ("imgname", "part", "visible", "center", "scale", "normalize"):
        with h5py.File(path, "a") as file:
            kept = file[name][()]
            del file[name]
            value = ODD[odd]
            if isinstance(value, dict) or np.asarray(value).dtype == object:
                file.create_group(name)
            else:
                file[name] = value
        must_be_in_order(spec)
        with h5py.File(path, "a") as file:
            del file[name]
            file[name] = kept


def test_names_that_are_too_long_for_a_file(make_coco: Any, tmp_path: Path) -> None:
    name = "n" * 300
    coco, mpii = (
        make_coco(3, images=[{"id": n, "file_name": f"{n}{name}.png"} for n in (1, 2, 3)]),
        tmp_path / "m.json",
    )
    person = {"image": f"{name}.png", "joints": [[9.0, 9.0]] * 16, "joints_vis": [1] * 16}
    mpii.write_text(json.dumps([{**person, "center": [20.0, 15.0], "scale": 0.1}]))
    for spec in (
        f"coco:{coco}?split=all",
        f"coco:{coco}?split=all&images={tmp_path}&images={tmp_path}/a",
        f"mpii:{mpii}?split=all",
    ):
        with pytest.raises(DataError, match="images of the test split are missing"):
            load_dataset(spec, "test")
        report, _ = check_dataset(spec, ["test"])
        assert report.splits[0].missing
    long = f"{tmp_path}/{name}"
    for spec in (
        *(f"{scheme}:{long}" for scheme in ("coco", "mpii", "lsp")),
        *(f"mpii:{long}{suffix}" for suffix in (".mat", ".json", ".h5")),
        *(f"{scheme}:{long}?category=car" for scheme in ("pascal3d", "objectnet3d")),
        f"occluded-pascal3d:{long}?category=car&level=L1&pascal3d={long}",
        f"occluded:{long}?level=L1",
    ):
        with pytest.raises(DataError):
            load_dataset(spec, "test")
