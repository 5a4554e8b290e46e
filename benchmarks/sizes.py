"""The sizes that the head is measured at, and the least work that each of them is.

FLOPs = 2·B·P·C·(K + N)        every cell meets every row of both banks
bytes = B·C·P + (K + N)·C      features and banks, read once, in the element size of the features
        + 52·B·K·M             peaks, written once; maps and products need not reach memory
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from coke_edge.kernels.packed import PEAK_WORDS
from coke_edge.kernels.spec import HeadSpec

TEMPERATURE, CLUTTER_WEIGHT = 0.07, 0.005
WORD = 4  # bytes of a word of a packed peak


@dataclasses.dataclass(frozen=True)
class Size:
    """One problem: B images of H×W cells with C channels, K prototypes, N clutter rows, M peaks."""

    batch: int = 1
    height: int = 32
    width: int = 32
    channels: int = 128
    rows: int = 2560
    keypoints: int = 16
    soft: bool = False  # with the soft clutter response, and the rule log_odds instead of margin
    peaks: int = 1
    layout: str = "nchw"  # or nhwc, of the features in memory

    @property
    def cells(self) -> int:
        return self.height * self.width

    @property
    def name(self) -> str:
        """Short, for tables: what is as at the key size is left out, except the four that matter most."""
        words = [f"B{self.batch}", f"{self.cells} cells", f"C{self.channels}", f"N{self.rows}"]
        words += [f"K{self.keypoints}"] if self.keypoints != Size.keypoints else []
        words += ["soft"] if self.soft else []
        words += [f"M{self.peaks}"] if self.peaks != Size.peaks else []
        words += [self.layout] if self.layout != Size.layout else []
        return " ".join(words)

    @property
    def head(self) -> HeadSpec:
        return HeadSpec("log_odds" if self.soft else "margin", TEMPERATURE, CLUTTER_WEIGHT, self.peaks)

    @property
    def flops(self) -> int:
        return 2 * self.batch * self.cells * self.channels * (self.keypoints + self.rows)

    def bytes_moved(self, element: int = 2) -> int:
        """The least traffic with device memory, for features of `element` bytes."""
        read = self.channels * (self.batch * self.cells + self.keypoints + self.rows)
        return element * read + WORD * PEAK_WORDS * self.batch * self.keypoints * self.peaks


KEY_SIZES = (Size(), Size(batch=64))  # what the verdicts are about; torch.compile is timed here alone
MAPS = ((32, 32), (48, 56), (80, 120))
BATCHES, ROWS, CHANNELS = (1, 8, 64), (0, 256, 2560, 16384), (64, 128, 256)
Change = dict[str, Any]  # of fields of a size
CHANGES: tuple[Change, ...] = (
    {"soft": True},
    {"peaks": 5},
    {"soft": True, "peaks": 5},
    {"layout": "nhwc"},
    {"keypoints": 64},
    *(Change(height=h, width=w) for h, w in MAPS[1:]),
    *(Change(rows=n) for n in ROWS if n != Size.rows),
    *(Change(channels=c) for c in CHANNELS if c != Size.channels),
)


def chosen() -> list[Size]:
    """The key sizes, then each of them with one thing changed: a few minutes on a GPU."""
    sizes = list(KEY_SIZES)
    for change in CHANGES:
        sizes += [dataclasses.replace(size, **change) for size in KEY_SIZES]
    return [*sizes, Size(batch=8)]


def full() -> list[Size]:
    """Every batch × map × clutter bank × number of channels, after the chosen ones."""
    product = itertools.product(BATCHES, MAPS, ROWS, CHANNELS)
    grid = [Size(b, h, w, channels=c, rows=n) for b, (h, w), n, c in product]
    return list(dict.fromkeys([*chosen(), *grid]))


def on_a_cpu() -> list[Size]:
    """What a processor without a GPU does in a reasonable time, one image at a time."""
    maps = [Size(height=h, width=w) for h, w in MAPS[:2]]
    banks = [Size(rows=n) for n in (0, 256)]
    return [*maps, *banks, Size(channels=64), Size(soft=True), Size(peaks=5)]
