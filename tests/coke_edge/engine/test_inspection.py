from __future__ import annotations

import json
from typing import Any

import pytest

from coke_edge.bundle import Bundle
from coke_edge.engine.build import build
from coke_edge.engine.context import Engine
from coke_edge.engine.inspection import Layers, count
from coke_edge.engine.provider import Provider
from coke_edge.engine.spec import EngineSpec


def layer(kind: str, *inputs: str, name: str = "x", **more: str) -> dict[str, Any]:
    return {"Name": name, "LayerType": kind, "Inputs": [{"Format/Datatype": text} for text in inputs], **more}


def counted(*layers: Any) -> Layers | None:
    return count(json.dumps({"Layers": list(layers), "Bindings": []}))


@pytest.mark.parametrize(
    ("words", "precision"),
    [
        ("Row major linear FP32", "fp32"),
        ("Float", "fp32"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"),
        ("Half", "fp16"),
        ("Thirty-two wide channel vectorized row major Int8 format.", "int8"),
        ("Int8", "int8"),
        ("FP8", "fp8"),
        ("E4M3FN", "fp8"),
        ("BFloat16", "bf16"),
        ("Row major linear BF16 format", "bf16"),
    ],
)
def test_both_vocabularies(words: str, precision: str) -> None:
    assert counted(layer("CaskConvolution", words)) == Layers({precision: 1}, {precision: 1})


def test_copies_and_indices_do_not_count() -> None:
    found = counted(
        layer("Reformat", "Float"),
        layer("NoOp", "Half"),
        layer("Constant"),
        layer("TopK", "Row major Int32 format"),
        layer("gemm", "Half", "Half"),
        layer("kgen", "Float", "Half", name="__myl_CastMulAdd"),
        layer("kgen", "Int8", "Float", TacticName="sm87_xmma_fprop_conv_i8i8"),
    )
    assert found == Layers({"int8": 1, "fp16": 2}, {"int8": 1, "fp16": 1})
    assert found.lack("fp32")
    assert not found.lack("int8")


STRANGE = '{"Layers": [{"Name": "a", "Inputs": null}, {"Inputs": ["Half"]}]}'


@pytest.mark.parametrize(
    "text",
    ["", '{"Layers": null}', "no JSON", "[]", '{"Layers": ["conv1", "conv2"]}', '{"Layers": []}', STRANGE],
)
def test_nothing_is_known_without_details(text: str) -> None:
    assert count(text) is None


def test_an_engine_is_read_back(trt: Provider, colours: Bundle) -> None:
    graph = colours.read("model.fp32.onnx")
    found = Engine(trt, build(trt, graph, EngineSpec("fp32", "standard"))).layers()
    assert found is not None
    assert found.all.keys() == {"fp32"}
