"""Checkpoint → bundle: build the graph, hold it against torch, and only then write the file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import safetensors.numpy

from coke_edge.bundle import BANKS, write_bundle
from coke_edge.errors import ExportError
from coke_edge.export.banks import Banks
from coke_edge.export.card import model_card, training_summary
from coke_edge.export.clutter import choose, features_of
from coke_edge.export.clutter_report import Report, Rows
from coke_edge.export.crops import Crop
from coke_edge.export.expected import torch_results
from coke_edge.export.gate import require
from coke_edge.export.graph import build_graph
from coke_edge.export.kernels import check_targets, kernel_entries
from coke_edge.export.narrow import narrow
from coke_edge.export.trained import network_of
from coke_edge.export.variants import Makings, Variant, variants
from coke_edge.export.verdict import Limits, Verdict
from coke_edge.files import beside
from coke_edge.manifest import Manifest, ModelSpec
from coke_edge.selection import choose as choose_keypoints
from coke_edge.train.checkpoint import Checkpoint

FOR_CPUS = "uint8"
TOOLS = ("coke-edge", "onnx", "onnxruntime", "onnxscript", "torch")


class Exported(NamedTuple):
    """What was measured while a bundle was made."""

    verdicts: dict[str, Verdict]  # by graph
    clutter: Report


def export_bundle(
    checkpoint: Checkpoint,
    out: Path,
    crops: Iterable[Crop],
    *,
    precisions: Sequence[str] = ("fp32",),
    clutter: Rows = "auto",
    targets: Sequence[str] = (),
    plugin: bool = False,
    allow: bool = False,
    peaks: int | None = None,
    keypoints: str = "",
    limits: Mapping[str, Limits] | None = None,
    evaluation: Mapping[str, Any] | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write the bundle `out`, and return what was measured on the way.

    `crops` are real pictures, cut to the input's size; `precisions` are keys of `variants.GRAPHS`, to which fp32 is
    added; `clutter` is how many rows of the clutter bank to keep (`clutter.choose`); `targets` and `plugin` say which
    kernels to add (`kernels.kernel_entries`); `limits` replace those of `verdict.LIMITS`; `peaks` replaces the
    checkpoint's M; `keypoints` keeps those alone whose names begin so (`selection.choose`), "" all; `evaluation` (of
    `card.read_evaluation`) goes into the manifest and the model card; `report` is told what is being done.

    A graph of lower precision that fails is left out, unless `allow`; its verdict is in the manifest in both cases.

    Raises BackendError if `keypoints` names none of them, and ExportError if the checkpoint is a baseline's, P(visible)
    reads more than `peaks`, the fp32 graph is not what torch computes, kernels cannot be compiled or `out` cannot be
    written; then there is no file, and one that was there before is untouched.
    """
    require_writable(out)
    network = network_of(checkpoint)
    kept = choose_keypoints(checkpoint.spec.keypoints, keypoints)
    channels = network.prototypes.shape[1]
    check_targets(targets, channels)
    report("reading the images")
    spec, banks, pictures = narrow(with_peaks(checkpoint.spec, peaks), Banks.of(network), list(crops), kept)
    report("measuring the clutter bank")
    features = [] if clutter == "all" else features_of(network, pictures)
    chosen = choose(features, banks, spec, clutter, [crop.label for crop in pictures])
    banks, spec = chosen.banks, chosen.spec  # the visibility belongs to the bank
    report("exporting the graph")
    graph = build_graph(network, spec, banks)
    report("running torch")
    makings = Makings(graph, spec, torch_results(network, spec, banks, pictures))
    verdicts, entries = {}, {}
    for variant in variants(makings, ["fp32", *(p for p in precisions if p != "fp32")], limits, report):
        if variant.precision == "fp32":
            require("fp32", variant.verdict)
        variant = allowed(variant, allow)
        verdicts[variant.precision] = variant.verdict
        if variant.verdict.passed or variant.verdict.allowed:
            entries[f"model.{variant.precision}.onnx"] = variant.graph
    if targets:
        report("compiling the kernels")
    entries |= kernel_entries(targets, channels, precisions_of(entries), plugin)
    training = training_summary(checkpoint)
    if keypoints:
        every = len(checkpoint.spec.keypoints.names)
        training["keypoints_kept"] = {"named": keypoints, "count": len(kept), "of": every}
    if evaluation:
        training["evaluation"] = dict(evaluation)
    manifest = Manifest(
        name=out.stem,
        model=spec,
        entries={},
        training=training,
        clutter=chosen.report.to_manifest(),
        gate={precision: verdict.to_manifest() for precision, verdict in verdicts.items()},
        versions={tool: version(tool) for tool in TOOLS},
    )
    entries[BANKS] = safetensors.numpy.save(banks.arrays())
    entries["MODEL_CARD.md"] = model_card(out.stem, spec, training, chosen.report, verdicts).encode()
    write_bundle(out, manifest, entries)
    return Exported(verdicts, chosen.report)


def precisions_of(entries: Iterable[str]) -> list[str]:
    """The precisions of the graphs among a bundle's entries that run on a GPU."""
    found = (name.split(".")[1] for name in entries if name.startswith("model."))
    return [precision for precision in found if precision != FOR_CPUS]


def allowed(variant: Variant, allow: bool) -> Variant:
    """The variant, marked as allowed if it fails and the user wants it all the same."""
    if variant.verdict.passed or not allow:
        return variant
    return variant._replace(verdict=msgspec.structs.replace(variant.verdict, allowed=True))


def left_out(verdicts: Mapping[str, Verdict]) -> str:
    """One sentence on the graphs that the bundle does not hold, and why; empty if it holds all."""
    failing = {p: v for p, v in verdicts.items() if not (v.passed or v.allowed)}
    clauses = [
        f"{precision} ({'; '.join(filter(None, [*verdict.failures(), verdict.culprits()]))})"
        for precision, verdict in failing.items()
    ]
    return (
        f"left out because they failed the gate: {', '.join(clauses)}; --allow keeps them" if clauses else ""
    )


def with_peaks(spec: ModelSpec, peaks: int | None) -> ModelSpec:
    """The specification with M replaced. Raises ExportError if P(visible) reads more peaks than that."""
    if peaks is None:
        return spec
    evidence = spec.visibility.evidence if spec.visibility else None
    if evidence is not None and peaks < evidence.peaks:
        raise ExportError(
            f"P(visible) of this model reads {evidence.peaks} peaks of each keypoint, not {peaks}: "
            f"leave --peaks out, or give {evidence.peaks} or more"
        )
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
