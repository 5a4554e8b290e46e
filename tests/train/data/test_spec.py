from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from coke_edge.errors import DataError
from coke_edge.train.data import load_dataset
from coke_edge.train.data.spec import parse_spec


class Options(msgspec.Struct):
    name: str = ""
    keep: bool = True
    images: list[str] = []


def test_a_specification_is_taken_apart() -> None:
    spec = parse_spec("coco:a+b/c.json?name=x%26y=z&images=1&images=2&keep=false")
    assert (spec.scheme, spec.path) == ("coco", Path("a+b/c.json"))
    assert spec.options(Options) == Options("x&y=z", False, ["1", "2"])


def test_the_home_folder_is_filled_in() -> None:
    assert parse_spec("lsp:~/lsp").path == Path.home() / "lsp"


@pytest.mark.parametrize(
    "text", ["lsp", "lsp:", ":here", "lsp:here?category", "lsp:here?=car", "lsp:here?category="]
)
def test_what_is_incomplete_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        parse_spec(text)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("colour=red", "unknown parameter 'colour'.*name, keep, images"),
        ("name=a&name=b", "'name' may stand only once"),
        ("keep=perhaps", "wrong value.*keep"),
    ],
)
def test_a_wrong_parameter_is_named(query: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        parse_spec(f"coco:file?{query}").options(Options)


def test_an_unknown_kind_of_data_set_lists_the_known_ones() -> None:
    with pytest.raises(
        DataError, match="lsp:, pascal3d:, occluded-pascal3d:, occluded:, objectnet3d:, mpii:, coco:"
    ):
        load_dataset("mnist:here", "train")
