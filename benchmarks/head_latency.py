"""How long the head alone takes in ONNX Runtime, by rule and size of the clutter bank:
`python -m coke_edge.benchmarks.head_latency CHECKPOINT [--threads N]`.

One crop at a time, on the CPU. Rules and sizes take turns, round by round, so that a noisy machine disturbs all of
them alike.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime

from coke_edge.benchmarks.environment import processor
from coke_edge.export.banks import Banks
from coke_edge.export.clutter import compress
from coke_edge.export.graph import FEATURES, IR_VERSION, append_head, serialise
from coke_edge.export.head import OPSET
from coke_edge.export.trained import network_of
from coke_edge.kernels.spec import Rule
from coke_edge.train.checkpoint import Checkpoint, load_checkpoint
from coke_edge.train.visibility import RULES

SIZES = (16, 64, 256, 1024)
WARM_UP, ROUNDS, PER_ROUND = 5, 20, 10


def head_session(checkpoint: Checkpoint, banks: Banks, rule: Rule, threads: int) -> Any:
    """`coke::Match` alone in ONNX Runtime: features in, peaks out."""
    spec = msgspec.structs.replace(checkpoint.spec, head=dataclasses.replace(checkpoint.spec.head, rule=rule))
    columns, lines = spec.input.width // spec.stride, spec.input.height // spec.stride
    shape = ir.Shape([1, banks.clutter.shape[1], lines, columns])
    features = ir.Value(name=FEATURES, type=ir.TensorType(ir.DataType.FLOAT), shape=shape)
    graph = ir.Graph([features], [features], nodes=[], opset_imports={"": OPSET}, name="head")
    model = ir.Model(graph, ir_version=IR_VERSION)
    append_head(model, spec, banks)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return onnxruntime.InferenceSession(serialise(proto), options, providers=["CPUExecutionProvider"])


def latency(checkpoint: Checkpoint, threads: int) -> None:
    """Milliseconds of the head by rule and size, one crop at a time; the sizes take turns, round by round."""
    spec, full = checkpoint.spec, Banks.of(network_of(checkpoint))
    shape = (1, full.clutter.shape[1], spec.input.height // spec.stride, spec.input.width // spec.stride)
    features = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    sizes = [*(size for size in SIZES if size < len(full.clutter)), len(full.clutter)]
    smaller = {rows: full if rows == len(full.clutter) else compress(full, rows) for rows in sizes}
    sessions = {
        (rule, rows): head_session(checkpoint, smaller[rows], rule, threads)
        for rule in RULES
        for rows in sizes
    }
    samples: dict[tuple[Rule, int], list[float]] = {key: [] for key in sessions}
    for number in range(ROUNDS + 1):
        for key, session in sessions.items():
            for _ in range(PER_ROUND if number else WARM_UP):
                start = time.perf_counter()
                session.run(None, {FEATURES: features})
                if number:
                    samples[key].append(1000 * (time.perf_counter() - start))
    print(f"{processor()}, {threads} threads, milliseconds of the head alone: median (least)\n")
    print(f"| rule | {' | '.join(f'{rows} rows' for rows in sizes)} |\n|---|{'---|' * len(sizes)}")
    for rule in RULES:
        timed = [samples[rule, rows] for rows in sizes]
        print(f"| {rule} | {' | '.join(f'{np.median(t):.2f} ({min(t):.2f})' for t in timed)} |")


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    latency(load_checkpoint(arguments.checkpoint), arguments.threads)


if __name__ == "__main__":
    main()
