"""Every graph that was asked for, each with its verdict; failing ones with a cure or a culprit."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from coke_edge.errors import ExportError
from coke_edge.export import variants as module
from coke_edge.export.banks import Banks
from coke_edge.export.crops import Crop
from coke_edge.export.expected import torch_results
from coke_edge.export.variants import Makings, outliers, spread_images, variants
from coke_edge.export.verdict import LIMITS, Limits
from coke_edge.train.checkpoint import Checkpoint

# A network with random weights has keypoints that mean nothing, and flips between equally bad ones.
LENIENT = {
    name: msgspec.structs.replace(limits, pck_drop=60.0, median=20.0, p99=None)
    for name, limits in LIMITS.items()
}


@pytest.fixture(scope="module")
def makings(checkpoint: Checkpoint, float32_graph: onnx.ModelProto, images: NDArray[np.uint8]) -> Makings:
    crops = [Crop(f"{i}.png", image) for i, image in enumerate(images)]
    banks = Banks.of(checkpoint.model)
    expected = torch_results(checkpoint.model, checkpoint.spec, banks, crops)
    return Makings(float32_graph, checkpoint.spec, expected)


def test_int8_means_two_graphs(makings: Makings) -> None:
    steps: list[str] = []
    found = list(variants(makings, ["fp32", "fp16", "int8"], LENIENT, steps.append))
    assert [variant.precision for variant in found] == ["fp32", "fp16", "int8", "uint8"]
    assert all(variant.verdict.passed for variant in found)
    assert steps.count("calibrating") == 1
    sizes = {variant.precision: len(variant.graph) for variant in found}
    assert sizes["uint8"] < sizes["fp32"]
    verdict = found[1].verdict
    assert verdict.limits == LENIENT["fp16"]
    assert verdict.pck is not None
    assert (verdict.pck.truth, verdict.pck.torch) == ("torch", 100.0)


def test_sensitive_layers_are_kept_until_it_passes(makings: Makings, monkeypatch: pytest.MonkeyPatch) -> None:
    def bad_with_fewer_than_four(graph: Any, ranges: Any, kept: Any = ()) -> onnx.ModelProto:
        coarse = {name: (9 * low, 9 * high) for name, (low, high) in ranges.items()}
        return to_int8(graph, ranges if len(kept) > 3 else coarse, kept)

    to_int8 = module.QUANTISERS["int8"]
    monkeypatch.setitem(module.QUANTISERS, "int8", bad_with_fewer_than_four)
    limits = {"int8": msgspec.structs.replace(LENIENT["int8"], median=0.6)}
    (found, _) = variants(makings, ["int8"], {**LENIENT, **limits})
    assert found.verdict.passed
    assert 4 <= len(found.verdict.kept) < 8
    assert found.verdict.blame is None


def test_one_that_cannot_pass_names_the_layer(makings: Makings) -> None:
    impossible = Limits(pixels=1e-9)
    (found,) = variants(makings, ["fp8"], {"fp8": impossible})
    assert not found.verdict.passed
    assert found.verdict.blame is not None
    assert found.verdict.blame.error > found.verdict.blame.next_error > 0
    assert "the worst images are" in found.verdict.culprits()


def test_outliers() -> None:
    assert outliers({"a": 1.0, "b": 6.0, "c": 2.0, "d": 1.0}) == ["b", "c"]
    assert outliers(dict.fromkeys("abcdefgh", 1.0)) == []


def test_an_unknown_precision(makings: Makings) -> None:
    with pytest.raises(ExportError, match="there is no precision 'int4'; choose from fp32, fp16, int8, fp8"):
        list(variants(makings, ["int4"]))


def test_spread_images(makings: Makings, images: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(spread_images(makings.expected, 100), images)
    np.testing.assert_array_equal(spread_images(makings.expected, 2), images[[0, 11]])
