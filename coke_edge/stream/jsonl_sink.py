"""Results as JSON, one line a frame, in a file or on standard output."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec

from coke_edge.errors import StreamError
from coke_edge.files import replacing
from coke_edge.stream.frame import Result
from coke_edge.stream.sinks import STDOUT, keep_source


class JsonlSink:
    """A line of JSON for each result; standard output gets each line at once.

    A file takes its name when the block is left, by an interrupt or an error too: every line in it is whole.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path  # None is standard output
        self._file: BinaryIO | None = None
        self._closing = ExitStack()
        self.written: list[str] = []

    def __call__(self, result: Result) -> None:
        line = msgspec.json.encode(result.to_dict()) + b"\n"
        if self._file is None:
            self._file = self._open(result)
        try:
            self._file.write(line)
            if self._path is None:
                self._file.flush()
        except OSError as error:
            raise StreamError(f"cannot write {self._path or 'standard output'}: {error.strerror}") from None

    def _open(self, result: Result) -> BinaryIO:
        if self._path is None:
            return sys.stdout.buffer
        keep_source(self._path, result.frame)
        return self._closing.enter_context(replacing(self._path, StreamError))

    def __enter__(self) -> JsonlSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()
        if self._file is not None:
            self.written.append(STDOUT if self._path is None else str(self._path))
