"""Results in the JSON format of COCO's keypoint results, as pycocotools reads them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from coke_edge.errors import StreamError
from coke_edge.stream.frame import Result
from coke_edge.stream.records import RecordSink

CATEGORY = 1


class CocoSink(RecordSink):
    """A list of objects with `image_id`, `category_id` 1, and `file_name` beside what COCO asks for.

    `image_id` is the number that a picture is named by, as in COCO's own 000000000139.jpg, and else the frame's
    index: that of a video's frame or of a picture in a deeper folder. The first frame decides for all, and a second
    picture of the same number (1.jpg and 01.png) is refused, so that no two frames share one.
    """

    def __init__(self, path: Path | None) -> None:
        super().__init__(path)  # a list has an end, so nothing can be added to it later
        self._count = 0
        self._numbered: bool | None = None
        self._taken: set[int] = set()

    def head(self) -> bytes:
        return b"["

    def encode(self, result: Result) -> bytes:
        image = self._image_id(result)
        records = []
        for keypoints in result.objects:
            one = {"image_id": image, "file_name": result.frame.name, "category_id": CATEGORY}
            records.append(
                (b",\n" if self._count else b"\n") + msgspec.json.encode(one | keypoints.to_coco())
            )
            self._count += 1
        return b"".join(records)

    def tail(self) -> bytes:
        return b"\n]\n"

    def _image_id(self, result: Result) -> int:
        number = number_of(result.frame.name)
        if self._numbered is None:
            self._numbered = number is not None
        if not self._numbered:
            return result.frame.index
        name = result.frame.name
        if number is None:
            raise StreamError(
                f"{name} is not named by its COCO image number, as the pictures before it are; name all of them "
                "by numbers or none"
            )
        if number in self._taken:
            raise StreamError(
                f"{name} has the image number {number} of a picture before it; name each by its own"
            )
        self._taken.add(number)
        return number


def number_of(name: str) -> int | None:
    """The number that a picture is named by; None for others, and for frames of a video, `20240101.mp4/000003`."""
    stem, _, suffix = name.rpartition(".")
    return int(stem) if suffix and "/" not in name and stem.isascii() and stem.isdigit() else None
