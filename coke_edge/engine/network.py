"""A bundle's graph as a TensorRT network: strongly typed, so that its precision is that of the graph.

The input is always the graph's own, `image` uint8 [B, height, width, 3]: what was gated is what runs. With the head
in kernels the tensor `features` becomes the only output, in channels-last memory, which is how convolutions on
tensor cores write it; TensorRT drops all that is not needed for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coke_edge.engine.provider import Provider, first_line
from coke_edge.engine.spec import Batch, EngineSpec
from coke_edge.errors import BackendError

IMAGE, FEATURES = "image", "features"
CAST = "features_cast"  # the output of an engine that ends at the features where they had another dtype


def parse(provider: Provider, builder: Any, graph: bytes, name: str) -> tuple[Any, Any]:
    """The network of an ONNX graph called `name`, and its parser, which must live as long.

    Raises BackendError, one sentence with the node and its operator, if TensorRT does not take it.
    """
    api = provider.api
    network = builder.create_network(1 << int(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = api.OnnxParser(network, provider.log)
    if not parser.parse(graph):
        raise BackendError(f"{provider.title} cannot take {name}: {parser_error(parser)}")
    return network, parser


def parser_error(parser: Any) -> str:
    """The first error of a parser as a clause."""
    if parser.num_errors == 0:
        return "its parser refused it without saying why"
    error = parser.get_error(0)
    said = first_line(error.desc())
    if error.node() < 0 or not error.node_operator():
        return said
    within = f" in the function of {calls[0]}" if (calls := error.local_function_stack()) else ""
    where = f"the node {error.node_name() or error.node()}{within} ({error.node_operator()})"
    if "UNSUPPORTED" in error.code().name or "Plugin not found" in said:
        return f"{where} is an operator that it does not support"
    return f"{where} is refused: {said}"


def end_at_features(provider: Provider, network: Any, spec: EngineSpec) -> None:
    """Make the features the only output, channels last, as the kernels take them.

    Raises BackendError if the graph has none.
    """
    api = provider.api
    tensor = features_of(provider, network, spec)
    layout = api.TensorFormat.HWC if spec.features == "fp32" else api.TensorFormat.HWC8
    replace_outputs(network, tensor)
    tensor.allowed_formats = 1 << int(layout)


def features_of(provider: Provider, network: Any, spec: EngineSpec) -> Any:
    """The features [B, C, H, W] in the dtype that the kernels take. Raises BackendError if the graph has none."""
    api = provider.api
    tensor = next((tensor for tensor in outputs(network) if tensor.name == FEATURES), None)
    if tensor is None:
        raise BackendError(f"{spec.graph} has no tensor called {FEATURES}; export it again")
    kind = {"fp32": api.DataType.FLOAT, "fp16": api.DataType.HALF}[spec.features]
    if tensor.dtype != kind:
        tensor = network.add_cast(tensor, kind).get_output(0)
        tensor.name = CAST
    return tensor


def replace_outputs(network: Any, tensor: Any) -> None:
    """Make a tensor the only output of a network."""
    for old in [network.get_output(index) for index in range(network.num_outputs)]:
        network.unmark_output(old)
    network.mark_output(tensor)


def outputs(network: Any) -> Iterator[Any]:
    """Every tensor that a layer of a network writes."""
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        for place in range(layer.num_outputs):
            yield layer.get_output(place)


def set_batch(builder: Any, network: Any, config: Any, batch: Batch) -> None:
    """The profile: how many crops the engine takes at a time. Raises BackendError for an input without a batch."""
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        first, *crop = tuple(tensor.shape)
        if first != -1 or -1 in crop:
            raise BackendError(
                f"the graph's input {tensor.name} is {[first, *crop]}, not a batch of crops of one size"
            )
        sizes = ((n, *crop) for n in (batch.smallest, batch.typical, batch.largest))
        profile.set_shape(tensor.name, *sizes)
    config.add_optimization_profile(profile)
