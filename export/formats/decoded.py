"""The graph of a bundle in standard operators alone, with the decode at its end.

Added is the output `keypoints` float32 [B, K, 3]: x, y in crop pixels (pixel centres at integers) and P(visible), of
the best peak, by the formulas of `coke_edge/decode.py`. Of a model with maps of hidden keypoints there is `hidden`
float32 [B, K, 2], too: x and y of the best peak there.

    step = (after − before) / (2·((q − before) + (q − after)))     per axis, within ±½; 0 at the border of the map
    xy   = (cell + step + ½)·stride − ½
    P    = σ(a·s + b·c + d·ĉ + f·e + g·h + bias_k)                 e and h, the evidence, only if the model reads it

A keypoint without a peak has x = y = NaN and P = 0; without calibration P is NaN. The head's own outputs stay.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import onnx_ir as ir
import onnxscript
from onnx import inliner
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from coke_edge.export.head import DOMAIN, INFINITY, OPSET, VERSION, Op
from coke_edge.kernels.reference import Peaks
from coke_edge.manifest import EvidenceSpec, ModelSpec, VisibilitySpec

KEYPOINTS, HIDDEN = "keypoints", "hidden"
FUNCTION = "Decode"

Value = ir.Value


def decoded_graph(graph: bytes, spec: ModelSpec) -> onnx.ModelProto:
    """A bundle's graph with the outputs of the decode in front, without functions and without metadata."""
    model = ir.from_proto(onnx.load_from_string(graph))
    function = decode_function(spec, model.opset_imports.get("", OPSET))
    outputs = {value.name: value for value in model.graph.outputs}
    shape = [outputs["index"].shape[0], len(spec.keypoints.names)]  # type: ignore[index]
    columns = {KEYPOINTS: 3, HIDDEN: 2} if spec.hidden_maps else {KEYPOINTS: 3}
    found = [
        ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([*shape, count]))
        for name, count in columns.items()
    ]
    given = [outputs[name] for name in Peaks._fields]
    model.graph.append(ir.node(FUNCTION, given, domain=DOMAIN, outputs=found, name="decode"))
    model.graph.outputs[:0] = found
    model.functions[function.identifier()] = function
    model.opset_imports[DOMAIN] = VERSION
    plain = ir.from_proto(inliner.inline_local_functions(ir.to_proto(model)))
    plain.opset_imports.pop(DOMAIN, None)
    ClearMetadataAndDocStringPass()(plain)
    proto = ir.to_proto(plain)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def decode_function(spec: ModelSpec, opset: int) -> ir.Function:
    """`coke::Decode`: the outputs of the head → keypoints [B, K, 3] and, if there are such maps, hidden [B, K, 2]."""
    columns, count = spec.input.width // spec.stride, len(spec.keypoints.names)

    def body(
        op: Op, index: Value, similarity: Value, clutter: Value, soft_clutter: Value, neighbourhood: Value
    ) -> list[Value]:
        def best(values: Value) -> Value:
            """[B, R, M, …] → [B, R, 1, …]."""
            return op.Slice(values, [0], [1], [2])

        def seen(values: Value) -> Value:
            """Of R maps those of visible keypoints: [B, R, …] → [B, K, …]."""
            return op.Slice(values, [0], [count], [1]) if spec.hidden_maps else values

        def hidden(values: Value) -> Value:
            """Those of hidden ones."""
            return op.Slice(values, [count], [2 * count], [1])

        found = op.GreaterOrEqual(best(index), 0)  # [B, R, 1]
        cell = op.Where(found, best(index), 0)
        row = op.Div(cell, columns)
        column = op.Sub(cell, op.Mul(row, columns))
        cells = op.Cast(op.Concat(column, row, axis=-1), to=ir.DataType.FLOAT)  # [B, R, 2]
        step = sub_cell(op, op.Reshape(best(neighbourhood), [0, 0, 9]))
        xy = op.Sub(op.Mul(op.Add(op.Add(cells, step), 0.5), float(spec.stride)), 0.5)
        unknown = op.Constant(value_float=float("nan"))
        p = unknown
        if spec.visibility:
            quantities = [seen(best(quantity)) for quantity in (similarity, clutter, soft_clutter)]
            if spec.visibility.evidence:
                total = evidence(op, spec.visibility.evidence, neighbourhood)
                quantities += [seen(total), hidden(total)] if spec.hidden_maps else [total]
            p = visible(op, spec.visibility, quantities)
        xy = op.Where(found, xy, unknown)
        keypoints = op.Concat(seen(xy), op.Where(seen(found), p, 0.0), axis=-1)
        return [keypoints, hidden(xy)] if spec.hidden_maps else [keypoints]

    return onnxscript.build_function(
        body,
        [
            ir.Value(
                name=name,
                type=ir.TensorType(ir.DataType.INT32 if name == "index" else ir.DataType.FLOAT),
            )
            for name in Peaks._fields
        ],
        domain=DOMAIN,
        name=FUNCTION,
        opset_imports={"": opset},
    )


def sub_cell(op: Op, around: Value) -> Value:
    """The score around a cell [B, R, 9] → (x, y) [B, R, 2] in cells, −½ … ½.

    Differences of neighbouring scores are exact in float32, so they are formed first.
    """
    centre, before, after = (op.Gather(around, places, axis=-1) for places in ([4, 4], [3, 1], [5, 7]))
    known = None
    for value in (centre, before, after):
        finite = op.Less(op.Abs(value), INFINITY)
        known = op.And(known, finite) if known else finite
    bend = op.Add(op.Sub(centre, before), op.Sub(centre, after))
    curved = op.And(known, op.Greater(bend, 0.0))
    step = op.Div(op.Sub(after, before), op.Mul(op.Where(curved, bend, 1.0), 2.0))
    return op.Clip(op.Where(curved, step, 0.0), -0.5, 0.5)


def evidence(op: Op, spec: EvidenceSpec, neighbourhood: Value) -> Value:
    """e [B, R, 1] of the scores around the peaks [B, R, M, 3, 3]; the best peak's own is the largest of them."""
    q = op.Reshape(op.Slice(neighbourhood, [0], [spec.peaks], [2]), [0, 0, 9 * spec.peaks])
    top = op.Slice(q, [4], [5], [2])
    exponents = op.Div(op.Sub(q, top), spec.temperature)
    return op.Add(top, op.Mul(op.Log(op.ReduceSum(op.Exp(exponents), [-1], keepdims=1)), spec.temperature))


def visible(op: Op, calibration: VisibilitySpec, quantities: Sequence[Value]) -> Value:
    """P(visible) [B, K, 1] from the quantities [B, K, 1] that it reads."""
    logit = op.Reshape([float(bias) for bias in calibration.bias], [1, -1, 1])
    for slope, quantity in zip(calibration.slopes, quantities, strict=True):
        logit = op.Add(logit, op.Mul(quantity, float(slope)))
    return op.Sigmoid(logit)
