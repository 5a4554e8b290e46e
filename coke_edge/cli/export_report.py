"""What `coke-edge export` says of the graphs that it held against torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from coke_edge.cli.next_step import say

if TYPE_CHECKING:
    from rich.console import Console

    from coke_edge.export.export import Exported
    from coke_edge.export.verdict import Verdict


def show(exported: Exported, out: Path, as_json: bool) -> None:
    """The verdicts, as one JSON object or as the gate's table."""
    from rich.console import Console

    if not as_json:
        console = Console()
        print_verdicts(console, exported.verdicts)
        sentence = exported.clutter.sentence()
        say(console, f"{sentence[0].upper()}{sentence[1:]}.")
        return
    gate = {precision: verdict.to_manifest() for precision, verdict in exported.verdicts.items()}
    size = out.stat().st_size if out.is_file() else None
    typer.echo(
        json.dumps({"out": str(out), "bytes": size, "gate": gate, "clutter": exported.clutter.to_manifest()})
    )


def print_verdicts(console: Console, verdicts: dict[str, Verdict]) -> None:
    """The gate's table."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from coke_edge.export.card import GATE_COLUMNS, gate_row

    table = Table(title="Against torch, keypoints in crop pixels", box=SIMPLE_HEAD, pad_edge=False)
    for column in GATE_COLUMNS:
        table.add_column(column, justify="left" if column in ("graph", "gate") else "right")
    for precision, verdict in verdicts.items():
        table.add_row(*gate_row(precision, verdict))
    console.print(table)
