"""Who takes part: our bundles, and the peers whose files are at hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from coke_edge.benchmarks.peers import blazepose, movenet
from coke_edge.benchmarks.peers.download import fetch
from coke_edge.benchmarks.peers.entry import Entry
from coke_edge.benchmarks.peers.ours import precisions
from coke_edge.bundle import Bundle
from coke_edge.errors import CokeError

PEERS = ("blazepose", "movenet", "yolo")
PREPARE = "`make bench-peers` prepares it"


def blazeposes(folder: Path) -> list[Entry]:
    """Both variants, fetched if they are not there. Raises CokeError if they cannot be."""
    found = []
    for variant, model in blazepose.MODELS.items():
        (path,) = fetch([model], folder)
        found.append(Entry("blazepose", str(path), variant, 0))
    return found


def movenets(folder: Path) -> list[Entry]:
    """Both variants. Raises CokeError if they were not converted."""
    found = []
    for variant in movenet.MODELS:
        path = folder / f"movenet-{variant}.tflite"
        if not path.is_file():
            raise CokeError(f"MoveNet cannot race: there is no {path}; {PREPARE}")
        found.append(Entry("movenet", str(path), variant, 0))
    return found


def yolos(folder: Path) -> list[Entry]:
    """Every exported file. Raises CokeError if there is none."""
    paths = sorted(folder.glob("yolo*.onnx"))
    if not paths:
        raise CokeError(f"YOLO cannot race: there is no yolo*.onnx in {folder}; {PREPARE}")
    return [Entry("yolo", str(path), "", 0) for path in paths]


FAMILIES: dict[str, Callable[[Path], list[Entry]]] = {
    "blazepose": blazeposes,
    "movenet": movenets,
    "yolo": yolos,
}


def line_up(ours: Sequence[str], peers: Sequence[str], folder: Path, threads: Sequence[int]) -> list[Entry]:
    """Every entry with every number of threads: our bundles in all their precisions, then the peers' files.

    Raises CokeError if a bundle, or a peer that was asked for, cannot take part.
    """
    bundles = {name: Bundle(name) for name in ours}
    if len({bundle.path.name for bundle in bundles.values()}) < len(ours):
        raise CokeError(
            f"two of {', '.join(ours)} have the same file name, which tells rows apart: rename one"
        )
    found = [
        Entry("ours", name, precision, 0)
        for name, bundle in bundles.items()
        for precision in precisions(bundle)
    ]
    for peer in peers:
        found += FAMILIES[peer](folder)
    return [dataclasses.replace(entry, threads=n) for n in threads for entry in found]
