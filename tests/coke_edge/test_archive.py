from __future__ import annotations

import io
import zipfile

from hypothesis import given
from hypothesis import strategies as st

from coke_edge import archive

names = st.text("abcdefghijklmnopqrstuvwxyz._-/", min_size=1, max_size=20)
contents = st.dictionaries(names, st.binary(max_size=60).map(memoryview), min_size=1, max_size=4)


@given(contents)
def test_is_a_zip_that_other_tools_read(contents: dict[str, memoryview]) -> None:
    data = b"".join(archive.pack(contents))
    with zipfile.ZipFile(io.BytesIO(data)) as other:
        assert other.testzip() is None
        assert other.namelist() == list(contents)
        assert all(other.read(name) == content for name, content in contents.items())


@given(contents)
def test_layout_follows_from_names_and_sizes(contents: dict[str, memoryview]) -> None:
    data = b"".join(archive.pack(contents))
    sizes = {name: len(content) for name, content in contents.items()}
    assert archive.total_size(sizes) == len(data)
    starts = archive.offsets(sizes)
    assert all(data[starts[name] : starts[name] + sizes[name]] == contents[name] for name in contents)
    first = next(iter(contents))
    assert archive.first_entry(memoryview(data)) == (first, bytes(contents[first]))


def test_a_first_entry_that_is_damaged_or_cut_is_none() -> None:
    data = b"".join(archive.pack({"a": memoryview(b"hello")}))
    start = archive.offsets({"a": 5})["a"]
    assert archive.first_entry(memoryview(data[: start + 4])) is None
    assert archive.first_entry(memoryview(data[:10])) is None
    assert archive.first_entry(memoryview(data.replace(b"hello", b"hallo"))) is None
