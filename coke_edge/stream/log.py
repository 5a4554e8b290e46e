"""The log of a run: sentences for people, or one JSON object a line for machines."""

from __future__ import annotations

import contextlib
import datetime
import logging
from collections.abc import Callable, Iterator

import msgspec

ROOT = "coke_edge"
FOR_MACHINES = frozenset(["start", "statistics", "stop"])  # people read these in the summary


class JsonFormatter(logging.Formatter):
    """Each record as `{"time", "level", "event", "message", …}`; more comes from `extra={"event", "fields"}`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        data = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": event_of(record),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            data["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(data, enc_hook=str).decode()


def event_of(record: logging.LogRecord) -> str:
    """What a record is about, in one word: its `event`, or else the module that it comes from."""
    return str(getattr(record, "event", record.name.rpartition(".")[2]))


class LineHandler(logging.Handler):
    """Gives each formatted record to a function."""

    def __init__(self, put: Callable[[str], object]) -> None:
        super().__init__()
        self._put = put

    def emit(self, record: logging.LogRecord) -> None:
        """Put one record; a log that cannot be written ends no run."""
        try:
            self._put(self.format(record))
        except Exception:
            self.handleError(record)


@contextlib.contextmanager
def logging_to(put: Callable[[str], object], as_json: bool) -> Iterator[None]:
    """Our log goes to `put` within the block, line by line: all of it as JSON, or what people want as sentences."""
    handler = LineHandler(put)
    handler.setFormatter(JsonFormatter() if as_json else logging.Formatter("%(message)s"))
    if not as_json:
        handler.addFilter(lambda record: event_of(record) not in FOR_MACHINES)
    logger = logging.getLogger(ROOT)
    before, propagates = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        logger.propagate = propagates
