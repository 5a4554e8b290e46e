"""What values the tensors of a body take on real images: the ground for their scales."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from coke_edge.export.graph import IMAGE

Images = NDArray[np.uint8]  # [n, height, width, 3] BGR
Range = tuple[float, float]  # lowest and highest value

DIGITS = 4  # significant; the last bits depend on the number of threads and would reach the bundle's bytes


def float_tensors(body: onnx.ModelProto) -> list[str]:
    """The names of all float32 tensors that the nodes of a body compute."""
    types = {
        value.name: value.type.tensor_type.elem_type for value in (*body.graph.value_info, *body.graph.output)
    }
    computed = (name for node in body.graph.node for name in node.output)
    return [name for name in computed if types.get(name) == onnx.TensorProto.FLOAT]


def with_outputs(body: onnx.ModelProto, names: Sequence[str], element: int) -> onnx.ModelProto:
    """The body with these tensors, of one element type, as its outputs."""
    shown = onnx.ModelProto()
    shown.CopyFrom(body)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.helper.make_tensor_value_info(name, element, None) for name in names)
    return shown


def activation_ranges(body: onnx.ModelProto, images: Images) -> dict[str, Range]:
    """The lowest and highest value of every float tensor over the images, one image at a time."""
    import onnxruntime

    from coke_edge.backends.onnxruntime import session_options

    names = float_tensors(body)
    shown = with_outputs(body, names, onnx.TensorProto.FLOAT)
    session = onnxruntime.InferenceSession(
        shown.SerializeToString(), session_options(), providers=["CPUExecutionProvider"]
    )
    extremes = np.array(
        [
            [(tensor.min(), tensor.max()) for tensor in session.run(names, {IMAGE: image[None]})]
            for image in images
        ]
    )  # [n, tensors, 2]
    lowest, highest = extremes[..., 0].min(0), extremes[..., 1].max(0)
    return {
        name: (round_off(low), round_off(high))
        for name, low, high in zip(names, lowest, highest, strict=True)
    }


def round_off(value: float) -> float:
    """A number with DIGITS significant digits."""
    return float(f"{value:.{DIGITS}g}")
