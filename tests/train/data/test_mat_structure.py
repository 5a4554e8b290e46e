"""What would crash SciPy's reader is refused before it; whatever it can read is let through."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from coke_edge.errors import DataError
from coke_edge.train.data.mat import read_mat
from coke_edge.train.data.mat_structure import DamagedError, check_structure

SOUND = {
    "number": 3.0,
    "complex": 1 + 2j,
    "empty": np.zeros((0, 0)),
    "deep": np.arange(24, dtype=np.int16).reshape(2, 3, 4),
    "text": "läuft",
    "lines": np.array(["ab", "cd"]),
    "struct": {"a": {"b": {"c": [1.0, 2.0]}}, "none": {}},
    "cell": np.array([[1.0, "two", None]], dtype=object)[:, :2],
    "logical": np.array([True, False]),
}


def saved(content: Any, **options: Any) -> bytes:
    file = BytesIO()
    savemat(file, {"x": content, "other": "before"}, **options)
    return file.getvalue()


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("name", SOUND)
def test_sound_files_pass(name: str, compressed: bool) -> None:
    check_structure(saved(SOUND[name], do_compression=compressed), "x")


def test_old_files_are_left_to_scipy(tmp_path: Path) -> None:
    savemat(tmp_path / "old.mat", {"x": np.eye(2)}, format="4")
    np.testing.assert_array_equal(read_mat(tmp_path / "old.mat", "x"), np.eye(2))


def changed(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + struct.pack("<I", value) + data[at + 4 :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d[:-9], "cut off"),
        (lambda d: d + b"\0\0\0", "middle of a tag"),
        (lambda d: changed(d, 128, 99), "variable of type 99"),
        (lambda d: changed(d, 136, 8), "type 8 is out of place"),
        (lambda d: changed(d, 140, 4), "head of a matrix"),
        (lambda d: changed(d, 160, 2**32 - 1), "size of a matrix is impossible"),
        (lambda d: changed(d, 144, 17), "class 17"),
        (lambda d: changed(d, 176, 8), "type 8 is out of place"),  # the reader would follow a null pointer
        (lambda d: changed(d, 180, 2**31), "beyond the one around it"),
    ],
)
def test_damage_is_named(change: Callable[[bytes], bytes], message: str) -> None:
    file = BytesIO()
    savemat(file, {"x": np.arange(4.0)})
    check_structure(file.getvalue(), "x")
    with pytest.raises(DamagedError, match=message):
        check_structure(change(file.getvalue()), "x")


def test_a_variable_that_is_not_wanted_may_hold_anything() -> None:
    file = BytesIO()
    savemat(file, {"y": np.arange(4.0)})
    check_structure(changed(file.getvalue(), 176, 8), "x")


@pytest.mark.parametrize("width", [0, 5, 65, 2**31])
def test_field_names_of_another_length(width: int) -> None:
    data = saved({"a": 1.0, "bc": 2.0})
    at = data.index(struct.pack("<I", 0x00040005)) + 4
    with pytest.raises(DamagedError, match="field name"):
        check_structure(changed(data, at, width), "x")


def test_endless_nesting_is_refused() -> None:
    content: Any = 1.0
    for _ in range(40):
        content = {"a": content}
    with pytest.raises(DamagedError, match="too deeply"):
        check_structure(saved(content), "x")


def test_broken_compression_is_one_sentence(tmp_path: Path) -> None:
    data = saved(np.arange(400.0), do_compression=True)
    (tmp_path / "a.mat").write_bytes(data[:140] + b"\xff" * 8 + data[148:])
    with pytest.raises(
        DataError, match=r"a\.mat cannot be read as a MATLAB file \(its compression is broken.*fetch it"
    ):
        read_mat(tmp_path / "a.mat", "x")


@pytest.mark.data
def test_the_real_files_pass(data_root: Path) -> None:
    paths = [
        data_root / "lsp/joints.mat",
        data_root / "mpii/mat_fixture/mpii_human_pose_v1_u12_1.mat",
        data_root / "objectnet3d/demo.mat",
        *(data_root / "PASCAL3D+_release1.1/Annotations/car_pascal").glob("*.mat"),
    ]
    for path in paths:
        (variable,) = (name for name in loadmat(path) if not name.startswith("__"))
        check_structure(path.read_bytes(), variable)
