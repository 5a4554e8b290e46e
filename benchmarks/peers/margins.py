"""How large each peer wants its crop: PCK on LSP's validation images for several margins around the box.

`python -m coke_edge.benchmarks.peers.margins --data lsp:FOLDER [--folder FOLDER]`; the best became the
peers' margins, so that nobody has to run with ours.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from coke_edge.benchmarks.peers.accuracy import ALL, measure
from coke_edge.benchmarks.peers.line_up import line_up
from coke_edge.train.data import load_dataset

MARGINS = (1.0, 1.1, 1.15, 1.2, 1.25, 1.35, 1.5, 1.75, 2.0)
PEERS = ("blazepose", "movenet")


def main() -> None:
    """Print a line for each peer and margin."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="people with labelled joints, as in lsp:FOLDER")
    parser.add_argument("--folder", type=Path, default=Path("out/peers/models"), help="the peers' files")
    options = parser.parse_args()
    dataset = load_dataset(options.data, "val")
    for entry in line_up([], PEERS, options.folder, [1]):
        contestant = entry.load()
        for margin in MARGINS:
            contestant.card = dataclasses.replace(contestant.card, margin=margin)
            found = measure(contestant, dataset)[str(len(dataset.samples))]
            print(f"{contestant.card.name}, box times {margin:g}: {found[ALL]:.1f}")


if __name__ == "__main__":
    main()
