"""ONNX Runtime on the CPU: OpenCV warps, the graph does the rest, uint8 crops in and peaks out."""

from __future__ import annotations

import time
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

AUTO = "auto"
# By precision. int8 has a graph of its own for CPUs: their integer kernels want unsigned activations, GPUs signed ones.
GRAPHS = {"fp32": "model.fp32.onnx", "fp16": "model.fp16.onnx", "int8": "model.uint8.onnx"}
INPUT = "image"
OUTPUTS = list(Peaks._fields)


class OnnxRuntimeBackend:
    """The graph of a bundle in an ONNX Runtime session."""

    name = "onnxruntime"

    def __init__(
        self, session: onnxruntime.InferenceSession, spec: InputSpec, precision: str = "fp32"
    ) -> None:
        self._session = session
        self._spec = spec
        self.precision = precision
        if precision != "fp32":
            self.name = f"onnxruntime, {precision}"

    def __call__(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> Peaks:
        """See `Backend`."""
        return self.network(self.warp(frame, crops))

    def stages(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> tuple[Peaks, dict[str, float]]:
        """See `Staged`: "warp" and "network", as the graph holds backbone and head."""
        start = time.perf_counter()
        images = self.warp(frame, crops)
        between = time.perf_counter()
        peaks = self.network(images)
        end = time.perf_counter()
        return peaks, {"warp": 1e3 * (between - start), "network": 1e3 * (end - between)}

    def warp(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> NDArray[np.uint8]:
        """The crops uint8 [B, height, width, 3] BGR."""
        return np.stack([crop(frame, affine, self._spec) for affine in crops])

    def network(self, images: NDArray[np.uint8]) -> Peaks:
        """Backbone and head on crops [B, height, width, 3]."""
        return Peaks(*self._session.run(OUTPUTS, {INPUT: images}))


def load(bundle: Bundle, threads: int, precision: str = AUTO) -> OnnxRuntimeBackend:
    """The backend for one graph of a bundle: fp32 (and "auto" is fp32: the exact one), fp16 or int8.

    Raises BackendError if the bundle has no graph of that precision for CPUs, or it cannot be run.
    """
    precision = "fp32" if precision == AUTO else precision
    entry = graph_entry(bundle, precision)
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            f"cannot import onnxruntime ({error}); `pip install onnxruntime` installs it"
        ) from None
    try:
        session = onnxruntime.InferenceSession(
            bundle.read(entry), session_options(threads), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its exceptions share no base class of their own
        reason = str(error).splitlines()[0]
        raise BackendError(
            f"onnxruntime {onnxruntime.__version__} refuses {entry} of {bundle.path}: {reason}"
        ) from None
    check_signature(session, bundle.manifest.model)
    return OnnxRuntimeBackend(session, bundle.manifest.model.input, precision)


def graph_entry(bundle: Bundle, precision: str) -> str:
    """The entry with the graph of a precision. Raises BackendError if there is none."""
    if precision not in GRAPHS:
        raise BackendError(
            f"onnxruntime runs {', '.join(GRAPHS)} on the CPU, not {precision}; choose one of them or auto"
        )
    held = [name for name, entry in GRAPHS.items() if entry in bundle.manifest.entries]
    if precision not in held:
        raise BackendError(
            f"{bundle.path} has no {precision} graph for CPUs, only {', '.join(held)}; "
            f"`coke-edge export … --precision {','.join([*held, precision])}` makes one"
        )
    return GRAPHS[precision]


def session_options(threads: int = 0) -> onnxruntime.SessionOptions:
    """How sessions are set up here, and in the gate that a graph had to pass."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors alone: warnings about the optimiser do not concern the user
    # Without VNNI, x86's sums of 8-bit products saturate: right results before fast ones.
    options.add_session_config_entry("session.x64quantprecision", "1")
    # Threads that wait busily for the next frame would take the cores from OpenCV's warp, and from the user's program.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def check_signature(session: Any, model: ModelSpec) -> None:
    """Raises BackendError unless inputs and outputs of the graph are what the manifest says."""
    count, peaks = model.maps, model.head.peaks
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
