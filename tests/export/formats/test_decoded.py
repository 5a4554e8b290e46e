"""The decode in the graph against `coke_edge.decode`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from coke_edge.bundle import Bundle
from coke_edge.decode import decode
from coke_edge.export.banks import Banks
from coke_edge.export.formats.decoded import FUNCTION, decode_function, decoded_graph
from coke_edge.export.formats.sidecar import outputs_of
from coke_edge.export.graph import build_graph, serialise
from coke_edge.export.head import DOMAIN, OPSET, VERSION
from coke_edge.kernels.reference import Peaks, ScoreMaps, find_peaks
from coke_edge.kernels.spec import HeadSpec
from coke_edge.manifest import EvidenceSpec, InputSpec, Keypoints2D, ModelSpec, VisibilitySpec
from coke_edge.train.checkpoint import Checkpoint

IDENTITY = np.eye(2, 3)
SPEC = ModelSpec(
    Keypoints2D(("a", "b", "c")),
    InputSpec(96, 64, 1.2, (0, 0, 0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    8,
    HeadSpec("similarity", 0.07, 0.005, 3),
    VisibilitySpec(9.5, 2.0, -4.0, (-3.0, 0.0, 3.0), EvidenceSpec(3.0, 2, 0.07)),
)

PLACING = msgspec.structs.replace(
    SPEC,
    hidden_maps=True,
    visibility=VisibilitySpec(2.0, 1.0, -1.0, (-0.4, 0.0, 0.4), EvidenceSpec(3.0, 2, 0.07, hidden=-4.0)),
)


def session(data: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module", params=[SPEC, PLACING], ids=["seen", "seen and hidden"])
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    return request.param


@pytest.fixture(scope="module")
def run_decode(spec: ModelSpec) -> Any:
    """`coke::Decode` on its own: peaks → keypoints [B, 3, 3]."""
    function = ir.to_proto(decode_function(spec, OPSET))
    inputs = [
        helper.make_tensor_value_info(
            name,
            TensorProto.INT32 if name == "index" else TensorProto.FLOAT,
            [None] * (5 if name == "neighbourhood" else 3),
        )
        for name in Peaks._fields
    ]
    names = ["keypoints", "hidden"] if spec.hidden_maps else ["keypoints"]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 3) for name in names]
    node = helper.make_node(FUNCTION, Peaks._fields, names, domain=DOMAIN)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, VERSION)]
    graph = helper.make_graph([node], "decode", inputs, outputs)
    model = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    runner = session(model.SerializeToString())
    return lambda peaks: runner.run(None, peaks._asdict())


def assert_equals_the_decode(
    keypoints: Any, peaks: Peaks, spec: ModelSpec, hidden: Sequence[Any] = ()
) -> None:
    """x, y within 1e-3 px and P(visible) within 1e-6, NaN where the decode has NaN."""
    objects = decode(peaks, [IDENTITY] * len(keypoints), spec)
    assert bool(len(hidden)) == spec.hidden_maps
    for actual, expected in zip(hidden, objects, strict=False):
        np.testing.assert_allclose(actual, expected.hidden_xy, rtol=0, atol=1e-3)
    for actual, expected in zip(keypoints, objects, strict=True):
        np.testing.assert_allclose(actual[:, :2], expected.xy, rtol=0, atol=1e-3)
        np.testing.assert_allclose(actual[:, 2], expected.visible, rtol=0, atol=1e-6)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    flat=st.sampled_from((1.0, 1e-2, 1e-4)),
    batch=st.sampled_from((1, 3)),
    missing=st.booleans(),
    holes=st.booleans(),
)
def test_equals_the_decode(
    run_decode: Any, spec: ModelSpec, seed: int, flat: float, batch: int, missing: bool, holes: bool
) -> None:
    """Steep and nearly flat peaks, at the border too; cells without a score; keypoints without a peak."""
    rng = np.random.default_rng(seed)
    score = (0.8 + flat * rng.uniform(-0.1, 0.1, (batch, spec.maps, 8, 12))).astype(np.float32)
    if holes:
        score[rng.random(score.shape) < 0.3] = -np.inf
    if missing:
        score[0, 1::3] = -np.inf
    similarity, soft = rng.uniform(-1, 1, (2, *score.shape)).astype(np.float32)
    peaks = find_peaks(ScoreMaps(score, similarity, similarity[:, 0], soft[:, 1]), 3)
    keypoints, *hidden = run_decode(peaks)
    assert_equals_the_decode(keypoints, peaks, spec, *hidden)


def test_a_keypoint_without_a_peak(run_decode: Any, spec: ModelSpec) -> None:
    zero = np.zeros((1, 8, 12), np.float32)
    score = np.full((1, spec.maps, 8, 12), -np.inf, np.float32)
    keypoints, *hidden = run_decode(find_peaks(ScoreMaps(score, score, zero, zero), 3))
    assert keypoints.shape == (1, 3, 3)
    assert all(np.isnan(places).all() for places in hidden)
    assert np.isnan(keypoints[..., :2]).all()
    assert (keypoints[..., 2] == 0).all()


@pytest.mark.parametrize("rule", ["similarity", "log_odds"])
@pytest.mark.parametrize(("peaks", "calibrated", "rows"), [(1, True, 24), (4, False, 24), (1, True, 6)])
def test_the_whole_graph(make_bundle: Any, rule: str, peaks: int, calibrated: bool, rows: int) -> None:
    bundle: Bundle = make_bundle(peaks=peaks, calibrated=calibrated, rule=rule, rows=rows)
    spec = bundle.manifest.model
    graph = decoded_graph(bundle.read("model.fp32.onnx"), spec)
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 96, 3), dtype=np.uint8)
    keypoints, *found = session(graph.SerializeToString()).run(None, {"image": images})
    before = session(bundle.read("model.fp32.onnx")).run(list(Peaks._fields), {"image": images})
    for actual, expected in zip(found, before, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)
    assert keypoints.dtype == np.float32
    assert_equals_the_decode(keypoints, Peaks(*found), spec)
    assert np.isnan(keypoints[..., 2]).all() == (not calibrated)


def test_the_whole_graph_of_a_model_that_places_hidden_keypoints(placing: Checkpoint) -> None:
    spec = placing.spec
    built = serialise(build_graph(placing.model, spec, Banks.of(placing.model)))
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 96, 3), dtype=np.uint8)
    run = session(decoded_graph(built, spec).SerializeToString())
    assert [output.name for output in run.get_outputs()] == ["keypoints", "hidden", *Peaks._fields]
    assert [output.shape[1:] for output in run.get_outputs()[:3]] == [[3, 3], [3, 2], [6, 2]]
    told = {name: one["shape"] for name, one in outputs_of(spec).items()}
    assert told == {output.name: output.shape for output in run.get_outputs()}  # beside the file
    keypoints, hidden, *found = run.run(None, {"image": images})
    assert_equals_the_decode(keypoints, Peaks(*found), spec, hidden)


def test_standard_operators_alone_and_no_metadata(bundle: Bundle) -> None:
    graph = decoded_graph(bundle.read("model.fp32.onnx"), bundle.manifest.model)
    assert not graph.functions
    assert {node.domain for node in graph.graph.node} == {""}
    assert [(opset.domain, opset.version) for opset in graph.opset_import] == [("", OPSET)]
    assert not graph.metadata_props
    assert not graph.graph.doc_string
    assert not any(node.doc_string or node.metadata_props for node in graph.graph.node)
    (image,) = graph.graph.input
    assert image.name == "image"
    assert [value.name for value in graph.graph.output] == ["keypoints", *Peaks._fields]
    assert [dim.dim_param or dim.dim_value for dim in graph.graph.output[0].type.tensor_type.shape.dim] == [
        "batch",
        3,
        3,
    ]
