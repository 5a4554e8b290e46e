"""The head on a processor: the numpy definition, its torch twin, plain torch, and the ONNX function."""

from __future__ import annotations

from typing import Any

import numpy as np

from coke_edge.benchmarks.forms import Form, Inputs, eager, matmul_and_max
from coke_edge.benchmarks.timing import Call
from coke_edge.kernels import reference, torch_reference
from coke_edge.kernels.reference import Peaks


def cpu_forms(threads: int) -> dict[str, Form]:
    """All forms for float32 inputs, ONNX Runtime with `threads` threads as torch is set to."""
    return {
        "numpy definition": definition,
        "torch twin": twin,
        "torch eager": eager,
        "matmul + max": matmul_and_max,
        "ONNX Runtime": lambda inputs: onnx_runtime(inputs, threads),
    }


def definition(inputs: Inputs) -> Call:
    """`kernels/reference.py`: everything, for every cell."""
    x, theta, beta = (t.numpy() for t in (inputs.features, inputs.prototypes, inputs.clutter))
    return lambda: reference.match(x, theta, beta, inputs.size.head)


def twin(inputs: Inputs) -> Call:
    """`kernels/torch_reference.py`: the same in torch."""
    head = inputs.size.head
    return lambda: torch_reference.match(inputs.features, inputs.prototypes, inputs.clutter, head)


def onnx_runtime(inputs: Inputs, threads: int) -> Call:
    """The function of `coke::Match` in ONNX Runtime; it meets the clutter bank no more than the rule needs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(head_model(inputs), options, providers=["CPUExecutionProvider"])
    arrays = [np.ascontiguousarray(t.numpy()) for t in (inputs.features, inputs.prototypes, inputs.clutter)]
    feed = {node.name: array for node, array in zip(session.get_inputs(), arrays, strict=False)}
    return lambda: session.run(None, feed)


def head_model(inputs: Inputs) -> bytes:
    """An ONNX model of the head alone, float32, for the shapes of the inputs."""
    import onnx_ir as ir
    from onnx import TensorProto, helper

    from coke_edge.export.head import DOMAIN, NAME, OPSET, VERSION, attributes, match_function

    head = inputs.size.head
    function = ir.to_proto(match_function(head, inputs.size.rows, weighted=False))
    tensors = (inputs.features, inputs.prototypes, inputs.clutter)
    given = [
        helper.make_tensor_value_info(f"{name}_in", TensorProto.FLOAT, list(tensor.shape))
        for name, tensor in zip(function.input, tensors, strict=True)
    ]
    results = [
        helper.make_tensor_value_info(
            name,
            TensorProto.INT32 if name == "index" else TensorProto.FLOAT,
            [None] * (5 if name == "neighbourhood" else 3),
        )
        for name in Peaks._fields
    ]
    constants: dict[str, Any] = attributes(head)
    names = [value.name for value in given]
    node = helper.make_node(NAME, names, list(Peaks._fields), domain=DOMAIN, **constants)
    model = helper.make_model(
        helper.make_graph([node], "head", given, results),
        functions=[function],
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, VERSION)],
        ir_version=10,
    )
    return bytes(model.SerializeToString())
