"""How an engine lays out the features [B, C, H, W] that the head reads in place.

    offset of (image b, channel c, cell p) = b · image_stride + c · channel_stride + p · cell_stride

Strides are in elements, cells row-major. Channels first (nchw) has a cell stride of 1, channels last (nhwc) a
channel stride of 1.
"""

from __future__ import annotations

import dataclasses

from .targets import KernelError
from .variants import DTYPES, LAYOUTS

OFFSETS = 2**31  # elements of an image, or of a bank, that the kernels can count


@dataclasses.dataclass(frozen=True)
class FeatureMaps:
    """Size, dtype and strides of the features of an image."""

    dtype: str  # a name in variants.DTYPES
    channels: int
    height: int
    width: int
    image_stride: int
    channel_stride: int
    cell_stride: int

    def __post_init__(self) -> None:
        """Raises KernelError for features that the kernels do not take."""
        if self.dtype not in DTYPES:
            raise KernelError(f"features must be one of {', '.join(DTYPES)}, not {self.dtype}")
        if min(self.channels, self.height, self.width) < 1:
            raise KernelError(f"features of {self.channels} × {self.height} × {self.width} are empty")
        inner, outer = sorted((self.channel_stride, self.cell_stride))
        extent = self.channels if self.layout == "nhwc" else self.cells
        if inner != 1 or (outer < extent and self.cells > 1):
            raise KernelError(
                f"features must be dense along channels or along cells, not have strides of {self.channel_stride} "
                f"from channel to channel and {self.cell_stride} from cell to cell"
            )
        last = (self.channels - 1) * self.channel_stride + (self.cells - 1) * self.cell_stride
        if last >= OFFSETS:
            raise KernelError(f"the features of an image span more than {OFFSETS:,} elements")

    @classmethod
    def dense(cls, dtype: str, layout: str, channels: int, height: int, width: int) -> FeatureMaps:
        """Features without gaps in a layout, one of variants.LAYOUTS. Raises KernelError as the class does."""
        if layout not in LAYOUTS:
            raise KernelError(f"features must be laid out as one of {', '.join(LAYOUTS)}, not {layout}")
        cells = height * width
        # The channels of a single cell follow each other in both.
        strides = (1, channels) if layout == "nhwc" or cells == 1 else (cells, 1)
        return cls(dtype, channels, height, width, channels * cells, *strides)

    @property
    def cells(self) -> int:
        """P."""
        return self.height * self.width

    @property
    def layout(self) -> str:
        """The layout that the kernels take them for."""
        return "nhwc" if self.channel_stride == 1 else "nchw"

    @property
    def image_bytes(self) -> int:
        """From image to image."""
        return self.image_stride * DTYPES[self.dtype]

    def bytes(self, images: int) -> int:
        """Of that many images, from the first element to the last."""
        last = (self.channels - 1) * self.channel_stride + (self.cells - 1) * self.cell_stride
        return (images - 1) * self.image_bytes + (last + 1) * DTYPES[self.dtype]
