"""The head's ONNX function on its own, and a small model with random weights."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from coke_edge.export import graph
from coke_edge.export.banks import Banks
from coke_edge.export.head import DOMAIN, NAME, OPSET, VERSION, attributes, match_function
from coke_edge.kernels.reference import Peaks
from coke_edge.kernels.spec import HeadSpec
from coke_edge.manifest import EvidenceSpec, InputSpec, Keypoints2D, ModelSpec, VisibilitySpec
from coke_edge.train.checkpoint import Checkpoint
from coke_edge.train.model import CokeModel
from coke_edge.train.recipe import Recipe

Array = NDArray[np.generic]
RunHead = Callable[..., Peaks]


def head_model(
    head: HeadSpec,
    clutter_rows: int,
    weighted: bool,
    features: int,
    map_size: tuple[int, int] | None = None,
) -> onnx.ModelProto:
    """A model of the node alone, all its inputs free; no dimension is known to it beside the function's."""
    function = ir.to_proto(match_function(head, clutter_rows, weighted, map_size))
    given = [f"{name}_in" for name in function.input]  # an output is called clutter, too
    node = helper.make_node(NAME, given, Peaks._fields, domain=DOMAIN, **attributes(head))
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT if place else features, [None] * rank)
        for place, (name, rank) in enumerate(zip(given, (4, 2, 2, 1), strict=False))
    ]
    outputs = [
        helper.make_tensor_value_info(
            name,
            TensorProto.INT32 if name == "index" else TensorProto.FLOAT,
            [None] * (5 if name == "neighbourhood" else 3),
        )
        for name in Peaks._fields
    ]
    graph = helper.make_graph([node], "head", inputs, outputs)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, VERSION)]
    return helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=10)


@functools.lru_cache(maxsize=256)
def head_session(
    head: HeadSpec,
    clutter_rows: int,
    weighted: bool,
    features: int,
    map_size: tuple[int, int] | None = None,
) -> onnxruntime.InferenceSession:
    """The node in ONNX Runtime."""
    model = head_model(head, clutter_rows, weighted, features, map_size)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@pytest.fixture(scope="session")
def run_head() -> RunHead:
    """`match` of numpy's signature, computed by ONNX Runtime from the function in standard operators."""

    def run(
        features: Array,
        prototypes: Array,
        clutter: Array,
        head: HeadSpec,
        counts: Array | None = None,
        size_known: bool = False,
    ) -> Peaks:
        kind = helper.np_dtype_to_tensor_dtype(features.dtype)
        height, width = features.shape[2:]
        size = (height, width) if size_known else None
        session = head_session(head, len(clutter), counts is not None, kind, size)
        arrays = [features, prototypes, clutter, *([] if counts is None else [counts])]
        names = [node.name for node in session.get_inputs()]
        return Peaks(*session.run(list(Peaks._fields), dict(zip(names, arrays, strict=True))))

    return run


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    """A small network with random weights and a random clutter bank; its keypoints mean nothing."""
    return random_checkpoint(placement=0.0)


@pytest.fixture(scope="session")
def placing() -> Checkpoint:
    """The same with prototypes of hidden keypoints, and a P(visible) that says "hidden" about as often as not."""
    made = random_checkpoint(placement=0.5)
    evidence = EvidenceSpec(1.0, 2, 0.07, hidden=-1.0)
    visibility = VisibilitySpec(0.0, 0.0, 0.0, (0.0, 0.02, -0.02), evidence)
    head = dataclasses.replace(made.spec.head, peaks=2)
    return dataclasses.replace(
        made, spec=msgspec.structs.replace(made.spec, head=head, visibility=visibility)
    )


def random_checkpoint(placement: float) -> Checkpoint:
    recipe = Recipe(
        backbone="test_efficientnet",
        pretrained="none",
        channels=16,
        width=96,
        height=64,
        clutter_size=24,
        placement=placement,
    )
    torch.manual_seed(0)
    model = CokeModel(recipe, 3).eval()
    model.mean.copy_(torch.tensor([0.2, 0.5, 0.7]))  # different, so that swapped channels show
    model.std.copy_(torch.tensor([0.1, 0.3, 0.6]))
    model.clutter_bank.push(torch.nn.functional.normalize(torch.randn(24, 16), dim=1))
    spec = ModelSpec(
        keypoints=Keypoints2D(("nose", "left ear", "right ear")),
        input=InputSpec(96, 64, 1.2, (120, 110, 100), tuple(model.mean.tolist()), tuple(model.std.tolist())),
        stride=8,
        head=HeadSpec("log_odds", 0.07, 0.005),
        hidden_maps=model.hidden_maps,
    )
    model.requires_grad_(False)
    return Checkpoint(
        model, spec, recipe, {"data": "lsp:/home/someone/lsp", "epochs": 2, "pck": {"0.2": 61.5}}
    )


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ten smooth random pictures of 80×120 pixels."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(10):
        coarse = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)
        cv2.imwrite(
            str(folder / f"{number}.png"), cv2.resize(coarse, (120, 80), interpolation=cv2.INTER_CUBIC)
        )
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="session")
def exported_bytes(checkpoint: Checkpoint) -> bytes:
    """What torch exports of the small network: some seconds, so only once."""
    return graph.serialise(ir.to_proto(graph.export_features(checkpoint.model, checkpoint.spec)))


@pytest.fixture
def exported_features(exported_bytes: bytes) -> ir.Model:
    """A copy of torch's export, to be changed at will."""
    return ir.from_proto(onnx.load_from_string(exported_bytes))


@pytest.fixture
def exported_once(exported_bytes: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `build_graph` start from a copy of torch's export, in tests that are about what comes after it."""
    monkeypatch.setattr(
        graph, "export_features", lambda *_: ir.from_proto(onnx.load_from_string(exported_bytes))
    )


@pytest.fixture(scope="session")
def float32_graph(checkpoint: Checkpoint, exported_bytes: bytes) -> onnx.ModelProto:
    """The whole small network; copy it before changing it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            graph, "export_features", lambda *_: ir.from_proto(onnx.load_from_string(exported_bytes))
        )
        return graph.build_graph(checkpoint.model, checkpoint.spec, Banks.of(checkpoint.model))


@pytest.fixture(scope="session")
def images() -> NDArray[np.uint8]:
    """Smooth random crops [12, 64, 96, 3]."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 8, 12, 3), dtype=np.uint8)
    return np.stack([cv2.resize(image, (96, 64), interpolation=cv2.INTER_CUBIC) for image in coarse])
