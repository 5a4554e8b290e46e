"""Pictures whose header says what their pixels alone do not."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from coke_edge.stream.image_header import boxes, inside
from coke_edge.stream.images import decode, read_image

RAMP = np.linspace(0, 1, 128)[None].repeat(128, axis=0)  # grey, dark to bright


def levels(largest: int) -> NDArray[np.uint16]:
    return np.rint(RAMP * largest).astype(np.uint16)


def read(tmp_path: Path, content: bytes) -> NDArray[np.uint8]:
    (tmp_path / "x").write_bytes(content)
    return read_image(tmp_path / "x")


def netpbm(kind: int, largest: int) -> bytes:
    values = levels(largest)[..., None].repeat(3 if kind in (3, 6) else 1, axis=-1)
    head = b"P%d\n# 1 2 3\n128 # wide\n 128\n%d\n" % (kind, largest)
    if kind in (2, 3):
        return head + b" ".join(b"%d" % value for value in values.ravel()) + b"\n"
    return head + values.astype(">u2" if largest > 255 else "u1").tobytes()


@pytest.mark.parametrize("largest", [1, 15, 100, 255, 1023, 4095, 65535])
@pytest.mark.parametrize("kind", [2, 3, 5, 6])
def test_netpbm_is_scaled_by_the_largest_value_that_it_names(tmp_path: Path, kind: int, largest: int) -> None:
    expected = np.rint(255 * (levels(largest) / largest))
    found = read(tmp_path, netpbm(kind, largest)).astype(int)
    assert found.shape == (128, 128, 3)
    assert np.abs(found - expected[..., None]).max() <= 1  # OpenCV cuts what we round
    assert found.max() == 255


def test_a_netpbm_file_with_nothing_in_it_is_no_image() -> None:
    assert decode(b"P5\n2 2\n0\n\0\0\0\0") is None


@pytest.mark.parametrize("depth", [8, 10, 12])
def test_avif_is_scaled_by_its_depth(tmp_path: Path, depth: int) -> None:
    full = levels(2**depth - 1).astype(np.uint8 if depth == 8 else np.uint16)
    options = [cv2.IMWRITE_AVIF_DEPTH, depth, cv2.IMWRITE_AVIF_QUALITY, 95]
    done, encoded = cv2.imencode(".avif", np.dstack([full] * 3), options)
    assert done
    found = read(tmp_path, encoded.tobytes()).astype(int)
    assert np.abs(found - 255 * RAMP[..., None]).max() <= 12  # the colours of a lossy format
    assert np.abs(found.mean() - 127.5) < 3


@pytest.mark.parametrize("depth", [10, 12, 16])
def test_jpeg_2000_is_scaled_by_its_depth(tmp_path: Path, depth: int) -> None:
    """OpenCV writes 16 bits alone: with the offset of half the range moved, the header may name fewer."""
    values = levels(2**depth - 1).astype(int) + 2**15 - 2 ** (depth - 1)
    options = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]
    done, encoded = cv2.imencode(".jp2", values.astype(np.uint16), options)
    assert done
    data = bytearray(encoded.tobytes())
    data[data.index(b"\xff\x51") + 40] = depth - 1
    found = read(tmp_path, bytes(data)).astype(int)
    assert np.abs(found - 255 * RAMP[..., None]).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_turned_as_it_is_to_be_shown(tmp_path: Path, orientation: int) -> None:
    corner = np.zeros((40, 60, 3), np.uint8)
    corner[:10, :30] = 255
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(corner).save(file, "AVIF", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    found = read(tmp_path, file.getvalue())
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 3


def test_broken_boxes_end_the_search() -> None:
    assert list(boxes(b"\0\0\0\x09irot\x01" + b"\0\0\0\x03imir")) == [(b"irot", b"\x01")]
    assert list(boxes(b"\0\0\0\0mdat123")) == [(b"mdat", b"123")]
    assert list(boxes(b"\0\0\0")) == []
    assert inside(b"\0\0\0\x0cmeta\0\0\0\0", b"meta", b"iprp") == b""
