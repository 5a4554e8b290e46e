"""The kernels of the TensorRT plugins without TensorRT: the driver takes their PTX and the same arguments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coke_edge.benchmarks.gpu_check import launched
from coke_edge.benchmarks.gpu_check.cases import Case, problem
from coke_edge.benchmarks.gpu_check.matching import TOLERANCE
from coke_edge.benchmarks.gpu_check.rows import Row, checked
from coke_edge.kernels import plan
from coke_edge.kernels.artifact import Binary
from coke_edge.kernels.driver import Driver
from coke_edge.kernels.gpu_banks import GpuBanks
from coke_edge.kernels.launch import Kernels
from coke_edge.kernels.packed import PEAK_WORDS, RULES, unpack
from coke_edge.kernels.plugin_variants import PEAKS
from coke_edge.kernels.reference import Peaks
from coke_edge.kernels.workspace import Workspace

WORD = 4  # bytes of a float32, of an int32


def cases(binary: Binary) -> list[Case]:
    """What a plugin's `match` is asked; its map has a multiple of 8 cells and its bank is not empty."""
    dtype, channels = binary.name.rpartition("-")[2], int(binary.constants["CHANNELS"])
    return [
        Case((b, channels, h, w, k, n), dtype, "log_odds", True, 3, "nchw")
        for b, h, w, k, n in launched.SHAPES
        if n
    ]


def head(driver: Driver, kernels: Kernels, name: str, binary: Binary, case: Case) -> Row:
    """Both plugins in a row, against the definition."""
    given = problem(case, "cpu")
    stream = driver.stream()
    theta, beta, counts = (t.float().numpy() for t in (given.prototypes, given.clutter, given.counts))
    banks = GpuBanks(driver, case.dtype, theta, beta, counts, stream)
    try:
        found = peaks(driver, kernels, binary, case, banks, launched.elements(given.features, "nchw"), stream)
    finally:
        banks.free()
    result = launched.compare(found, given, case)
    return checked(
        name, result.within(TOLERANCE), error=result.error, near_ties=result.near_ties, wrong=result.wrong
    )


def peaks(
    driver: Driver,
    kernels: Kernels,
    binary: Binary,
    case: Case,
    banks: GpuBanks,
    features: NDArray[np.generic],
    stream: int,
) -> Peaks:
    """The launches of an engine: pointers and int32, no scratch."""
    images, _, height, width, keypoints, rows = case.shape
    cells, block = height * width, binary.constants["BLOCK_CELLS"]
    part_rows = plan.part_rows(images * -(-cells // block), rows, binary.constants["BLOCK_ROWS"], 4)
    parts = plan.parts(rows, part_rows)
    spec = case.head
    settings = np.array([spec.temperature, 1 / spec.temperature, spec.clutter_weight], np.float32)
    packed = np.empty((images, keypoints, spec.peaks, PEAK_WORDS), np.int32)
    maps, response = WORD * images * keypoints * cells, WORD * parts * images * cells
    memory = Workspace(
        driver,
        {
            "features": features.nbytes,
            "settings": settings.nbytes,
            **dict.fromkeys(("similarity", "score", "candidates"), maps),
            **dict.fromkeys(("response", "mass"), response),
            "packed": packed.nbytes,
        },
    )
    try:
        driver.upload(memory["features"], features, stream)
        driver.upload(memory["settings"], settings, stream)
        between = {key: memory[key] for key in ("similarity", "response", "mass", "settings")}
        kernels.kernel(binary.name)(
            (-(-cells // block), 1 + parts, images), stream, **between,
            features=memory["features"], **{key: banks[key] for key in ("prototypes", "clutter", "counts")},
            cells=cells, keypoints=keypoints, rows=rows, part_rows=part_rows,
        )  # fmt: skip
        kernels.kernel(PEAKS)(
            (keypoints, images, 1), stream, **between, **{k: memory[k] for k in ("packed", "score", "candidates")},
            height=height, width=width, parts=parts, count=spec.peaks, rule=RULES.index(spec.rule),
        )  # fmt: skip
        driver.download(packed, memory["packed"], stream)
        driver.synchronize(stream)
    finally:
        memory.free()
    return unpack(packed)
