"""The first result of everybody, each in fresh processes of its own, and what memory it holds then.

`python -m coke_edge.benchmarks.peers.cold ENTRY` is such a process, for an `Entry` as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence

from coke_edge.benchmarks.bench.first_result import FirstResult, cold, tell
from coke_edge.benchmarks.peers.entry import Entry
from coke_edge.errors import CokeError

MODULE = "coke_edge.benchmarks.peers.cold"
WORDS = (
    "first result: from the start of a new Python process, which imports what this network needs and nothing of the "
    "others, opens its file (and takes its sha256) and copies a generated frame, to its first keypoints; files are in "
    "the system's cache but for the first such process of all, which counts like the others"
)


def first_results(
    entries: Sequence[Entry], times: int, say: Callable[[str], None] = lambda _: None
) -> list[list[FirstResult]]:
    """So many fresh processes of each entry, in turns. Raises CokeError if one comes to no keypoints."""
    found: list[list[FirstResult]] = [[] for _ in entries]
    for turn in range(times):
        for entry, results in zip(entries, found, strict=True):
            say(f"first result {turn + 1} of {times}: {entry.words()}")
            command = [sys.executable, "-m", MODULE, json.dumps(dataclasses.asdict(entry))]
            results.append(cold(command, entry.words()))
    return found


def main() -> None:
    """Be that process."""
    import cv2

    from coke_edge.benchmarks.bench.frames import Generated, regions

    entry = Entry(**json.loads(sys.argv[1]))
    cv2.setNumThreads(entry.threads)
    frame = Generated(1).read(0)
    contestant = entry.load()
    contestant.stages(frame, regions(frame.shape[0], frame.shape[1], 1)[0])
    tell()


if __name__ == "__main__":
    try:
        main()
    except CokeError as error:
        sys.exit(str(error))
