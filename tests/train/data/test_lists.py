from __future__ import annotations

from pathlib import Path

import pytest

from coke_edge.errors import DataError
from coke_edge.train.data.lists import read_names


def test_names_lose_folder_suffix_and_label(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a/n01.JPEG\n\n  n02  \nn03 -1\nn04  1\r\n")
    assert read_names(path) == ["n01", "n02", "n03", "n04"]
    assert read_names(path, without="-1") == ["n01", "n02", "n04"]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00n", b"n\x0001\n"])
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(DataError, match="no list of image names"):
        read_names(tmp_path / "list.txt")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the image list"):
        read_names(tmp_path)
