from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from coke_edge.errors import DataError, StreamError
from coke_edge.stream.images import is_cut_jpeg, read_image, write_image

RNG = np.random.default_rng(0)
PICTURE = cv2.GaussianBlur(RNG.integers(0, 256, (120, 160, 3), np.uint8), (0, 0), 4)  # BGR


def jpeg(**options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PICTURE[..., ::-1]).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def save(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm"])
def test_lossless_formats_come_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    write_image(path, PICTURE)
    assert np.array_equal(read_image(path), PICTURE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "x.jpg", jpeg(exif=exif))
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)))[..., ::-1]
    found = read_image(path)
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).max() <= 4  # two JPEG decoders
    assert found.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grayscale_alpha_and_16_bit(tmp_path: Path, dtype: type, channels: int, suffix: str) -> None:
    full = np.iinfo(dtype).max
    image = np.zeros((5, 7, channels), dtype)
    image[2, 3] = full
    image[0, 0] = full // 2 + 1
    if channels == 4:
        image[..., 3] = full // 3  # transparent or not: the colour beneath is what counts
    cv2.imwrite(str(tmp_path / f"x{suffix}"), image)
    found = read_image(tmp_path / f"x{suffix}")
    assert (found.shape, found.dtype) == ((5, 7, 3), np.uint8)
    assert (found[2, 3] == 255).all()
    assert (found[0, 0] == 128).all()
    assert (found[1, 1] == 0).all()


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.fromarray(PICTURE[..., ::-1]).quantize(16)
    image.save(tmp_path / "x.png", transparency=3)
    expected = np.asarray(image.convert("RGB"))[..., ::-1]
    assert np.array_equal(read_image(tmp_path / "x.png"), expected)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_jpeg_is_refused_wherever_it_is_cut(tmp_path: Path, progressive: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    data = jpeg(progressive=progressive, exif=exif, subsampling=0)
    whole = save(tmp_path / "x.jpg", data)
    assert read_image(whole).shape == PICTURE.shape
    for length in [*range(1, len(data), 97), len(data) - 2, len(data) - 1]:
        with pytest.raises(DataError, match="truncated"):
            read_image(save(whole, data[:length]))
        assert length < 3 or is_cut_jpeg(data[:length])


def test_a_decoder_that_fills_up_missing_rows_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OpenCV 4.8 does."""
    monkeypatch.setattr("coke_edge.stream.images.decode", lambda data: PICTURE)
    data = jpeg()
    assert read_image(save(tmp_path / "x.jpg", data)).shape == PICTURE.shape
    with pytest.raises(DataError, match="truncated"):
        read_image(save(tmp_path / "x.jpg", data[:-100]))


def test_the_end_of_a_thumbnail_is_not_the_end(tmp_path: Path) -> None:
    data = jpeg()
    thumbnail = jpeg()
    segment = b"\xff\xe1" + (len(thumbnail[:60000]) + 2).to_bytes(2, "big") + thumbnail[:60000]
    assert thumbnail.endswith(b"\xff\xd9")
    whole = data[:2] + segment + data[2:]
    assert read_image(save(tmp_path / "x.jpg", whole)).shape == PICTURE.shape
    cut = whole[: len(whole) - 100]
    assert b"\xff\xd9" in cut
    assert is_cut_jpeg(cut)
    with pytest.raises(DataError, match="truncated"):
        read_image(save(tmp_path / "x.jpg", cut))


def test_bytes_after_the_end_do_no_harm(tmp_path: Path) -> None:
    data = jpeg()
    found = read_image(save(tmp_path / "x.jpg", data + b"motion photo" * 100))
    assert np.array_equal(found, read_image(save(tmp_path / "y.jpg", data)))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".bmp"])
def test_other_truncated_formats(tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"x{suffix}"
    write_image(path, PICTURE)
    data = path.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.99):
        with pytest.raises(DataError, match="truncated"):
            read_image(save(path, data[: int(len(data) * share)]))
    assert "[ERROR" not in capfd.readouterr().err


def test_what_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_image(tmp_path / "missing.jpg")
    with pytest.raises(DataError, match="directory"):
        read_image(tmp_path)
    with pytest.raises(DataError, match="empty file"):
        read_image(save(tmp_path / "x.jpg", b""))
    with pytest.raises(DataError, match="no image"):
        read_image(save(tmp_path / "x.jpg", b"text " * 100))


def test_float_pixels_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "x.tif"), np.ones((4, 4, 3), np.float32))
    with pytest.raises(DataError, match="float32"):
        read_image(tmp_path / "x.tif")


def test_unwritable_pictures(tmp_path: Path) -> None:
    with pytest.raises(StreamError, match=r"no image format '\.xyz'"):
        write_image(tmp_path / "x.xyz", PICTURE)
    with pytest.raises(StreamError, match=r"no image format '\.pgm'"):
        write_image(tmp_path / "x.pgm", PICTURE)
    (tmp_path / "file").write_text("")
    with pytest.raises(StreamError, match="cannot write"):
        write_image(tmp_path / "file" / "x.png", PICTURE)


@pytest.mark.data
def test_real_pictures_and_cut_ones(data_root: Path, tmp_path: Path) -> None:
    for path in sorted((data_root / "lsp" / "images").glob("*.jpg"))[:40]:
        with Image.open(path) as other:
            assert read_image(path).shape == (other.height, other.width, 3)
        data = path.read_bytes()
        with pytest.raises(DataError, match="truncated"):
            read_image(save(tmp_path / "x.jpg", data[: len(data) // 2]))
