from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save

from coke_edge import archive
from coke_edge.bundle import Bundle, verify, write_bundle
from coke_edge.errors import BundleError
from coke_edge.manifest import Manifest

ENTRIES = {"model.fp32.onnx": b"graph", "banks.safetensors": b"banks"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, manifest: Manifest) -> bytes:
    """A bundle of few bytes."""
    path = tmp_path_factory.mktemp("small") / "small.coke"
    write_bundle(path, manifest, ENTRIES)
    return path.read_bytes()


def repack(bundle: bytes, change: Callable[[dict[str, object]], None], **extra: bytes) -> bytes:
    """The bundle with its manifest changed, as a forger with our own writer would."""
    start = archive.first_entry(memoryview(bundle))
    assert start is not None
    manifest = msgspec.json.decode(start[1])
    change(manifest)
    text = msgspec.json.encode(manifest)
    contents = {"manifest.json": text} | dict(sorted((ENTRIES | extra).items()))
    return b"".join(archive.pack({name: memoryview(content) for name, content in contents.items()}))


def test_what_is_written_is_read(bundle_path: Path, manifest: Manifest, entries: dict[str, bytes]) -> None:
    bundle = Bundle(bundle_path)
    assert msgspec.structs.replace(bundle.manifest, entries={}) == manifest
    assert {name: bundle.read(name) for name in entries} == entries
    assert bundle.manifest.entries.keys() == entries.keys()


def test_bytes_depend_on_nothing_but_the_content(tmp_path: Path, manifest: Manifest, small: bytes) -> None:
    other = tmp_path / "deep" / "other.coke"
    write_bundle(other, manifest, dict(reversed(ENTRIES.items())))
    os.utime(other, (1, 1))
    assert other.read_bytes() == small
    assert [p.name for p in other.parent.iterdir()] == ["other.coke"]


def test_other_tools_can_extract_it(bundle_path: Path, entries: dict[str, bytes], tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle_path) as other:
        other.extractall(tmp_path)
    assert all((tmp_path / name).read_bytes() == content for name, content in entries.items())


def test_no_byte_can_change(small: bytes) -> None:
    verify(memoryview(small))
    for mask in (0x01, 0x20, 0xFF):
        for i in range(len(small)):
            changed = bytearray(small)
            changed[i] ^= mask
            with pytest.raises(BundleError):
                verify(memoryview(changed))


def test_no_length_but_its_own_is_accepted(small: bytes) -> None:
    for length in range(len(small)):
        with pytest.raises(BundleError):
            verify(memoryview(small[:length]))


@given(st.data())
def test_nothing_can_be_inserted(small: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(small)))
    more = data.draw(st.binary(min_size=1, max_size=30))
    with pytest.raises(BundleError):
        verify(memoryview(small[:place] + more + small[place:]))


def test_sentences(tmp_path: Path, small: bytes) -> None:
    path = tmp_path / "x.coke"

    def sentence(content: bytes) -> str:
        path.write_bytes(content)
        with pytest.raises(BundleError) as caught:
            Bundle(path)
        text = str(caught.value)
        assert str(path) in text
        assert "\n" not in text
        return text

    assert "is no bundle" in sentence(b"just text\n" * 50)
    assert "is no bundle" in sentence(b"")
    assert "cut short" in sentence(small[: len(small) // 2])
    assert "cut short" in sentence(small[:-1])
    assert "too long" in sentence(small + b"\0")
    assert "model.fp32.onnx in it does not match" in sentence(small.replace(b"graph", b"grapf"))
    assert "upgrade" in sentence(repack(small, lambda m: m.update(schema_version=2, new_thing={})))
    with pytest.raises(BundleError, match="cannot read the bundle"):
        Bundle(tmp_path / "missing.coke")
    with pytest.raises(BundleError, match="cannot read the bundle"):
        Bundle(tmp_path)


def test_repacked_by_another_tool_is_refused(tmp_path: Path, small: bytes) -> None:
    path = tmp_path / "x.coke"
    with zipfile.ZipFile(path, "w") as other:
        for name in ("manifest.json", *sorted(ENTRIES)):
            first = archive.first_entry(memoryview(small))
            assert first is not None
            other.writestr(name, ENTRIES.get(name, first[1]))
    with pytest.raises(BundleError, match="another tool"):
        Bundle(path)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "kernels/../x.cubin", "kernels/a/b.cubin", "x.pkl", ""]
)
def test_names_that_no_bundle_has(small: bytes, tmp_path: Path, manifest: Manifest, name: str) -> None:
    def add(fields: dict[str, object]) -> None:
        fields["entries"][name] = {"sha256": "0" * 64, "size": 0}

    with pytest.raises(BundleError, match="no entry of a bundle"):
        verify(memoryview(repack(small, add, **{name: b""})))
    with pytest.raises(BundleError, match="no entry of a bundle"):
        write_bundle(tmp_path / "x.coke", manifest, ENTRIES | {name: b""})
    assert not list(tmp_path.iterdir())


