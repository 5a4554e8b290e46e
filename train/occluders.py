"""What occluders are cut from: a folder of images, named `FOLDER`, `FOLDER?part=train` or `FOLDER?part=test`.

An image with an alpha channel that leaves part of it out (a cut-out, as PNG, WebP or TIFF) is pasted in its own
outline; of any other image, a photo, pieces of random outline are taken. The two parts divide a folder by a hash of
each file's name: every image is in one of them, the same on every machine, and stays there when images are added. So
one folder of photos serves training and test without one image in both.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import DataError
from coke_edge.stream.images import list_images, quiet, read_image
from coke_edge.train.data.images import ImageCache

Part = Literal["", "train", "test"]  # "" is both

MARK = "?part="
WITH_ALPHA = (".png", ".webp", ".tif", ".tiff")
OPAQUE = 128  # alpha from which a pixel belongs to the cut-out
CACHE_BYTES = 256 * 2**20


class OccluderFolder(NamedTuple):
    """What `FOLDER?part=…` names."""

    folder: Path
    part: Part

    @classmethod
    def parse(cls, text: str) -> OccluderFolder:
        """Raises DataError for a part that there is none of."""
        folder, mark, part = text.rpartition(MARK)
        if not mark:
            return cls(Path(text).expanduser(), "")
        if part not in ("train", "test"):
            raise DataError(
                f"{text}: there is no part '{part}' of a folder of occluders, write train or test"
            )
        return cls(Path(folder).expanduser(), cast(Part, part))

    def files(self) -> list[Path]:
        """The images, by name. Raises DataError if there is no such folder or no image in (this part of) it."""
        found = list_images(self.folder)
        chosen = [path for path in found if self.part in ("", part_of(path.name))]
        if not chosen:
            raise DataError(
                f"none of the images in {self.folder} falls into its part '{self.part}': "
                "add images, or give a folder for each part"
            )
        return chosen

    def shares_images_with(self, other: OccluderFolder) -> bool:
        """Whether both name an image in common, as far as the names of folders and parts say."""
        same = self.folder.resolve() == other.folder.resolve()
        return same and (self.part == other.part or "" in (self.part, other.part))


def part_of(name: str) -> Part:
    """The part that a file of this name belongs to."""
    return "test" if sha256(name.encode()).digest()[0] & 1 else "train"


class Occluders:
    """The images of such a folder, read when they are first drawn and kept in memory up to a limit."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.folder = OccluderFolder.parse(text)
        self.files = self.folder.files()
        self.cache = ImageCache(CACHE_BYTES, read_occluder)

    def draw(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """One of them, all alike probable: a photo [h, w, 3] BGR, or a cut-out [h, w, 4] with its alpha.

        Raises DataError if the file cannot be read.
        """
        return self.cache.read(self.files[int(rng.integers(len(self.files)))])


def read_occluder(path: Path) -> NDArray[np.uint8]:
    """A photo [h, w, 3] BGR, or a cut-out [h, w, 4] reduced to the rectangle around its opaque pixels.

    Raises DataError if the file cannot be read.
    """
    image = read_image(path)  # says what is wrong with a broken file
    if path.suffix.lower() not in WITH_ALPHA:
        return image
    with quiet():
        raw = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.ndim != 3 or raw.shape[2] != 4 or raw.dtype != np.uint8:
        return image
    opaque = raw[..., 3] >= OPAQUE
    if opaque.all() or not opaque.any():
        return image
    rows, columns = np.flatnonzero(opaque.any(axis=1)), np.flatnonzero(opaque.any(axis=0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.ascontiguousarray(raw[window], dtype=np.uint8)
