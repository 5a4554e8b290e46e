"""Results as records, one after the other, in a file or on standard output: what JSON lines, CSV and COCO share."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from coke_edge.errors import StreamError
from coke_edge.files import replacing
from coke_edge.stream.frame import Result
from coke_edge.stream.sinks import STDOUT, Closed, keep_source


class RecordSink:
    """Writes `encode(result)` for each result; standard output gets each record at once.

    A file takes its name when the block is left, by an interrupt or an error too: every record in it is whole, and
    one that does not fit on the disk is taken back. If an error leaves it without any record, there is none, and one
    that was there before is untouched.
    With `append`, records are added to the file of that name and are there at once: a run for weeks is read while
    it lasts, and a restart loses nothing.
    """

    backlog = 1000  # results that may wait for it in a live run; they wait without their pictures
    pixels = False

    def __init__(self, path: Path | None, append: bool = False) -> None:
        self._path = path  # None is standard output
        self._append = append and path is not None
        self._file: BinaryIO | None = None
        self._any = False  # record is in it
        self._closing = ExitStack()
        self.written: list[str] = []

    def head(self) -> bytes:
        """What a file begins with."""
        return b""

    def encode(self, result: Result) -> bytes:
        """The record of one result."""
        raise NotImplementedError

    def tail(self) -> bytes:
        """What a file ends with."""
        return b""

    def __call__(self, result: Result) -> None:
        record = self.encode(result)
        if self._file is None:
            self._file = self._open(result)
        self._put(record)

    def _open(self, result: Result) -> BinaryIO:
        if self._path is None:
            return sys.stdout.buffer
        keep_source(self._path, result.frame)
        if not self._append:
            with ExitStack() as opening:
                file = opening.enter_context(replacing(self._path, StreamError, buffering=0))
                write_all(file, self.head() + self.tail())
                self._closing = opening.pop_all()
            return file
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = self._closing.enter_context(self._path.open("ab+", buffering=0))
            begin_line(file, self.head(), self._path)
        except OSError as error:
            raise StreamError(f"cannot write {self._path}: {error.strerror}") from None
        return file

    def _put(self, record: bytes) -> None:
        assert self._file is not None
        try:
            if self._path is None:
                self._file.write(record)
                self._file.flush()
            else:
                write_whole(self._file, record, b"" if self._append else self.tail())
            self._any = True
        except BrokenPipeError:
            # What reads has gone, as `head` does. Python would complain again when it flushes at its exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise Closed("the reader of standard output has gone") from None
        except OSError as error:
            raise StreamError(f"cannot write {self._path or 'standard output'}: {error.strerror}") from None

    def __enter__(self) -> RecordSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not self._any:
            self._closing.__exit__(kind, error, trace)
            return
        self._closing.close()
        if self._file is not None:
            self.written.append(STDOUT if self._path is None else str(self._path))


def write_whole(file: BinaryIO, record: bytes, tail: bytes = b"") -> None:
    """Add a record to an unbuffered file that ends with `tail`: before the tail, all of it or nothing.

    So the file is whole at any time, and its end needs no room of its own when the disk is full. Raises OSError if the
    record does not fit.
    """
    end = file.seek(0, os.SEEK_END) - len(tail)
    file.seek(end)
    try:
        write_all(file, record + tail)
    except BaseException:
        file.truncate(end)
        file.seek(end)
        write_all(file, tail)  # where it was before
        raise


def write_all(file: BinaryIO, content: bytes) -> None:
    """Write all bytes to an unbuffered file, whose own `write` may stop early. Raises OSError."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def begin_line(file: BinaryIO, head: bytes, path: Path) -> None:
    """Write the head into an empty file; end the last line of one that was cut off by a power cut.

    Raises StreamError if the file begins with another head: its rows would not fit under it.
    """
    if file.seek(0, os.SEEK_END) == 0:
        write_whole(file, head)
        return
    file.seek(0)
    if file.read(len(head)) != head:
        raise StreamError(
            f"{path} has other columns than are written now: move it away, or name another file"
        )
    file.seek(-1, os.SEEK_END)
    if file.read(1) != b"\n":
        write_whole(file, b"\n")


def moments(result: Result) -> tuple[float | None, float | None]:
    """When a live frame was taken, in Unix time, and the age of its result at delivery; None for files."""
    captured = result.frame.captured
    if captured is None:
        return None, None
    return time.time() - (time.monotonic() - captured), result.age
