"""What the head takes of a bundle's graph: `python -m coke_edge.benchmarks.head_share BUNDLE [--precision int8]`.

The graph as it is and the same graph ended at the features are called in turns, each once for its caches and once for
the clock. What a turn differs by is the head's: no profiler stands between, which `coke-edge bench` needs for its split
and which slows the head's many small nodes down the most.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from coke_edge.backends.onnxruntime import INPUT, graph_entry, session_options
from coke_edge.benchmarks.environment import processor
from coke_edge.bundle import Bundle
from coke_edge.export.head import DOMAIN, NAME

REPLICATES = 2000
Samples = NDArray[np.float64]


def without_head(graph: bytes) -> bytes:
    """The model ended at what its `coke::Match` reads. Raises ValueError if it has none."""
    model = onnx.load_from_string(graph)
    match = next((n for n in model.graph.node if (n.domain, n.op_type) == (DOMAIN, NAME)), None)
    if match is None:
        raise ValueError(f"the graph has no node {DOMAIN}::{NAME}; export it with this version")
    keep = [node for node in model.graph.node if node is not match]
    features = onnx.helper.make_tensor_value_info(match.input[0], onnx.TensorProto.FLOAT, None)
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.extend(keep)
    model.graph.output.append(features)
    return bytes(model.SerializeToString())


def take_turns(sessions: list[Any], images: NDArray[np.uint8], rounds: int) -> Samples:
    """Milliseconds [rounds, sessions], every other round backwards."""
    samples = np.empty((rounds, len(sessions)))
    for number in range(rounds):
        for which in range(len(sessions))[:: -1 if number % 2 else 1]:
            sessions[which].run(None, {INPUT: images})
            start = time.perf_counter()
            sessions[which].run(None, {INPUT: images})
            samples[number, which] = 1e3 * (time.perf_counter() - start)
    return samples


def head_of(samples: Samples) -> tuple[float, float, float]:
    """The head's part of the whole, 0 … 1, with its 95 % interval, from samples [rounds, whole | without]."""
    draws = np.random.default_rng(0).integers(0, len(samples), (REPLICATES, len(samples)))

    def part(rounds: Samples) -> Any:
        return np.median(rounds[..., 0] - rounds[..., 1], axis=-1) / np.median(rounds[..., 0], axis=-1)

    low, high = np.quantile(part(samples[draws]), (0.025, 0.975))
    return float(part(samples)), float(low), float(high)


def main() -> None:
    """Measure and print one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", nargs="?", default="demo")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=400)
    arguments = parser.parse_args()
    bundle = Bundle(arguments.bundle)
    graph, size = bundle.read(graph_entry(bundle, arguments.precision)), bundle.manifest.model.input
    options = session_options(arguments.threads)
    sessions = [
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for model in (graph, without_head(graph))
    ]
    images = np.random.default_rng(0).integers(0, 256, (1, size.height, size.width, 3), np.uint8)
    take_turns(sessions, images, 20)
    samples = take_turns(sessions, images, arguments.rounds)
    middle, low, high = head_of(samples)
    whole, without = np.median(samples, axis=0)
    print(
        f"{processor()}, {arguments.precision}, {arguments.threads} threads: {whole:.2f} ms with the head, "
        f"{without:.2f} without; the head: {100 * middle:.1f} % of the whole ({100 * low:.1f} to {100 * high:.1f})"
    )


if __name__ == "__main__":
    main()
