"""Image files to arrays and back; none is half read or half written."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import DataError, StreamError
from coke_edge.files import replacing
from coke_edge.stream.image_header import decoding, scaled, upright
from coke_edge.stream.pixels import to_bgr

SUFFIXES = frozenset(
    [".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"]
)
WRITABLE = SUFFIXES - {".pgm"}  # which holds no colour


def read_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """An image file as uint8 [H, W, 3], BGR, upright.

    EXIF orientation, or AVIF's own, is applied. Grayscale becomes three equal channels. Alpha is dropped: what lies
    under a transparent pixel is what the camera saw, but for TIFF with unassociated alpha, which OpenCV hands over on
    black. Pixels of more than 8 bits are scaled by 255 over the largest value that the format gives them: 65535, or
    what AVIF, JPEG 2000 and Netpbm files say.

    Raises DataError if the file is missing, truncated, no image, or has pixels other than 8 or 16 bits.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the image {path}: {error.strerror}") from None
    if not data:
        raise DataError(f"the image {path} is an empty file; fetch or copy it again")
    image = None if is_cut_jpeg(data) else decode(data)
    if image is None:
        raise DataError(f"{path} is truncated, or no image that OpenCV can read; fetch or copy it again")
    if image.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{path} has {image.dtype} pixels; save it with 8 or 16 bits per channel")
    return to_bgr(image)


def is_image(path: Path) -> bool:
    """Whether the name says that it is an image; hidden files are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder, by name. Raises DataError if there is no such folder or no image in it."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; name one that holds images")
    found = sorted(path for path in folder.iterdir() if is_image(path))
    if not found:
        raise DataError(f"{folder} holds no image; name a folder that does")
    return found


def write_image(path: str | os.PathLike[str], image: NDArray[np.uint8]) -> None:
    """Write uint8 [H, W, 3] BGR in the format that the suffix names; the file appears whole or not at all.

    Raises StreamError if the format is unknown or the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    with quiet():
        try:
            encoded = cv2.imencode(suffix, image)[1] if suffix in WRITABLE else None
        except cv2.error:
            encoded = None
    if encoded is None:
        raise StreamError(f"cannot write {path}: no image format {suffix!r}; use .png or .jpg")
    with replacing(Path(path), StreamError) as file:
        file.write(encoded.tobytes())


JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # neither a stuffed byte nor a restart nor a fill byte
JPEG_WITHOUT_LENGTH = b"\xd8\x01"
JPEG_END = 0xD9


def is_cut_jpeg(data: bytes) -> bool:
    """Whether this is a JPEG whose end marker is missing: OpenCV may fill such an image up with grey rows.

    Segments are skipped by their lengths, so that the end marker of an embedded thumbnail does not count.
    """
    if not data.startswith(b"\xff\xd8"):
        return False
    position = 0
    while marker := JPEG_MARKER.search(data, position):
        position = marker.end()
        code = marker[0][1]
        if code == JPEG_END:
            return False
        if code not in JPEG_WITHOUT_LENGTH:
            position += int.from_bytes(data[position : position + 2], "big")
    return True


def decode(data: bytes) -> NDArray[np.generic] | None:
    """Encoded bytes to BGR pixels [H, W, 3] that fill their type's range, upright; None if they do not decode.

    OpenCV's decoders refuse truncated bytes in memory (JPEG excepted, in older versions), whereas its reader
    of JPEG files fills up what is missing.
    """
    with quiet():
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), decoding(data))
        except cv2.error:
            return None
    return None if image is None else upright(scaled(image, data), data)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep OpenCV's own log lines off stderr: our error says it in one sentence."""
    logging = cv2.utils.logging
    before = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(before)
