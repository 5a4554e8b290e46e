"""The two kernels of the head together, under Triton's interpreter, against the numpy definition."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from coke_edge.kernels import fused, plan, reference
from coke_edge.kernels.reference import unit
from coke_edge.kernels.spec import HeadSpec, Rule
from coke_edge.kernels.targets import KernelError

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # numpy's, on NaN, in the interpreter
    pytest.mark.usefixtures("bfloat16_products"),
]

RULES: list[Rule] = ["similarity", "margin", "log_odds"]
DTYPES = [torch.float16, torch.bfloat16, torch.float32]
TOLERANCE = 4e-6  # of a float32 sum of 512 products, and of ĉ, whatever the dtype of the inputs


@dataclasses.dataclass
class Problem:
    """Inputs of a dtype, and the same numbers in float64 for the definition."""

    features: Tensor
    prototypes: Tensor
    clutter: Tensor
    counts: Tensor

    def exact(self) -> tuple[NDArray[np.float64], ...]:
        return tuple(t.double().numpy() for t in (self.features, self.prototypes, self.clutter))

    def maps(self, head: HeadSpec) -> reference.ScoreMaps:
        return reference.score_maps(*self.exact(), head, self.counts.double().numpy())


def problem(b: int, c: int, h: int, w: int, k: int, n: int, dtype: torch.dtype = torch.float32) -> Problem:
    rng = np.random.default_rng([b, c, h, w, k, n])

    def tensor(x: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(x).to(dtype)

    return Problem(
        tensor(rng.normal(size=(b, c, h, w)) * rng.uniform(0.1, 20, size=(b, 1, h, w))),
        tensor(unit(rng.normal(size=(k, c)), axis=1)),
        tensor(unit(rng.normal(size=(n, c)), axis=1)),
        torch.from_numpy(rng.integers(1, 6, n).astype(np.float32)),
    )


def assert_same_maps(inputs: Problem, head: HeadSpec, features: Tensor | None = None) -> None:
    given = inputs.features if features is None else features
    found = fused.score_maps(given, inputs.prototypes, inputs.clutter, head, inputs.counts)
    for quantity, expected in zip(found, inputs.maps(head), strict=True):
        np.testing.assert_allclose(quantity.numpy(), expected, atol=TOLERANCE)


def assert_same_peaks(inputs: Problem, head: HeadSpec, soft: bool = True) -> None:
    found = fused.match(inputs.features, inputs.prototypes, inputs.clutter, head, inputs.counts, soft)
    expected = reference.find_peaks(inputs.maps(head), head.peaks)
    assert np.array_equal(found.index.numpy(), expected.index)
    for name in ("similarity", "clutter", "soft_clutter", "neighbourhood"):
        if soft or name != "soft_clutter":
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=TOLERANCE)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "shape",
    [  # B, C, H, W, K, N
        (1, 32, 1, 1, 1, 0),
        (1, 64, 1, 3, 2, 1),
        (2, 48, 7, 11, 5, 200),
        (3, 40, 9, 8, 17, 65),
        (1, 128, 5, 9, 9, 130),
        (1, 512, 3, 5, 3, 70),
        (1, 200, 2, 3, 2, 66),
        (2, 96, 1, 70, 20, 33),
    ],
    ids=lambda shape: "B{}-C{}-{}x{}-K{}-N{}".format(*shape),
)
def test_maps_of_odd_shapes(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    assert_same_maps(problem(*shape, dtype), HeadSpec("log_odds", 0.07, 0.005))


@settings(max_examples=15, deadline=None)
@given(
    st.tuples(*map(st.integers, (1, 16, 1, 1, 1, 0), (3, 70, 9, 9, 40, 140))),
    st.sampled_from(DTYPES),
    st.booleans(),
    st.sampled_from(RULES),
)
def test_any_shape(shape: tuple[int, ...], dtype: torch.dtype, last: bool, rule: Rule) -> None:
    inputs = problem(*shape, dtype)
    layout = torch.channels_last if last else torch.contiguous_format
    assert_same_maps(inputs, HeadSpec(rule, 0.07, 0.005), inputs.features.contiguous(memory_format=layout))


def test_many_keypoints() -> None:
    assert_same_maps(problem(1, 32, 2, 3, 256, 5), HeadSpec("margin", 0.07, 0.005))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("count", [1, 4])
def test_peaks_of_every_rule(rule: Rule, count: int) -> None:
    assert_same_peaks(problem(2, 32, 9, 10, 3, 150), HeadSpec(rule, 0.07, 0.005, count))


@pytest.mark.parametrize("rule", RULES)
def test_an_empty_clutter_bank(rule: Rule) -> None:
    assert_same_peaks(problem(1, 32, 4, 5, 3, 0), HeadSpec(rule, 0.07, 0.005, 2))


@pytest.mark.parametrize("temperature", [0.01, 1.0])
def test_temperatures(temperature: float) -> None:
    assert_same_maps(problem(1, 32, 4, 5, 3, 300), HeadSpec("log_odds", temperature, 0.3))


def test_counts_are_one_each_if_not_given() -> None:
    inputs = problem(1, 32, 4, 5, 3, 70)
    head = HeadSpec("log_odds", 0.07, 0.005)
    found = fused.score_maps(inputs.features, inputs.prototypes, inputs.clutter, head)
    np.testing.assert_allclose(found.score, reference.score_maps(*inputs.exact(), head).score, atol=TOLERANCE)


def test_without_the_soft_response() -> None:
    inputs = problem(1, 32, 4, 5, 3, 70)
    assert_same_peaks(inputs, HeadSpec("margin", 0.07, 0.005, 2), soft=False)
    found = fused.match(
        inputs.features, inputs.prototypes, inputs.clutter, HeadSpec("margin", 0.07, 0.005), soft=False
    )
    assert found.soft_clutter.isnan().all()
    with pytest.raises(KernelError, match="soft=True"):
        fused.match(
            inputs.features, inputs.prototypes, inputs.clutter, HeadSpec("log_odds", 0.07, 0.005), soft=False
        )


def test_the_largest_clutter_bank() -> None:
    assert_same_maps(problem(1, 32, 2, 3, 1, 65_536), HeadSpec("log_odds", 0.07, 0.005))


def test_more_cells_than_float16_counts() -> None:
    h, w = 260, 256  # 66,560 cells
    features = torch.zeros(1, 16, h, w)
    features[:, 0] = 1
    features[0, :, 258, 201] = torch.eye(16)[1]
    bank = torch.eye(16)[1:2]
    peaks = fused.match(features, bank, torch.zeros(0, 16), HeadSpec("similarity", 1, 1))
    assert peaks.index.item() == 258 * 256 + 201 > 65_504


LAYOUTS = {
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "every second image": lambda x: x.repeat_interleave(2, 0)[::2],
    "channels of a larger map": lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
    "a window of a larger map": lambda x: torch.nn.functional.pad(x, (1, 2, 3, 4), value=9.0)[
        ..., 3:-4, 1:-2
    ],
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_strides(layout: str) -> None:
    inputs = problem(2, 32, 5, 7, 3, 70)
    given = LAYOUTS[layout](inputs.features)
    assert torch.equal(given, inputs.features)
    assert not given.is_contiguous()
    assert_same_maps(inputs, HeadSpec("margin", 0.07, 0.005), given)


def test_a_large_batch_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = problem(5, 32, 5, 7, 3, 70)
    args = (inputs.features, inputs.prototypes, inputs.clutter, HeadSpec("log_odds", 0.07, 0.005, 2))
    together = fused.match(*args)
    monkeypatch.setattr(plan, "MAPS_BYTES", 2 * 3 * 35 * 4)  # two images
    calls = []
    respond = fused.respond
    monkeypatch.setattr(fused, "respond", lambda *a: calls.append(len(a[0])) or respond(*a))
    for a, b in zip(fused.match(*args), together, strict=True):
        assert torch.equal(a, b)
    assert calls == [2, 2, 1]


@pytest.mark.parametrize(
    "tile",
    [plan.Tile(32, 16, 16, 64, 4, 2), plan.Tile(128, 64, 32, 16, 8, 3), plan.Tile(16, 128, 16, 32, 4, 4)],
    ids=str,
)
@pytest.mark.parametrize("parts", [1, 2])
def test_a_tile_of_ones_own(tile: plan.Tile, parts: int) -> None:
    inputs = problem(2, 56, 5, 7, 3, 200)
    rows = tile.block_rows * -(-200 // (tile.block_rows * parts))
    similarity, response, mass = fused.respond(
        inputs.features, inputs.prototypes, inputs.clutter, inputs.counts, 0.07, True, tile, rows
    )
    assert len(response) == len(mass) == -(-200 // rows)
    expected = inputs.maps(HeadSpec("log_odds", 0.07, 1.0))
    hard = response.amax(0)
    soft = hard + 0.07 * (mass * ((response - hard) / 0.07).exp()).sum(0).log()
    for found, wanted in zip((similarity, hard, soft), expected[1:], strict=True):
        np.testing.assert_allclose(found, wanted.reshape(found.shape), atol=TOLERANCE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [0, 70])
def test_a_broken_cell_neither_wins_nor_poisons(value: float, n: int) -> None:
    inputs = problem(2, 32, 5, 7, 3, n)
    inputs.features[1, 3, 2, 4] = value
    inputs.features[0, :, 1, 1] = 0
    for rule in RULES:
        assert_same_peaks(inputs, HeadSpec(rule, 0.07, 0.005, 3))
    assert_same_maps(inputs, HeadSpec("log_odds", 0.07, 0.005))


def test_nothing_but_nan() -> None:
    inputs = problem(1, 32, 3, 3, 2, 5)
    inputs.features[:] = torch.nan
    peaks = fused.match(
        inputs.features, inputs.prototypes, inputs.clutter, HeadSpec("log_odds", 0.07, 0.005, 2)
    )
    assert (peaks.index == reference.NO_PEAK).all()
    assert all((quantity == -torch.inf).all() for quantity in peaks[1:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_the_error_is_at_most_twice_that_of_plain_torch(dtype: torch.dtype) -> None:
    inputs = problem(1, 128, 6, 6, 4, 100, dtype)
    head = HeadSpec("margin", 0.07, 0.005)
    cells = inputs.features / inputs.features.norm(dim=1, keepdim=True)
    similarity = torch.einsum("kc,bchw->bkhw", inputs.prototypes, cells)
    plain = similarity - torch.einsum("nc,bchw->bnhw", inputs.clutter, cells).amax(1, keepdim=True)
    found = fused.score_maps(inputs.features, inputs.prototypes, inputs.clutter, head)
    exact = reference.score_maps(*inputs.exact(), head).score
    assert np.abs(found.score.numpy() - exact).max() <= 2 * np.abs(plain.double().numpy() - exact).max()


def test_the_same_inputs_give_the_same_bits() -> None:
    inputs = problem(1, 32, 5, 7, 3, 300)
    args = (inputs.features, inputs.prototypes, inputs.clutter, HeadSpec("log_odds", 0.07, 0.005, 3))
    for a, b in zip(fused.match(*args), fused.match(*args), strict=True):
        assert torch.equal(a, b)


def test_the_operator_is_one_for_torch() -> None:
    inputs = problem(2, 32, 5, 7, 3, 70)
    args = (inputs.features, inputs.prototypes, inputs.clutter, inputs.counts, 2, 0.07, 0.005, 3, True)
    torch.library.opcheck(fused.packed_peaks, args)


class Head(torch.nn.Module):
    """A network that ends in the head."""

    def __init__(self, inputs: Problem) -> None:
        super().__init__()
        self.register_buffer("prototypes", inputs.prototypes)
        self.register_buffer("clutter", inputs.clutter)

    def forward(self, x: Tensor) -> fused.Peaks:
        head = HeadSpec("log_odds", 0.07, 0.005, 2)
        return fused.match(torch.relu(x) + 1, self.prototypes, self.clutter, head)


def test_a_compiled_network_may_end_in_it() -> None:
    inputs = problem(2, 32, 5, 7, 3, 70)
    model = Head(inputs)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for features in (inputs.features, problem(3, 32, 6, 4, 3, 0).features):
        for found, expected in zip(compiled(features), model(features), strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": torch.ones(32, 5, 7)}, r"\[B, C, H, W\]"),
        ({"features": torch.ones(1, 31, 5, 7)}, r"\[B, C, H, W\]"),
        ({"features": torch.ones(0, 32, 5, 7)}, "must not be empty"),
        ({"features": torch.ones(1, 32, 5, 7, dtype=torch.float64)}, "float16, bfloat16 or float32"),
        ({"prototypes": torch.ones(0, 32)}, "must not be empty"),
        ({"clutter": torch.ones(70, 16)}, r"\[N, C\]"),
        ({"counts": torch.ones(69)}, "one entry for each"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(change: dict[str, Tensor], message: str) -> None:
    inputs = dataclasses.replace(problem(1, 32, 5, 7, 3, 70), **change)
    with pytest.raises(KernelError, match=message):
        fused.match(
            inputs.features, inputs.prototypes, inputs.clutter, HeadSpec("margin", 0.07, 0.005), inputs.counts
        )


def test_without_the_interpreter_the_kernels_want_a_gpu() -> None:
    code = (
        "import os; del os.environ['TRITON_INTERPRET']; import torch; from coke_edge.kernels import fused, spec\n"
        "x = torch.ones(1, 16, 2, 2)\n"
        "fused.match(x, x[0, :, 0, :1].T, torch.ones(0, 16), spec.HeadSpec('margin', 1, 1))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "KernelError: the kernels need features on an NVIDIA GPU, not on cpu" in found.stderr
