"""Results as CSV, one row a keypoint."""

from __future__ import annotations

import csv
import io
from typing import Any

from coke_edge.stream.frame import Result
from coke_edge.stream.records import RecordSink, moments

NUMBERS = ("x", "y", "similarity", "clutter", "visible")
COLUMNS = ("index", "name", "time", "captured", "age", "object", "keypoint", *NUMBERS)


class CsvSink(RecordSink):
    """A row for each keypoint of each object of each frame; what is not known (NaN, a file's age) is empty."""

    def head(self) -> bytes:
        return rows([COLUMNS])

    def encode(self, result: Result) -> bytes:
        frame = result.frame
        first = (frame.index, frame.name, frame.time, *moments(result))
        return rows(
            [
                (*first, number, point["name"], *(point[key] for key in NUMBERS))
                for number, keypoints in enumerate(result.objects)
                for point in keypoints.to_dict()["keypoints"]
            ]
        )


def rows(values: list[Any]) -> bytes:
    """Rows as RFC 4180 has them, but for the line ends, which are those of Unix tools."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(values)
    return text.getvalue().encode()
