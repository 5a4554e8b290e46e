"""Who takes part: our bundles, and the peers whose files are at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from coke_edge.benchmarks.peers import blazepose, movenet
from coke_edge.benchmarks.peers.blazepose import BlazePose
from coke_edge.benchmarks.peers.download import fetch
from coke_edge.benchmarks.peers.movenet import MoveNet
from coke_edge.benchmarks.peers.ours import Ours, precisions
from coke_edge.benchmarks.peers.peer import Contestant
from coke_edge.benchmarks.peers.yolo import Yolo
from coke_edge.bundle import Bundle
from coke_edge.errors import CokeError

PEERS = ("blazepose", "movenet", "yolo")
PREPARE = "`make bench-peers` prepares it"

Load = Callable[[int], Contestant]  # threads → a contestant


def blazeposes(folder: Path) -> list[Load]:
    """Both variants, fetched if they are not there. Raises CokeError if they cannot be."""
    found: list[Load] = []
    for variant, model in blazepose.MODELS.items():
        (path,) = fetch([model], folder)
        found.append(lambda threads, v=variant, p=path: BlazePose(v, p, threads))  # type: ignore[misc]
    return found


def movenets(folder: Path) -> list[Load]:
    """Both variants. Raises CokeError if they were not converted."""
    found: list[Load] = []
    for variant in movenet.MODELS:
        path = folder / f"movenet-{variant}.tflite"
        if not path.is_file():
            raise CokeError(f"MoveNet cannot race: there is no {path}; {PREPARE}")
        found.append(lambda threads, v=variant, p=path: MoveNet(v, p, threads))  # type: ignore[misc]
    return found


def yolos(folder: Path) -> list[Load]:
    """Every exported file. Raises CokeError if there is none."""
    paths = sorted(folder.glob("yolo*.onnx"))
    if not paths:
        raise CokeError(f"YOLO cannot race: there is no yolo*.onnx in {folder}; {PREPARE}")
    return [lambda threads, p=path: Yolo(p, threads) for path in paths]  # type: ignore[misc]


FAMILIES: dict[str, Callable[[Path], list[Load]]] = {
    "blazepose": blazeposes,
    "movenet": movenets,
    "yolo": yolos,
}


def line_up(
    ours: Sequence[str], peers: Sequence[str], folder: Path, threads: Sequence[int]
) -> list[Contestant]:
    """Every contestant with every number of threads: our bundles in all their precisions, then the peers' files.

    Raises CokeError if a bundle, or a peer that was asked for, cannot take part.
    """
    loads: list[Load] = []
    bundles = [Bundle(name) for name in ours]
    if len({bundle.path.name for bundle in bundles}) < len(bundles):
        raise CokeError(
            f"two of {', '.join(ours)} have the same file name, which tells rows apart: rename one"
        )
    for bundle in bundles:
        loads += [
            lambda n, b=bundle, p=precision: Ours(b, p, n)  # type: ignore[misc]
            for precision in precisions(bundle)
        ]
    for peer in peers:
        loads += FAMILIES[peer](folder)
    return [load(n) for n in threads for load in loads]
