"""The head's kernels at small sizes in the interpreter, and wrong ones that have to be noticed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from coke_edge.benchmarks.gpu_check import cases, matching
from coke_edge.benchmarks.gpu_check.agreement import agreement
from coke_edge.benchmarks.gpu_check.cases import Case, Problem
from coke_edge.benchmarks.gpu_check.rows import FAILED, PASSED, SKIPPED, Options, Row
from coke_edge.kernels import torch_reference
from coke_edge.kernels.spec import HeadSpec
from coke_edge.kernels.torch_reference import Peaks

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, on NaN, in the interpreter

SMALL = Options(device="interpreter")


def failed(rows: list[Row]) -> list[Row]:
    return [found for found in rows if found["status"] == FAILED]


def test_the_kernels_pass_in_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "MANNERS", cases.MANNERS[:2])
    monkeypatch.setattr(cases, "SMALL_SHAPES", cases.SMALL_SHAPES[:2])
    found = list(matching.rows(SMALL, "fp16"))
    assert failed(found) == []
    assert len(found) == 2 + 6 + 2 + 2
    assert all(0 <= one["error"] < 1e-6 for one in found)


@pytest.mark.usefixtures("bfloat16_products")
def test_bfloat16_passes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        matching, "cases", lambda dtype, small: [Case((2, 48, 3, 5, 4, 70), dtype, "margin", True, 2)]
    )
    assert [one["status"] for one in matching.rows(SMALL, "bf16")] == [SKIPPED]
    found = list(matching.rows(SMALL, "bf16", matching.fused_match))
    assert len(found) == 3
    assert failed(found) == []


def test_every_case_of_a_gpu_can_be_made_and_has_a_name_of_its_own() -> None:
    for dtype in cases.DTYPES:
        found = cases.cases(dtype, small=False)
        assert len({case.name for case in found}) == len(found)
        shapes = np.array([case.shape for case in found])
        cells = shapes[:, 2] * shapes[:, 3]
        assert cells.min() == 1
        assert cells.max() == 100_000
        assert (shapes[:, 4].min(), shapes[:, 4].max()) == (1, 256)
        assert (shapes[:, 5].min(), shapes[:, 5].max()) == (0, 65_536)
        assert (shapes[:, 1].min(), shapes[:, 1].max()) == (32, 512)
        assert {case.layout for case in found} == set(cases.LAYOUTS)
        assert {case.peaks for case in found} >= {1, 5}
    for case in found:
        if np.prod(case.shape[:4]) < 100_000:
            assert cases.problem(case, "cpu").features.shape == case.shape[:4]


def twin(given: Problem, case: Case) -> Peaks:
    return torch_reference.match(given.features, given.prototypes, given.clutter, case.head, given.counts)


def shifted(given: Problem, case: Case) -> Peaks:
    found = twin(given, case)
    return found._replace(index=torch.where(found.index > 0, found.index - 1, found.index))


def scaled(given: Problem, case: Case) -> Peaks:
    found = twin(given, case)
    return found._replace(similarity=found.similarity * 1.001)


def unwritten(given: Problem, case: Case) -> Peaks:
    found = twin(given, case)
    around = torch.empty_like(found.neighbourhood)  # what poisoned memory is for
    return found._replace(neighbourhood=around)


class Moody:
    """Another last bit at every call."""

    calls = 0

    def __call__(self, given: Problem, case: Case) -> Peaks:
        self.calls += 1
        found = twin(given, case)
        return found._replace(clutter=found.clutter + 1e-6 * (self.calls % 2))


def raising(given: Problem, case: Case) -> Peaks:
    raise RuntimeError("CUDA error: an illegal memory access\nwas encountered")


CASE = Case((2, 32, 6, 7, 3, 70), "fp32", "margin", True, 2)


def test_the_twin_is_right() -> None:
    assert matching.one(CASE, "cpu", twin)["status"] == PASSED


WRONG = {"shifted": shifted, "scaled": scaled, "unwritten": unwritten, "moody": Moody()}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_kernels_are_noticed(name: str) -> None:
    assert matching.one(CASE, "cpu", WRONG[name])["status"] == FAILED


def test_a_kernel_that_breaks_is_a_row() -> None:
    found = list(matching.rows(SMALL, "fp32", raising))
    assert found[0]["status"] == FAILED
    assert found[0]["error"] == "RuntimeError: CUDA error: an illegal memory access"
    assert len(found) == len(cases.cases("fp32", small=True))


def test_two_cells_that_rounding_cannot_tell_apart_are_both_right() -> None:
    features = torch.zeros(1, 2, 1, 5, dtype=torch.float64)
    features[0, 0] = 1
    features[0, 1] = torch.tensor([3.0, 1e-6, 2.0, 0.0, 1.0])
    head = HeadSpec("similarity", 0.07, 1.0)
    maps = torch_reference.score_maps(
        features, torch.eye(2, dtype=torch.float64)[:1], torch.zeros(0, 2), head
    )
    exact = torch_reference.find_peaks(maps, 1)
    assert exact.index.item() == 3
    around = torch_reference.neighbourhoods(maps.score)[0, 0, 0, 1].float()
    near = exact._replace(
        index=torch.tensor([[[1]]], dtype=torch.int32), neighbourhood=around[None, None, None]
    )
    found = agreement(near, maps, head, True, 1e-5)
    assert (found.near_ties, found.wrong, found.within(1e-5)) == (1, 0, True)
    assert agreement(near, maps, head, True, 0.0).wrong == 1  # where products are exact there are no two ways
    worse = exact._replace(index=torch.tensor([[[2]]], dtype=torch.int32))
    assert agreement(worse, maps, head, True, 1e-5).wrong == 1
    outside = exact._replace(index=torch.tensor([[[5]]], dtype=torch.int32))
    assert agreement(outside, maps, head, True, 1e-5).wrong == 1
    missing = exact._replace(index=torch.tensor([[[-1]]], dtype=torch.int32))
    assert agreement(missing, maps, head, True, 1e-5).wrong == 1


def test_the_wrong_one_of_equal_cells_is_noticed() -> None:
    case = Case((1, 32, 6, 9, 2, 2), "fp16", special="flat")

    def another(given: Problem, case: Case) -> Peaks:
        """Inside the map, and right in all but its place."""
        right = twin(given, case)
        centre = right.neighbourhood[..., 1:2, 1:2]
        return right._replace(
            index=torch.full_like(right.index, 4 * 9 + 7), neighbourhood=centre.expand(-1, -1, -1, 3, 3)
        )

    assert matching.one(case, "cpu", twin)["status"] == PASSED
    wrong = matching.one(case, "cpu", another)
    assert (wrong["status"], wrong["error"], wrong["wrong"]) == (FAILED, 0.0, 2)


def test_memory_is_poisoned_only_inside() -> None:
    with matching.poisoned_memory():
        assert torch.empty(1000).isnan().all()
        assert (torch.empty(1000, dtype=torch.int32) == torch.iinfo(torch.int32).max).all()
    assert not torch.are_deterministic_algorithms_enabled()
