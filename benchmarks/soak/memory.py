"""The resident memory of this process, sampled while it runs."""

from __future__ import annotations

import os
import threading
from pathlib import Path


class Memory(threading.Thread):
    """Samples this process's resident memory."""

    def __init__(self, every: float) -> None:
        super().__init__(name="memory", daemon=True)
        self.samples: list[int] = []  # bytes
        self._every = every
        self._over = threading.Event()

    def run(self) -> None:
        """The thread's work."""
        while not self._over.wait(self._every):
            self.samples.append(resident())

    def stop(self) -> list[int]:
        """The samples."""
        self._over.set()
        if self.is_alive():
            self.join()
        return self.samples


def resident() -> int:
    """This process's resident memory in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
