"""Problems that a kernel may get wrong: odd shapes, layouts, rules, and cells that hold no number."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from coke_edge.benchmarks.sizes import CLUTTER_WEIGHT, TEMPERATURE
from coke_edge.kernels.spec import HeadSpec, Rule

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}

# B, C, H, W, K, N; the most telling first, since a section may run out of time.
SHAPES = (
    (1, 128, 32, 32, 16, 2560),
    (1, 32, 1, 1, 1, 0),
    (2, 48, 7, 11, 5, 200),
    (8, 128, 32, 32, 16, 256),
    (1, 64, 1, 3, 2, 1),
    (3, 40, 9, 8, 17, 65),
    (1, 128, 13, 17, 256, 300),
    (1, 64, 250, 400, 4, 1000),  # 100,000 cells
    (1, 128, 8, 9, 4, 65_536),
    (1, 512, 3, 5, 3, 70),
    (1, 256, 48, 56, 16, 2560),
    (1, 32, 260, 256, 8, 100),  # more cells than float16 counts
    (64, 128, 32, 32, 16, 2560),
    (1, 512, 80, 120, 16, 2560),
    (1, 96, 1, 1000, 9, 129),
    (1, 128, 33, 31, 16, 16_384),
    (5, 72, 1000, 1, 33, 64),
)
SMALL_SHAPES = ((1, 32, 1, 1, 1, 0), (2, 48, 7, 11, 5, 130), (1, 64, 1, 3, 2, 1), (1, 128, 4, 5, 17, 70))
MANNERS: tuple[tuple[Rule, bool, int, str], ...] = (
    ("margin", False, 1, "nchw"),
    ("log_odds", True, 5, "nhwc"),
    ("similarity", True, 1, "channels of a larger map"),
    ("margin", True, 5, "a window of a larger map"),
    ("log_odds", True, 1, "nchw"),
    ("similarity", False, 5, "nhwc"),
    ("margin", False, 5, "every second image"),
)
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "nchw": lambda x: x,
    "nhwc": lambda x: x.contiguous(memory_format=torch.channels_last),
    "channels of a larger map": lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
    "a window of a larger map": lambda x: F.pad(x, (1, 2, 3, 4), value=9.0)[..., 3:-4, 1:-2],
    "every second image": lambda x: x.repeat_interleave(2, 0)[::2],
}
SPOILED = ("NaN", "infinity", "zero norm", "nothing but NaN")
EQUAL = ("ties", "flat")  # cells


@dataclasses.dataclass(frozen=True)
class Case:
    """One problem and how it is asked."""

    shape: tuple[int, int, int, int, int, int]  # B, C, H, W, K, N
    dtype: str
    rule: Rule = "margin"
    soft: bool = False
    peaks: int = 1
    layout: str = "nchw"
    special: str = ""

    @property
    def name(self) -> str:
        shape = "B{}·C{}·{}×{}·K{}·N{}".format(*self.shape)
        words = [
            shape,
            self.rule,
            "soft" if self.soft else "hard",
            f"M{self.peaks}",
            self.layout,
            self.special,
        ]
        return " ".join(word for word in words if word)

    @property
    def head(self) -> HeadSpec:
        return HeadSpec(self.rule, TEMPERATURE, CLUTTER_WEIGHT, self.peaks)


@dataclasses.dataclass
class Problem:
    """The inputs of a case, on a device; the banks in the dtype of the features."""

    features: Tensor  # [B, C, H, W]
    prototypes: Tensor  # [K, C]
    clutter: Tensor  # [N, C]
    counts: Tensor  # float32 [N]


def cases(dtype: str, small: bool) -> list[Case]:
    """All cases of a dtype. The manners go round at another place for each dtype."""
    start = list(DTYPES).index(dtype)
    manners = itertools.islice(itertools.cycle(MANNERS), start, None)
    shapes = SMALL_SHAPES if small else SHAPES
    odd = [Case(shape, dtype, *manner) for shape, manner in zip(shapes, manners, strict=False)]
    shape = (2, 32, 5, 7, 3, 70) if small else (2, 64, 21, 33, 5, 700)
    unusual = [Case(shape, dtype, "log_odds", True, 3, special=kind) for kind in SPOILED]
    unusual += [Case((2, 32, 6, 9, 2, 2), dtype, "margin", False, 4, special=kind) for kind in EQUAL]
    key = (1, 32, 8, 8, 4, 100) if small else (1, 128, 32, 32, 16, 2560)
    at_key = [Case(key, dtype, *manner) for manner in MANNERS]
    return list(dict.fromkeys([*odd[:4], *unusual, *at_key, *odd[4:]]))


def problem(case: Case, device: str) -> Problem:
    """The same numbers for a case on every device."""
    b, c, h, w, k, n = case.shape
    dtype = DTYPES[case.dtype]
    generator = torch.Generator().manual_seed(sum(case.shape))
    if case.special == "ties":
        return axes(case, device, torch.randint(3, (b, h, w), generator=generator))
    if case.special == "flat":
        return axes(case, device, torch.zeros(b, h, w, dtype=torch.int64))

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    features = normal(b, c, h, w) * (0.1 + 20 * torch.rand((b, 1, h, w), generator=generator))
    spoil(features, case.special)
    prototypes, clutter = (F.normalize(normal(rows, c), dim=1) for rows in (k, n))
    counts = torch.randint(1, 6, (n,), generator=generator).float()
    return Problem(
        LAYOUTS[case.layout](features.to(device, dtype)),
        prototypes.to(device, dtype),
        clutter.to(device, dtype),
        counts.to(device),
    )


def axes(case: Case, device: str, which: Tensor) -> Problem:
    """Features along the axes [B, H, W] of feature space: every product is exact, and most cells are equal."""
    _, c, _, _, k, n = case.shape
    unit = torch.eye(c, device=device, dtype=DTYPES[case.dtype])
    features = unit[which.to(device)].permute(0, 3, 1, 2).contiguous()
    return Problem(
        features, unit[:k].contiguous(), unit[k : k + n].contiguous(), torch.ones(n, device=device)
    )


def spoil(features: Tensor, special: str) -> None:
    """Put into some cells of the features what the case is about."""
    values = {"NaN": torch.nan, "infinity": torch.inf}
    if special in values:
        features[-1, 3, 2, 4] = values[special]
        features[0, :, 1, 1] = -values[special]
    elif special == "zero norm":
        features[0, :, 1, 1] = 0
        features[-1, :, :, 2] = 0
    elif special == "nothing but NaN":
        features[0] = torch.nan
