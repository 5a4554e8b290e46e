"""Results as CSV, one row a keypoint."""

from __future__ import annotations

import csv
import io
from typing import Any

from coke_edge.stream.frame import Result
from coke_edge.stream.records import RecordSink, moments

NUMBERS = ("x", "y", "similarity", "clutter", "visible", "hidden_x", "hidden_y", "elsewhere")
COLUMNS = ("index", "name", "time", "captured", "age", "object", "keypoint", *NUMBERS)


class CsvSink(RecordSink):
    """A row for each keypoint of each object of each frame; what is not known (NaN, a file's age) is empty.

    `hidden_x` and `hidden_y` are where a keypoint is if it is hidden, `elsewhere` says whether that is the likelier
    place; all three are empty if the model does not place hidden keypoints.
    """

    def head(self) -> bytes:
        return rows([COLUMNS])

    def encode(self, result: Result) -> bytes:
        frame = result.frame
        first = (frame.index, frame.name, frame.time, *moments(result))
        return rows(
            [
                (*first, number, point["name"], *(point.get(key) for key in NUMBERS))
                for number, keypoints in enumerate(result.objects)
                for point in keypoints.to_dict()["keypoints"]
            ]
        )


def rows(values: list[Any]) -> bytes:
    """Rows as RFC 4180 has them, but for the line ends, which are those of Unix tools."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(values)
    return text.getvalue().encode()
