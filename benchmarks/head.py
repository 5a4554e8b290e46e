"""How fast the head is: `python -m coke_edge.benchmarks.head [--device cuda|cpu] [--full] [--out FILE]`.

On a GPU the fused kernels stand beside torch eager, torch.compile and one matrix product with a maximum, all as
replays of CUDA graphs, with the floor of the same run; on a processor numpy, torch and ONNX Runtime stand beside
each other. README.md in this folder says what the figures mean.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from coke_edge.benchmarks import environment
from coke_edge.files import replacing
from coke_edge.kernels.targets import KernelError

Row = dict[str, Any]


def on_a_gpu(full: bool = False, compare: bool = True) -> Iterator[Row]:
    """First a row with the ceilings, then one a size. torch.compile, the slowest to prepare, only if `compare`.

    The key sizes come twice: without and with what takes long to prepare, so that a run that is cut short has them.
    """
    from coke_edge.benchmarks import accuracy, forms, fused_forms, measure, sizes
    from coke_edge.benchmarks.gpu import CudaGpu

    machine = CudaGpu()
    ceilings = machine.ceilings()
    if ceilings:
        yield {"ceilings": dataclasses.asdict(ceilings)}
    here: dict[str, forms.Form] = {
        measure.FUSED: fused_forms.jit,
        measure.UNFUSED: forms.eager,
        "matmul + max": forms.matmul_and_max,
    }
    yield from measure.measure(machine, ceilings, sizes.KEY_SIZES, here, accuracy.errors)
    yield {"nvidia_smi_under_load": environment.nvidia_smi()}
    if compare:
        here[measure.COMPILED] = forms.compiled()
    try:
        here[measure.LAUNCHED] = fused_forms.built(sizes.KEY_SIZES[0])
    except KernelError as error:
        yield {"binaries": f"not measured: {error}"}
    chosen = sizes.full() if full else sizes.chosen()
    yield from measure.measure(machine, ceilings, chosen, here, accuracy.errors)


def on_a_cpu(threads: int = 1, rounds: int = 40, seconds: float = 10.0) -> Iterator[Row]:
    """One row a size, float32."""
    import torch

    from coke_edge.benchmarks import cpu_forms, measure, sizes
    from coke_edge.benchmarks.machine import Processor

    torch.set_num_threads(threads)
    forms = cpu_forms.cpu_forms(threads)
    yield {"threads": threads}
    yield from measure.measure(
        Processor(), None, sizes.on_a_cpu(), forms, dtype=torch.float32, rounds=rounds, seconds=seconds
    )


def document(rows: Iterable[Row]) -> Row:
    """Rows of either kind as one result: what stands above the sizes, the sizes, and the verdicts on a GPU."""
    from coke_edge.benchmarks.verdict import verdicts

    result: Row = {}
    sizes: dict[str, Row] = {}
    for row in rows:
        if "forms" in row:
            sizes[row["name"]] = row  # a later row of a size holds more
        else:
            result |= row
    if "ceilings" in result:
        result["verdicts"] = [dataclasses.asdict(v) for v in verdicts(sizes.values())]
    return result | {"sizes": list(sizes.values())}


def tables(result: Row) -> str:
    """Markdown of a document."""
    from coke_edge.benchmarks.table import memory_table, speed_table, verdict_table
    from coke_edge.benchmarks.verdict import Verdict

    parts = []
    if "verdicts" in result:
        parts.append(verdict_table(Verdict(**v) for v in result["verdicts"]))
    parts.append(speed_table(result["sizes"]))
    if "ceilings" in result:
        c = result["ceilings"]
        parts.append(
            f"Measured ceilings: {c['bandwidth'] / 1e12:.3g} TB/s, {c['peak'] / 1e12:.4g} TFLOP/s (float16), "
            f"{1000 * c['launch_ms']:.3g} µs an empty kernel, {1000 * c['two_launches_ms']:.3g} µs two."
        )
        parts.append(memory_table(result["sizes"]))
    return "\n\n".join(parts)


def main() -> int:
    """Measure, print the tables, and keep the result after every size with --out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="what to measure")
    parser.add_argument("--full", action="store_true", help="every combination of sizes; takes long")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--threads", type=int, default=1, help="of torch and ONNX Runtime on the CPU")
    parser.add_argument("--out", type=Path, help="JSON file for the result")
    arguments = parser.parse_args()
    about: Row = {"host": environment.host(), "versions": environment.versions()}
    if arguments.device == "cuda":
        about |= {"gpu": environment.torch_gpu(), "nvidia_smi": environment.nvidia_smi()}
        if not about["gpu"]:
            print(
                "There is no NVIDIA GPU that torch can use here; measure the CPU with --device cpu.",
                file=sys.stderr,
            )
            return 2
        measured = on_a_gpu(arguments.full, not arguments.no_compile)
    else:
        measured = on_a_cpu(arguments.threads)
    rows: list[Row] = [about]
    for row in measured:
        rows.append(row)
        print(row.get("name", ""), file=sys.stderr, flush=True)
        if arguments.out:
            with replacing(arguments.out) as file:
                file.write((json.dumps(document(rows), indent=1) + "\n").encode())
    print(tables(document(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
