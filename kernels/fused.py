"""The head on an NVIDIA GPU from torch: `match` and `peaks` compiled at first use, as a custom operator.

For evaluation over a data set, where torch and Triton are at hand; a device launches the same kernels from
binaries. Works under `torch.compile`. Not differentiable: training uses `torch_reference.py`.
"""

# mypy: disable-error-code="no-untyped-call, untyped-decorator"

from __future__ import annotations

import torch
from torch import Tensor
from triton import knobs
from triton.runtime.errors import OutOfResources

from . import plan
from .match import match as match_kernel
from .packed import PEAK_WORDS, RULES
from .peaks import peaks as peaks_kernel
from .spec import HeadSpec
from .targets import TARGETS, KernelError, Target, of_capability
from .torch_reference import Peaks, ScoreMaps

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
IMAGES = 65_535  # programs along the last axis of a grid
OFFSETS = 2**31  # the kernels count elements inside an image, and inside a bank, in 31 bits


def match(
    features: Tensor,  # float16, bfloat16 or float32 [B, C, H, W], channels first or last without a copy
    prototypes: Tensor,  # [K, C], unit rows
    clutter: Tensor,  # [N, C], unit rows; N may be 0
    head: HeadSpec,
    counts: Tensor | None = None,  # [N], 1 each if None
    soft: bool = True,
) -> Peaks:
    """The whole head: features to peaks. Banks are taken in the dtype of the features, products in float32.

    Without `soft` the soft response is not computed and ĉ is NaN at every peak; the rule may not need it then.
    Raises KernelError for shapes, dtypes, devices or rules that the kernels do not take.
    """
    rule, constants = RULES.index(head.rule), (head.temperature, head.clutter_weight, head.peaks)
    packed = packed_peaks(features, prototypes, clutter, counts, rule, *constants, soft)
    values = packed.view(torch.float32)
    around = values[..., 4:].unflatten(-1, (3, 3))
    return Peaks(packed[..., 0], values[..., 1], values[..., 2], values[..., 3], around)


def score_maps(
    features: Tensor,
    prototypes: Tensor,
    clutter: Tensor,
    head: HeadSpec,
    counts: Tensor | None = None,
) -> ScoreMaps:
    """The quantities of every cell in float32, from the same kernels. Arguments and errors as of `match`."""
    similarity, response, mass = respond(features, prototypes, clutter, counts, head.temperature, True)
    score = torch.empty_like(similarity)
    reduce(similarity, response, mass, score, features.shape[-1], head, True)
    if len(response) == 0:
        hard = soft = torch.where(similarity[:, 0].isnan(), torch.nan, -1.0)
    else:
        hard = response.amax(0)
        total = (mass * ((response - hard) / head.temperature).exp()).sum(0)
        soft = hard + head.temperature * (head.clutter_weight * total).log()
    grid = features.shape[2:]
    return ScoreMaps(*(quantity.unflatten(-1, grid) for quantity in (score, similarity, hard, soft)))


@torch.library.custom_op("coke_edge::match", mutates_args=())
def packed_peaks(
    features: Tensor,
    prototypes: Tensor,
    clutter: Tensor,
    counts: Tensor | None,
    rule: int,  # index in RULES
    temperature: float,
    clutter_weight: float,
    peaks: int,
    soft: bool,
) -> Tensor:
    """Peaks, int32 [B, K, M, 13], as `packed.py` lays them out."""
    head = HeadSpec(RULES[rule], temperature, clutter_weight, peaks)
    if head.rule == "log_odds" and not soft:
        raise KernelError("the rule log_odds needs the soft clutter response; leave soft=True")
    check(features, prototypes, clutter, counts)
    images, _, height, width = features.shape
    prototypes, clutter = (bank.to(features.dtype).contiguous() for bank in (prototypes, clutter))
    packed = features.new_empty((images, len(prototypes), peaks, PEAK_WORDS), dtype=torch.int32)
    # The K maps are nearly all the memory that the head needs, so a large batch takes its turns in it.
    share = plan.images_at_a_time(images, len(prototypes), height * width)
    for some, found in zip(features.split(share), packed.split(share), strict=True):
        some_peaks(some, prototypes, clutter, counts, head, soft, found)
    return packed


@packed_peaks.register_fake
def _(
    features: Tensor,
    prototypes: Tensor,
    clutter: Tensor,
    counts: Tensor | None,
    rule: int,
    temperature: float,
    clutter_weight: float,
    peaks: int,
    soft: bool,
) -> Tensor:
    return features.new_empty((len(features), len(prototypes), peaks, PEAK_WORDS), dtype=torch.int32)


def some_peaks(
    features: Tensor,
    prototypes: Tensor,
    clutter: Tensor,
    counts: Tensor | None,
    head: HeadSpec,
    soft: bool,
    packed: Tensor,  # int32 [B, K, M, 13], written
) -> None:
    """Both passes over some of the images; their maps are free again on return."""
    similarity, response, mass = respond(features, prototypes, clutter, counts, head.temperature, soft)
    # The scores overwrite the similarities.
    reduce(similarity, response, mass, similarity, features.shape[-1], head, soft, packed)


