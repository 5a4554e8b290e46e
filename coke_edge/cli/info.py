"""`coke-edge info`: what a bundle holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coke_edge.cli.next_step import next_step

if TYPE_CHECKING:
    from rich.table import Table

    from coke_edge.bundle import Bundle
    from coke_edge.kernels.artifact import Artifact

app = typer.Typer()

FORMS = (".3f", ".3f", ".1%", ".1f", ".1f")  # of the gate's numbers


@app.command("info")
def info(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="bundle NAME.coke, or demo for the one in the package")
    ],
    verify: Annotated[
        bool, typer.Option("--verify", help="also load the banks and run the graph once")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Show what a bundle holds. Every byte of it is verified in any case."""
    from rich.console import Console

    from coke_edge.bundle import Bundle

    opened = Bundle(bundle)
    verified = run_once(opened) if verify else None
    if as_json:
        typer.echo(json.dumps(report(opened, verified)))
    else:
        console = Console()
        console.print(table(opened))
        console.print(gate(opened.manifest.gate))
        console.print("Every byte is as the manifest says.")
        if verified:
            console.print(f"The banks fit the manifest and the graph runs on {verified}.")
    next_step(Console(stderr=True), "detect", bundle, "--source", "IMAGE")


def run_once(bundle: Bundle) -> str:
    """Load the banks, run the graph on a grey frame; gives the backend's name.

    Raises BundleError or BackendError if either fails.
    """
    import numpy as np

    from coke_edge.detector import Detector

    bundle.banks()
    detector = Detector(bundle)
    size = detector.spec.input
    detector(np.full((size.height, size.width, 3), 128, np.uint8))
    return detector.backend.name


def report(bundle: Bundle, verified: str | None) -> dict[str, Any]:
    """The bundle as plain data; `ran_on` is the backend that ran it, if it was asked to."""
    import msgspec

    return {
        "path": str(bundle.path),
        "sha256": bundle.sha256,
        "manifest": msgspec.to_builtins(bundle.manifest),
        "ran_on": verified,
    }


def table(bundle: Bundle) -> Table:
    """The bundle for people."""
    from rich.markup import escape
    from rich.table import Table

    manifest, model = bundle.manifest, bundle.manifest.model
    size, head = model.input, model.head
    rows = {
        "name": manifest.name,
        "file": f"{bundle.path} (sha256 {bundle.sha256[:12]}…)",
        "keypoints": f"{len(model.keypoints.names)}: {', '.join(model.keypoints.names)}",
        "input": f"{size.width} by {size.height}, stride {model.stride}, margin {size.box_margin:g}",
        "score": f"{head.rule}, temperature {head.temperature:g}, clutter weight {head.clutter_weight:g}",
        "peaks": str(head.peaks),
        "visibility": "calibrated" if model.visibility else "not calibrated",
        "hidden keypoints": "have places of their own"
        if model.hidden_maps
        else "have no places of their own",
        **{f"training: {key}": plain(value) for key, value in manifest.training.items()},
        "clutter bank": bank(manifest.clutter),
        "kernels": kernels(bundle.kernels()),
        "written by": ", ".join(f"{tool} {version}" for tool, version in manifest.versions.items()),
        "entries": "\n".join(f"{name} ({spec.size:,} bytes)" for name, spec in manifest.entries.items()),
    }
    grid = Table(show_header=False)
    for key, value in rows.items():
        grid.add_row(escape(key), escape(value))
    return grid


def gate(verdicts: dict[str, dict[str, Any]]) -> Table:
    """The gate's verdicts; a bundle of an earlier version may lack a number."""
    from rich.table import Table

    grid = Table(title="Against torch, keypoints in crop pixels")
    for column in ("graph", "images", "median", "p99", "over 1 px", "PCK", "of torch", "gate"):
        grid.add_column(column, justify="left" if column in ("graph", "gate") else "right")
    for precision, found in verdicts.items():
        pixels, pck = found.get("pixels", {}), found.get("pck") or {}
        outcome = "passed" if found.get("passed") else "allowed" if found.get("allowed") else "left out"
        numbers = (
            pixels.get("median"),
            pixels.get("p99"),
            found.get("moved"),
            pck.get("graph"),
            pck.get("torch"),
        )
        cells = (
            "–" if value is None else f"{value:{form}}" for value, form in zip(numbers, FORMS, strict=True)
        )
        grid.add_row(precision, str(found.get("images", "–")), *cells, outcome)
    return grid


def bank(clutter: dict[str, Any]) -> str:
    """How many rows are left of the trained bank."""
    if not clutter:
        return "as trained"
    rows, full = clutter["rows"], clutter["full"]
    return f"{rows} of {full} rows" + ("" if clutter["passed"] else ", which is not lossless")


def kernels(artifact: Artifact | None) -> str:
    """The GPUs that the head's kernels were compiled for."""
    return ", ".join(artifact.targets()) if artifact else "none"


def plain(value: object) -> str:
    """A value of the free part of the manifest in words: `images 200, pixels (median 0.01, max 0.03)`."""
    if isinstance(value, dict):
        parts = {
            key: f"({plain(part)})" if isinstance(part, dict) else plain(part) for key, part in value.items()
        }
        return ", ".join(f"{key} {part}" for key, part in parts.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
