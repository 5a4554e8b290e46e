"""What the header of an encoded picture says and OpenCV's decoders do not heed: its depth, and which side is up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

JPEG_2000 = (b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51")  # the file format, and a bare codestream
AVIF = re.compile(rb"....ftyp(avif|avis|mif1)", re.DOTALL)
# Width, height and the largest value, with comments between (netpbm's pgm(5) and ppm(5)).
SPACE = rb"(?:\s|#[^\n\r]*[\n\r])+"
NETPBM = re.compile(
    rb"P(?P<kind>[2356])" + SPACE + rb"\d+" + SPACE + rb"\d+" + SPACE + rb"(?P<largest>\d+)\s"
)
ASCII = (b"2", b"3")


def decoding(data: bytes) -> int:
    """How OpenCV is to decode these bytes: to BGR, in their own depth or in 8 bits.

    AVIF and JPEG 2000 of 10 or 12 bits come as 16 bits whose largest value is 1023 or 4095, which nothing tells; asked
    for 8 bits, OpenCV scales them by what it knows.
    """
    if data.startswith(JPEG_2000) or AVIF.match(data):
        return cv2.IMREAD_COLOR
    return cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH


def scaled(image: NDArray[Any], data: bytes) -> NDArray[Any]:
    """The picture in 8 bits if its Netpbm header names another largest value than its pixels' type has.

    As 10 and 12 bits of industrial cameras are stored. OpenCV scales ASCII files up to 255 itself, and no others.
    """
    header = NETPBM.match(data)
    largest = int(header["largest"]) if header else 0
    if not header or not largest:
        return image
    if largest == np.iinfo(image.dtype).max or (largest <= 255 and header["kind"] in ASCII):
        return image
    return np.minimum(np.rint(image * (255 / largest)), 255).astype(np.uint8)


def upright(image: NDArray[Any], data: bytes) -> NDArray[Any]:
    """The picture as an AVIF file says that it is to be shown: turned, then mirrored (ISO/IEC 23008-12, irot and imir).

    EXIF orientation, which other formats have, is OpenCV's work.
    """
    if not AVIF.match(data):
        return image
    properties = dict(boxes(inside(data, b"meta", b"iprp", b"ipco")))
    if turns := properties.get(b"irot", b"\0")[0] & 3:  # anticlockwise
        image = np.rot90(image, turns)
    if mirror := properties.get(b"imir"):
        image = image[:, ::-1] if mirror[0] & 1 else image[::-1]
    return np.ascontiguousarray(image)


def inside(data: bytes, *path: bytes) -> bytes:
    """The content of nested boxes of an ISO base media file; empty if one is not there."""
    for name in path:
        data = dict(boxes(data)).get(name, b"")
        data = data[4:] if name == b"meta" else data  # a version and flags come first
    return data


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of each box in a row, until one whose length cannot be."""
    position = 0
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if length == 0:  # to the end
            length = len(data) - position
        if length < 8:  # of 64 bits, or broken: what says how a picture is shown comes before those
            return
        yield data[position + 4 : position + 8], data[position + 8 : position + length]
        position += length
