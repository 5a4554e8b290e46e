"""A model in one file, `name.coke`: a zip whose every byte is determined by its entries.

The manifest is the first entry and lists name, size and sha256 of all others, which follow sorted by name.
So it says what the whole file must look like, and opening a bundle compares the file with that: a changed
byte is refused wherever it lies, in an entry, in a zip header or after the end. Any zip tool can list and
extract a bundle; only `write_bundle` makes one.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from coke_edge import archive
from coke_edge.errors import BundleError
from coke_edge.files import replacing
from coke_edge.kernels import artifact
from coke_edge.kernels.artifact import Artifact
from coke_edge.kernels.targets import KernelError
from coke_edge.manifest import EntrySpec, Manifest
from coke_edge.validate import check_banks, read_manifest

DEMO = "demo"  # names the bundle in the package
MANIFEST = "manifest.json"
BANKS = "banks.safetensors"
KERNELS = "kernels/"  # the folder of `coke_edge.kernels.artifact`: binaries and their manifest
REQUIRED = ("model.fp32.onnx", BANKS)
ALLOWED = re.compile(
    r"model\.(fp32|fp16|int8|uint8|fp8)\.onnx|banks\.safetensors|MODEL_CARD\.md"
    r"|kernels/[A-Za-z0-9][A-Za-z0-9._-]*\.(cubin|ptx|json)"
)


class Bundle:
    """An opened and verified bundle, held in memory.

    Raises BundleError if the file is missing, is no bundle, is damaged or needs a newer coke-edge.
    """

    path: Path
    manifest: Manifest
    sha256: str  # of the whole file

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the bundle at `path`; "demo" is the one in the package."""
        self.path = demo_path() if path == DEMO else Path(path)
        try:
            self._data = memoryview(self.path.read_bytes())
        except OSError as error:
            raise BundleError(f"cannot read the bundle {self.path}: {error.strerror}") from None
        try:
            self.manifest, self._contents = verify(self._data)
        except BundleError as error:
            raise BundleError(f"{self.path} cannot be used: {error}") from None
        self.sha256 = hashlib.sha256(self._data).hexdigest()

    def read(self, entry: str) -> bytes:
        """The bytes of one entry. Raises BundleError if the bundle has none of that name."""
        if entry not in self._contents:
            raise BundleError(f"{self.path} has no {entry}, only {', '.join(self._contents)}")
        return bytes(self._contents[entry])

    def banks(self) -> dict[str, NDArray[np.float32]]:
        """The vectors of the head: prototypes [R, C], clutter [N, C], unit rows; counts [N] if compressed.

        R is K, or 2 K with those of hidden keypoints behind (`ModelSpec.maps`).

        Raises BundleError if they do not fit together or do not fit the manifest.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            banks: dict[str, NDArray[np.float32]] = load(self.read(BANKS))
            check_banks(banks, self.manifest.model.maps)
        except (SafetensorError, BundleError) as error:
            raise BundleError(f"{self.path} cannot be used: {error}") from None
        return banks

    def kernels(self) -> Artifact | None:
        """What the bundle's GPU kernels are, or None if it has none; their files are entries below `kernels/`.

        Raises BundleError if their manifest is broken.
        """
        if KERNELS + artifact.MANIFEST not in self._contents:
            return None
        try:
            return artifact.parse(self.read(KERNELS + artifact.MANIFEST))
        except KernelError as error:
            raise BundleError(f"{self.path} cannot be used: {error}") from None


def verify(data: memoryview) -> tuple[Manifest, dict[str, memoryview]]:
    """The manifest and the contents of a bundle that is intact down to the last byte.

    Raises BundleError, one clause without the name of the file.
    """
    first = archive.first_entry(data)
    if first is None or first[0] != MANIFEST:
        if data[:4] == archive.SIGNATURE.to_bytes(4, "little"):
            raise BundleError(
                "it starts like a bundle but is cut short or damaged; copy or download it again"
            )
        raise BundleError("it is no bundle; `coke-edge export` makes one from a checkpoint")
    manifest = read_manifest(first[1])
    check_names(manifest.entries)
    sizes = {MANIFEST: len(first[1])} | {n: manifest.entries[n].size for n in sorted(manifest.entries)}
    expected = archive.total_size(sizes)
    if len(data) != expected:
        what = "cut short" if len(data) < expected else "too long"
        raise BundleError(
            f"it is {what}, {len(data):,} bytes where its manifest says {expected:,}; "
            "copy or download it again"
        )
    starts = archive.offsets(sizes)
    contents = {name: data[starts[name] : starts[name] + size] for name, size in sizes.items()}
    for name, spec in manifest.entries.items():
        if hashlib.sha256(contents[name]).hexdigest() != spec.sha256:
            raise BundleError(f"{name} in it does not match its sha256; copy or download it again")
    for position, header in archive.headers(contents):
        if data[position : position + len(header)] != header:
            raise BundleError("its zip headers are damaged or made by another tool; copy or export it again")
    del contents[MANIFEST]
    return manifest, contents


def check_names(entries: Mapping[str, EntrySpec]) -> None:
    """Raises BundleError, one clause, unless a bundle may hold these entries."""
    if unknown := [name for name in entries if not ALLOWED.fullmatch(name)]:
        raise BundleError(f"it lists {unknown[0]!r}, which is no entry of a bundle")
    if missing := [name for name in REQUIRED if name not in entries]:
        raise BundleError(f"it has no {missing[0]}; export it again")
    if any(spec.size < 0 for spec in entries.values()):
        raise BundleError("its manifest gives an entry a negative size")


def write_bundle(
    path: str | os.PathLike[str], manifest_without_entries: Manifest, entries: Mapping[str, bytes]
) -> None:
    """Write a bundle; the same manifest and entries give the same bytes. It appears whole or not at all.

    Raises BundleError if it could not be read back (a name that is not allowed, a missing entry, …) or the
    file cannot be written.
    """
    specs = {
        name: EntrySpec(hashlib.sha256(entries[name]).hexdigest(), len(entries[name]))
        for name in sorted(entries)
    }
    manifest = msgspec.structs.replace(manifest_without_entries, entries=specs)
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    contents = {MANIFEST: memoryview(text)} | {name: memoryview(entries[name]) for name in specs}
    try:
        check_names(specs)
        read_manifest(text)
        if archive.total_size({name: len(content) for name, content in contents.items()}) > archive.LARGEST:
            raise BundleError("it would be larger than the 4 GB that a bundle can hold")
    except BundleError as error:
        raise BundleError(f"cannot write {path}: {error}") from None
    with replacing(Path(path), BundleError) as file:
        file.writelines(archive.pack(contents))


def names_bundle(model: str | os.PathLike[str]) -> bool:
    """Whether a model's name is that of a bundle, as "demo" always is: not FILE.safetensors, and not a folder."""
    path = Path(model)
    return os.fspath(model) == DEMO or not (path.suffix == ".safetensors" or path.is_dir())


def demo_path() -> Path:
    """Where the bundle of the package lies. Raises BundleError if this installation has none."""
    path = Path(str(resources.files("coke_edge.assets") / "person.coke"))
    if not path.is_file():
        raise BundleError("this installation has no demo bundle; `make demo-model` makes one")
    return path