def test_entries_that_the_manifest_does_not_list_or_the_file_does_not_have(small: bytes) -> None:
    with pytest.raises(BundleError):
        verify(memoryview(repack(small, lambda m: None, **{"MODEL_CARD.md": b"hidden"})))

    def drop(fields: dict[str, object]) -> None:
        del fields["entries"]["banks.safetensors"]

    with pytest.raises(BundleError, match=r"no banks\.safetensors"):
        verify(memoryview(repack(small, drop)))


def test_unknown_fields_are_refused_everywhere(small: bytes) -> None:
    def at(*keys: str) -> Callable[[dict[str, object]], None]:
        def change(fields: dict[str, object]) -> None:
            inner: dict[str, object] = fields
            for key in keys:
                inner = inner[key]
            inner["surprise"] = 1

        return change

    places = [
        (),
        ("model",),
        ("model", "input"),
        ("model", "head"),
        ("model", "keypoints"),
        ("model", "visibility"),
    ]
    for keys in [*places, ("entries", "banks.safetensors")]:
        with pytest.raises(BundleError, match="surprise"):
            verify(memoryview(repack(small, at(*keys))))


def test_unwritable_targets(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BundleError, match="cannot write"):
        write_bundle(tmp_path / "file" / "x.coke", manifest, ENTRIES)
    (tmp_path / "folder.coke" / "inside").mkdir(parents=True)
    with pytest.raises(BundleError, match="cannot write"):
        write_bundle(tmp_path / "folder.coke", manifest, ENTRIES)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.coke"]


def test_an_entry_it_does_not_have(bundle_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no model\.int8\.onnx"):
        Bundle(bundle_path).read("model.int8.onnx")


def test_banks(bundle_path: Path, banks: dict[str, NDArray[np.float32]]) -> None:
    read = Bundle(bundle_path).banks()
    assert read.keys() == banks.keys()
    assert all(np.array_equal(read[name], banks[name]) for name in banks)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"prototypes": np.eye(4, 3, dtype=np.float32)}, "4 prototypes for 3"),
        ({"clutter": np.eye(2, 4, dtype=np.float32)}, "fit together"),
        ({"clutter": np.ones((2, 3), np.float32)}, "length 1"),
        ({"clutter": np.full((2, 3), np.nan, np.float32)}, "finite"),
        ({"prototypes": np.eye(3, dtype=np.float64)}, "float32"),
        ({"counts": np.ones(2, np.float32)}, "counts"),
        ({"counts": np.zeros(1, np.float32)}, "counts"),
        ({"other": np.ones(1, np.float32)}, "other"),
    ],
)
def test_banks_that_do_not_fit(
    tmp_path: Path,
    manifest: Manifest,
    entries: dict[str, bytes],
    banks: dict[str, NDArray[np.float32]],
    change: dict[str, NDArray[np.float32]],
    sentence: str,
) -> None:
    path = tmp_path / "x.coke"
    write_bundle(path, manifest, entries | {"banks.safetensors": save(banks | change)})
    with pytest.raises(BundleError, match=sentence):
        Bundle(path).banks()


def test_banks_that_are_no_safetensors(tmp_path: Path, manifest: Manifest) -> None:
    path = tmp_path / "x.coke"
    write_bundle(path, manifest, ENTRIES)
    with pytest.raises(BundleError, match="cannot be used"):
        Bundle(path).banks()


def test_empty_clutter_bank_is_allowed(tmp_path: Path, manifest: Manifest, entries: dict[str, bytes]) -> None:
    path = tmp_path / "x.coke"
    none = {"prototypes": np.eye(3, dtype=np.float32), "clutter": np.zeros((0, 3), np.float32)}
    write_bundle(path, manifest, entries | {"banks.safetensors": save(none)})
    assert Bundle(path).banks()["clutter"].shape == (0, 3)


def test_no_demo_bundle_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("coke_edge.bundle.resources.files", lambda package: tmp_path)
    with pytest.raises(BundleError, match="make demo-model"):
        Bundle("demo")
