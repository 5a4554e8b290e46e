"""What goes wrong in a soak run: a camera that breaks off, damaged frames, sinks that fail."""

from __future__ import annotations

import errno
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from coke_edge.errors import StreamError
from coke_edge.stream.camera import Image, Shot
from coke_edge.stream.frame import Result, Sink

SIZES = ((640, 480), (320, 240), (641, 361))
# How likely a frame ends the connection, is damaged, meets a bad sink.
BREAK, DAMAGE, THROW = 0.002, 0.01, 0.003


class FaultyCamera:
    """Random pictures of one size; now and then damaged, and after a while the connection breaks."""

    def __init__(self, rng: random.Random, faults: Counter[str], pace: float) -> None:
        if rng.random() < 0.2 and faults["connections"] > 0:
            faults["refused"] += 1
            raise StreamError("nobody answers")
        faults["connections"] += 1
        self._rng, self._faults, self._pace = rng, faults, pace
        width, height = rng.choice(SIZES)
        self._picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)

    def read(self) -> Shot | None:
        """See `Camera`."""
        time.sleep(self._pace)
        if self._rng.random() < BREAK:
            self._faults["broken"] += 1
            if self._rng.random() < 0.5:
                return None
            raise StreamError("the plug was pulled")
        if self._rng.random() < DAMAGE:
            self._faults["damaged"] += 1
            return lambda: None
        return self._shot

    def _shot(self) -> Image:
        return np.array(self._picture)

    def interrupt(self) -> None:
        """It never waits for long."""

    def close(self) -> None:
        """Nothing is held."""


class FaultySink:
    """A sink that fails at random. What it finished is read again and deleted."""

    def __init__(
        self, inner: Sink, rng: random.Random, faults: Counter[str], check: Callable[[Path], bool]
    ) -> None:
        self._inner, self._rng, self._faults, self._check = inner, rng, faults, check
        self.backlog = inner.backlog  # type: ignore[attr-defined]
        self.pixels = inner.pixels  # type: ignore[attr-defined]
        self.written: list[str] = []

    def __call__(self, result: Result) -> None:
        if self._rng.random() < THROW:
            self._faults["sink failures"] += 1
            raise self._rng.choice(
                [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("odd"), StreamError("full")]
            )
        self._inner(result)

    def __enter__(self) -> FaultySink:
        self._inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._inner.__exit__(*error)
        for path in map(Path, self._inner.written):
            self._faults["files read again" if self._check(path) else "files spoilt"] += 1
            path.unlink()