def respond(
    features: Tensor,
    prototypes: Tensor,
    clutter: Tensor,
    counts: Tensor | None,
    temperature: float,
    soft: bool,
    tile: plan.Tile | None = None,
    part_rows: int | None = None,  # a multiple of the tile's block_rows
) -> tuple[Tensor, Tensor, Tensor]:
    """Pass 1: similarity [B, K, P], response and mass [T, B, P] of the parts, float32.

    The tile and the parts are those of `plan.py` if None.
    """
    check(features, prototypes, clutter, counts)
    b, c, h, w = features.shape
    if h > 1 and features.stride(2) != w * features.stride(3):
        features = features.contiguous()  # a view whose rows of cells do not follow each other
    k, n, cells = len(prototypes), len(clutter), h * w
    prototypes, clutter = (bank.to(features.dtype).contiguous() for bank in (prototypes, clutter))
    target, processors = device_of(features)
    tile = tile or plan.tile(target, c, features.element_size(), k, b * cells)
    blocks = -(-cells // tile.block_cells)
    part_rows = part_rows or plan.part_rows(b * blocks, n, tile.block_rows, processors)
    parts = plan.parts(n, part_rows)

    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.float32, device=features.device)

    similarity, response = empty(b, k, cells), empty(parts, b, cells)
    mass = torch.empty_like(response) if soft else response
    if soft:
        weights = torch.ones_like(clutter[:, 0], dtype=torch.float32) if counts is None else counts.float()
        weights = weights.contiguous()
    else:
        weights = response
    try:
        match_kernel[(blocks, 1 + parts, b)](
            features, prototypes, clutter, weights, similarity, response, mass,
            features.stride(0), features.stride(1), features.stride(3),
            cells, k, n, part_rows, 1 / temperature,
            CHANNELS=c, BLOCK_CHANNELS=tile.block_channels, BLOCK_CELLS=tile.block_cells,
            BLOCK_KEYPOINTS=tile.block_keypoints, BLOCK_ROWS=tile.block_rows, SOFT=soft,
            PRECISION=plan.precision("fp32" if features.dtype == torch.float32 else "fp16"),
            num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip
    except OutOfResources as error:
        raise KernelError(
            f"{c} channels of {features.dtype} in {tile} do not fit on this GPU ({error})"
        ) from error
    return similarity, response, mass


def reduce(
    similarity: Tensor,  # float32 [B, K, P]
    response: Tensor,  # float32 [T, B, P]
    mass: Tensor,  # float32 [T, B, P]
    score: Tensor,  # float32 [B, K, P], written; may be `similarity`
    width: int,
    head: HeadSpec,
    soft: bool,
    packed: Tensor | None = None,
) -> Tensor:
    """Pass 2: packed peaks int32 [B, K, M, 13], written to `packed` if given."""
    b, k, cells = similarity.shape
    if packed is None:
        packed = similarity.new_empty((b, k, head.peaks, PEAK_WORDS), dtype=torch.int32)
    candidates = torch.empty_like(score) if head.peaks > 1 else score
    peaks_kernel[(k, b)](
        similarity, response, mass, score, candidates, packed,
        cells // width, width, len(response), head.peaks, RULES.index(head.rule),
        float(head.temperature), float(head.clutter_weight),
        BLOCK=plan.peaks_block(cells), SOFT=soft, num_warps=plan.PEAKS_WARPS, num_stages=1,
    )  # fmt: skip
    return packed


def device_of(features: Tensor) -> tuple[Target, int]:
    """The GPU's target and its number of multiprocessors; those of an H100 under Triton's interpreter."""
    if not features.is_cuda:
        if not knobs.runtime.interpret:
            raise KernelError(f"the kernels need features on an NVIDIA GPU, not on {features.device}")
        return TARGETS["h100"], 132
    properties = torch.cuda.get_device_properties(features.device)
    return of_capability(10 * properties.major + properties.minor), properties.multi_processor_count


def check(features: Tensor, prototypes: Tensor, clutter: Tensor, counts: Tensor | None) -> None:
    """Raise KernelError, naming what is wrong, unless the kernels take these inputs."""
    shapes = [tuple(t.shape) for t in (features, prototypes, clutter)]
    if [len(shape) for shape in shapes] != [4, 2, 2] or len({shapes[0][1], shapes[1][1], shapes[2][1]}) > 1:
        raise KernelError(f"features, prototypes, clutter must be [B, C, H, W], [K, C], [N, C], not {shapes}")
    if 0 in shapes[0] or 0 in shapes[1]:
        raise KernelError(f"features and prototypes must not be empty; their shapes are {shapes[:2]}")
    if counts is not None and counts.shape != clutter.shape[:1]:
        raise KernelError(f"counts must have one entry for each of the {len(clutter)} clutter rows")
    if shapes[0][0] > IMAGES:
        raise KernelError(
            f"{shapes[0][0]:,} images are more than the {IMAGES:,} of one launch: take them in parts"
        )
    if features.dtype not in DTYPES:
        raise KernelError(f"features must be float16, bfloat16 or float32, not {features.dtype}")
    if any(t.device != features.device for t in (prototypes, clutter, counts) if t is not None):
        raise KernelError(f"the banks must be on the device of the features, {features.device}")
    sizes = [
        features[0].numel(),
        prototypes.numel(),
        clutter.numel(),
        len(prototypes) * features[0, 0].numel(),
    ]
    if max(sizes) >= OFFSETS:
        raise KernelError(f"an image, a bank or its maps has more than {OFFSETS:,} elements")
