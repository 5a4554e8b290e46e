"""Tables that several commands print."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from coke_edge.keypoints import Keypoints

TIMED = "from the decoded frame in memory to its keypoints (crop, network, head, decode)"


def keypoint_table(keypoints: Keypoints, title: str) -> Table:
    """One row for each keypoint; hidden ones are dim and hollow, and all where the picture has them.

    What stands at its hidden place has no similarity and clutter: those belong to where it looks most like itself.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, style="bold"), title_justify="left")
    table.add_column("keypoint")
    for column in ("x", "y", "similarity", "clutter", "visible"):
        table.add_column(column, justify="right")
    for k, name in enumerate(keypoints.names):
        hidden = bool(keypoints.hidden[k])
        x, y = keypoints.places[k]
        here = math.nan if keypoints.displaced[k] else 1.0
        scores = (here * keypoints.similarity[k], here * keypoints.clutter[k], keypoints.visible[k])
        cells = [cell(x, 1), cell(y, 1), *(cell(score, 2) for score in scores)]
        table.add_row(Text(f"{'○' if hidden else '●'} {name}"), *cells, style="dim" if hidden else None)
    return table


def cell(value: float, digits: int) -> str:
    """A number, or a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def number(count: int, noun: str) -> str:
    """`1 image`, `2 images`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def latency_sentence(latency_ms: Mapping[str, float], runs: int, warm: bool = True) -> str:
    """The figures with what they were measured on; not `warm`: the first run after loading is among them."""
    if runs == 1:
        return f"Latency {latency_ms['median']:.1f} ms (one run{'' if warm else ', the first after loading'})"
    return f"Latency {latency_ms['median']:.1f} ms (median of {runs} runs; 95 % within {latency_ms['p95']:.1f} ms)"
