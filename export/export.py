"""Checkpoint → bundle: build the graph, hold it against torch, and only then write the file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import safetensors.numpy

from coke_edge.bundle import BANKS, write_bundle
from coke_edge.errors import ExportError
from coke_edge.export.banks import Banks
from coke_edge.export.card import model_card, training_summary
from coke_edge.export.crops import Crop
from coke_edge.export.graph import build_graph, serialise
from coke_edge.export.parity import Limits, Verdict, compare, onnx_runtime, require, torch_results
from coke_edge.files import beside
from coke_edge.manifest import Manifest, ModelSpec
from coke_edge.train.checkpoint import Checkpoint

TOOLS = ("coke-edge", "onnx", "onnxruntime", "onnxscript", "torch")


def export_bundle(
    checkpoint: Checkpoint,
    out: Path,
    crops: Iterable[Crop],
    *,
    peaks: int | None = None,
    limits: Limits | None = None,
    evaluation: Mapping[str, Any] | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Verdict]:
    """Write the bundle `out` and return the gate's verdicts, by precision.

    `crops` are real pictures, cut to the input's size; `peaks` replaces the checkpoint's M; `evaluation` (of
    `card.read_evaluation`) goes into the manifest and the model card; `report` is told what is being done.

    Raises ExportError if the graph is not what torch computes or `out` cannot be written; then there is no
    file, and one that was there before is untouched.
    """
    require_writable(out)
    spec = with_peaks(checkpoint.spec, peaks)
    banks = Banks.of(checkpoint.model)
    report("reading the images")
    pictures = list(crops)
    report("exporting the graph")
    graphs = {"fp32": serialise(build_graph(checkpoint.model, spec, banks))}
    report("running torch")
    expected = torch_results(checkpoint.model, spec, banks, pictures)
    verdicts = {}
    for precision, graph in graphs.items():
        report(f"comparing {precision} with torch")
        verdicts[precision] = compare(expected, onnx_runtime(graph), spec, limits or Limits())
        require(precision, verdicts[precision])
    training = training_summary(checkpoint)
    if evaluation:
        training["evaluation"] = dict(evaluation)
    manifest = Manifest(
        name=out.stem,
        model=spec,
        entries={},
        training=training,
        gate={precision: verdict.to_manifest() for precision, verdict in verdicts.items()},
        versions={tool: version(tool) for tool in TOOLS},
    )
    entries = {f"model.{precision}.onnx": graph for precision, graph in graphs.items()}
    entries[BANKS] = safetensors.numpy.save(banks.arrays())
    entries["MODEL_CARD.md"] = model_card(out.stem, spec, training, verdicts).encode()
    write_bundle(out, manifest, entries)
    return verdicts


def with_peaks(spec: ModelSpec, peaks: int | None) -> ModelSpec:
    """The specification with M replaced."""
    if peaks is None:
        return spec
    return msgspec.structs.replace(spec, head=dataclasses.replace(spec.head, peaks=peaks))


def require_writable(out: Path) -> None:
    """Raises ExportError if `out` could not be written: better now than after minutes of work."""
    if out.is_dir():
        raise ExportError(f"cannot write {out}: it is a folder; name a file, such as {out / 'model.coke'}")
    try:
        probe = beside(out)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ExportError(f"cannot write {out}: {error.strerror or error}") from None
