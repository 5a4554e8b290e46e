"""ONNX Runtime on the CPU: OpenCV warps, the graph does the rest, uint8 crops in and peaks out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coke_edge.bundle import Bundle
from coke_edge.errors import BackendError
from coke_edge.geometry import Affine
from coke_edge.kernels.reference import Peaks
from coke_edge.manifest import InputSpec, ModelSpec
from coke_edge.preprocess import crop

if TYPE_CHECKING:
    import onnxruntime

GRAPH = "model.fp32.onnx"
INPUT = "image"
OUTPUTS = list(Peaks._fields)


class OnnxRuntimeBackend:
    """The graph of a bundle in an ONNX Runtime session."""

    name = "onnxruntime"

    def __init__(self, session: onnxruntime.InferenceSession, spec: InputSpec) -> None:
        self._session = session
        self._spec = spec

    def __call__(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> Peaks:
        """See `Backend`."""
        images = np.stack([crop(frame, affine, self._spec) for affine in crops])  # [B, height, width, 3]
        return Peaks(*self._session.run(OUTPUTS, {INPUT: images}))


def load(bundle: Bundle, threads: int) -> OnnxRuntimeBackend:
    """The backend for the fp32 graph of a bundle. Raises BackendError if it cannot be run."""
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            f"cannot import onnxruntime ({error}); `pip install onnxruntime` installs it"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors alone: warnings about the optimiser do not concern the user
    try:
        session = onnxruntime.InferenceSession(
            bundle.read(GRAPH), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its exceptions share no base class of their own
        reason = str(error).splitlines()[0]
        raise BackendError(
            f"onnxruntime {onnxruntime.__version__} refuses {GRAPH} of {bundle.path}: {reason}"
        ) from None
    check_signature(session, bundle.manifest.model)
    return OnnxRuntimeBackend(session, bundle.manifest.model.input)


def check_signature(session: Any, model: ModelSpec) -> None:
    """Raises BackendError unless inputs and outputs of the graph are what the manifest says."""
    count, peaks = len(model.keypoints.names), model.head.peaks
    expected = {INPUT: ("tensor(uint8)", [model.input.height, model.input.width, 3])}
    expected |= {name: ("tensor(float)", [count, peaks]) for name in OUTPUTS}
    expected["index"] = ("tensor(int32)", [count, peaks])
    expected["neighbourhood"] = ("tensor(float)", [count, peaks, 3, 3])
    found = {node.name: node for node in (*session.get_inputs(), *session.get_outputs())}
    if found.keys() != expected.keys():
        raise BackendError(
            f"the graph has {', '.join(found)} where {', '.join(expected)} belong; export it again"
        )
    for name, (kind, shape) in expected.items():
        node = found[name]
        fixed = [a == b or isinstance(a, str | None) for a, b in zip(node.shape[1:], shape, strict=False)]
        if node.type != kind or len(node.shape) != 1 + len(shape) or not all(fixed):
            raise BackendError(
                f"{name} of the graph is {node.type} {node.shape} where the manifest says {kind} "
                f"[B, {', '.join(map(str, shape))}]; export it again"
            )
