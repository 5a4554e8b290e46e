"""Results as JSON, one line a frame, in a file or on standard output."""

from __future__ import annotations

import msgspec

from coke_edge.stream.frame import Result
from coke_edge.stream.records import RecordSink


class JsonlSink(RecordSink):
    """A line of JSON for each result: what `Result.to_dict` gives."""

    def encode(self, result: Result) -> bytes:
        return msgspec.json.encode(result.to_dict()) + b"\n"
