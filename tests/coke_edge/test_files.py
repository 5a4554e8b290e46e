from __future__ import annotations

import errno
from pathlib import Path

import pytest

from coke_edge.errors import StreamError
from coke_edge.files import beside, name_of_whole, replacing


def test_old_content_stays_until_the_new_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a" / "x.bin"
    target.parent.mkdir()
    target.write_bytes(b"old")
    with replacing(target) as file:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert list(target.parent.iterdir()) == [target]


def test_an_exception_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "x.bin"
    with pytest.raises(KeyError), replacing(target) as file:  # noqa: PT012
        file.write(b"half")
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    target = tmp_path / "x.bin"
    with pytest.raises(StreamError, match="No space left"), replacing(target, StreamError) as file:  # noqa: PT012
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_files_are_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    with replacing(tmp_path / "x.bin"):
        pass
    assert (tmp_path / "x.bin").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name", ["best.safetensors", "epoch0001.jpg", "folder", "a.b.coke"])
def test_a_half_written_file_tells_what_it_was_to_be(tmp_path: Path, name: str) -> None:
    assert name_of_whole(beside(tmp_path / name).name) == name


@pytest.mark.parametrize("name", [247 * "a" + ".png", 125 * "é" + ".coke"])
def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path, name: str) -> None:
    with replacing(tmp_path / name) as file:
        file.write(b"x")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", [".ssh.partial.zip", ".x.part", "x.0a0a0a0a.part.bin", ".x.0a0a0a0a.party"])
def test_files_of_others_are_not_half_written_ones_of_ours(name: str) -> None:
    assert name_of_whole(name) is None
