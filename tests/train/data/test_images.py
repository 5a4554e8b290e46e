from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coke_edge.errors import DataError
from coke_edge.train.data import images
from coke_edge.train.data.images import ImageCache

SIZE = 40 * 30 * 3


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are really read."""
    log: list[Path] = []
    read = images.read_image
    monkeypatch.setattr(images, "read_image", lambda path: (log.append(path), read(path))[1])
    return log


@pytest.fixture
def files(tmp_path: Path, make_image: Callable[..., Path]) -> list[Path]:
    return [make_image(tmp_path / f"{n}.png", seed=n) for n in range(3)]


def test_an_image_is_read_once(files: list[Path], reads: list[Path]) -> None:
    cache = ImageCache(10 * SIZE)
    first, again = cache.read(files[0]), cache.read(files[0])
    np.testing.assert_array_equal(first, again)
    assert reads == [files[0]]


def test_the_least_recently_used_goes_first(files: list[Path], reads: list[Path]) -> None:
    cache = ImageCache(2 * SIZE)
    for n in (0, 1, 0, 2):  # 2 pushes out 1, not 0
        cache.read(files[n])
    assert cache.held_bytes == 2 * SIZE
    reads.clear()
    for n in (0, 2, 1):
        cache.read(files[n])
    assert reads == [files[1]]


def test_without_memory_nothing_is_kept(files: list[Path], reads: list[Path]) -> None:
    cache = ImageCache()
    cache.read(files[0])
    cache.read(files[0])
    assert len(reads) == 2
    assert cache.held_bytes == 0


def test_an_image_larger_than_the_cache_pushes_nothing_out(
    tmp_path: Path, files: list[Path], make_image: Callable[..., Path], reads: list[Path]
) -> None:
    cache = ImageCache(SIZE)
    cache.read(files[0])
    cache.read(make_image(tmp_path / "large.png", width=80))
    reads.clear()
    cache.read(files[0])
    assert reads == []


def test_the_shared_array_cannot_be_changed(files: list[Path]) -> None:
    with pytest.raises(ValueError, match="read-only"):
        ImageCache(SIZE).read(files[0])[0, 0] = 0


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.png"):
        ImageCache(SIZE).read(tmp_path / "absent.png")
