from __future__ import annotations

from typing import Any

import msgspec
import pytest

from coke_edge.errors import BundleError
from coke_edge.manifest import EvidenceSpec, Manifest, ModelSpec
from coke_edge.validate import check_model, read_manifest


def test_reads_what_msgspec_writes(manifest: Manifest) -> None:
    assert read_manifest(msgspec.json.encode(manifest)) == manifest


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"schema_version": 1}', b'{"schema_version": "1"}', b"\xff"]
)
def test_other_json_is_refused(text: bytes) -> None:
    with pytest.raises(BundleError, match="manifest"):
        read_manifest(text)


@pytest.mark.parametrize(
    ("part", "change", "sentence"),
    [
        ("keypoints", {"names": ()}, "no keypoints"),
        ("keypoints", {"names": ("a", "a", "b")}, "same name"),
        ("keypoints", {"skeleton": ((0, 3),)}, "beyond 3"),
        ("keypoints", {"flip_pairs": ((-1, 0),)}, "beyond 3"),
        ("input", {"width": 100}, "multiple"),
        ("input", {"height": 0}, "multiple"),
        ("input", {"box_margin": 0.0}, "margin"),
        ("input", {"border": (0, 0, 256)}, "border"),
        ("input", {"std": (0.0, 1.0, 1.0)}, "zero"),
        ("visibility", {"bias": (0.0,)}, "visibility"),
        ("visibility", {"evidence": EvidenceSpec(1.0, 2, 0.07)}, "the 1 that it keeps"),
        ("visibility", {"evidence": EvidenceSpec(1.0, 0, 0.07)}, "the 1 that it keeps"),
        ("visibility", {"evidence": EvidenceSpec(1.0, 1, 0.0)}, "temperature of its visibility"),
        ("visibility", {"evidence": EvidenceSpec(1.0, 1, 0.07, hidden=-1.0)}, "maps of hidden keypoints"),
    ],
)
def test_parts_that_contradict_each_other(
    spec: ModelSpec, part: str, change: dict[str, Any], sentence: str
) -> None:
    check_model(spec)
    broken = msgspec.structs.replace(getattr(spec, part), **change)
    with pytest.raises(BundleError, match=sentence):
        check_model(msgspec.structs.replace(spec, **{part: broken}))


@pytest.mark.parametrize(
    "change", [{"peaks": 0}, {"peaks": 9}, {"temperature": 0.0}, {"clutter_weight": -1.0}]
)
def test_a_head_that_cannot_be(spec: ModelSpec, change: dict[str, Any]) -> None:
    import dataclasses

    head = dataclasses.replace(spec.head, **change)
    with pytest.raises(BundleError):
        check_model(msgspec.structs.replace(spec, head=head))


def test_maps_of_hidden_keypoints_are_read_where_there_are_any(spec: ModelSpec) -> None:
    placing = msgspec.structs.replace(spec, hidden_maps=True)
    for evidence in (None, EvidenceSpec(1.0, 1, 0.07)):
        unread = msgspec.structs.replace(spec.visibility, evidence=evidence)
        with pytest.raises(BundleError, match="leaves out those that it has"):
            check_model(msgspec.structs.replace(placing, visibility=unread))
    read = msgspec.structs.replace(spec.visibility, evidence=EvidenceSpec(1.0, 1, 0.07, hidden=-1.0))
    check_model(msgspec.structs.replace(placing, visibility=read))
    check_model(msgspec.structs.replace(placing, visibility=None))


def test_stride_zero(spec: ModelSpec) -> None:
    with pytest.raises(BundleError, match="stride"):
        check_model(msgspec.structs.replace(spec, stride=0))
