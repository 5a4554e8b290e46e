from __future__ import annotations

from pathlib import Path

import pytest
from scipy.io import savemat

from coke_edge.errors import DataError
from coke_edge.train.data.mat import read_mat


def test_structs_become_dicts(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"record": {"name": "x", "inner": {"value": 3}}})
    assert read_mat(tmp_path / "a.mat", "record") == {"name": "x", "inner": {"value": 3}}


def test_a_missing_file_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_mat(tmp_path / "a.mat", "joints")


def test_a_file_without_the_variable_is_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"other": 1})
    with pytest.raises(DataError, match="no variable 'joints'"):
        read_mat(tmp_path / "a.mat", "joints")


def test_a_file_cut_in_half_is_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"joints": list(range(1000))})
    data = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="cannot be read"):
        read_mat(tmp_path / "a.mat", "joints")


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_text("joints\n" * 100)
    with pytest.raises(DataError):
        read_mat(tmp_path / "a.mat", "joints")


def test_a_matlab_73_file_says_how_to_save_it(tmp_path: Path) -> None:
    header = b"MATLAB 7.3 MAT-file".ljust(124, b" ") + b"\x00\x02IM"
    (tmp_path / "a.mat").write_bytes(header + bytes(512))
    with pytest.raises(DataError, match="-v7"):
        read_mat(tmp_path / "a.mat", "joints")
