"""A smaller clutter bank is taken where it costs nothing that was measured, and refused where it does."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest

from coke_edge.errors import DataError, ExportError
from coke_edge.export import clutter as module
from coke_edge.export.banks import Banks
from coke_edge.export.clutter import choose, compress, detect, features_of, sizes_to_try
from coke_edge.export.clutter_report import Difference, Limits
from coke_edge.export.crops import Crop, Label
from coke_edge.export.expected import decoded
from coke_edge.kernels.reference import match
from coke_edge.kernels.spec import Rule
from coke_edge.manifest import ModelSpec, VisibilitySpec
from coke_edge.train.checkpoint import Checkpoint

VISIBILITY = VisibilitySpec(6.0, -2.0, -3.0, (0.5, 0.0, -0.5))


def unit_rows(rng: np.random.Generator, rows: int, channels: int = 16) -> Any:
    x = rng.standard_normal((rows, channels)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def ruled(spec: ModelSpec, rule: Rule, visibility: VisibilitySpec | None = VISIBILITY) -> ModelSpec:
    head = dataclasses.replace(spec.head, rule=rule)
    return msgspec.structs.replace(spec, head=head, visibility=visibility)


@pytest.fixture
def spec(checkpoint: Checkpoint) -> ModelSpec:
    """Three keypoints in a map of 8 × 12 cells, C = 16."""
    return checkpoint.spec


@pytest.fixture
def features() -> list[Any]:
    """Twelve images' features, in batches of 8 and 4."""
    rng = np.random.default_rng(1)
    return [rng.standard_normal((count, 16, 8, 12)).astype(np.float32) for count in (8, 4)]


@pytest.fixture
def tight() -> Banks:
    """Three hundred clutter rows around sixteen directions."""
    rng = np.random.default_rng(2)
    rows = np.repeat(unit_rows(rng, 16), 20, axis=0)[:300] + 0.002 * rng.standard_normal((300, 16))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return Banks(unit_rows(rng, 3), rows.astype(np.float32))


@pytest.fixture
def loose() -> Banks:
    """Three hundred clutter rows all over the place."""
    rng = np.random.default_rng(3)
    return Banks(unit_rows(rng, 3), unit_rows(rng, 300))


def test_a_compressed_bank_is_a_bank(loose: Banks) -> None:
    small = compress(loose, 40)
    assert small.prototypes is loose.prototypes
    assert small.counts is not None
    assert (small.clutter.shape, small.clutter.dtype, small.counts.dtype) == (
        (40, 16),
        np.float32,
        np.float32,
    )
    np.testing.assert_allclose(np.linalg.norm(small.clutter, axis=1), 1, atol=1e-6)
    assert small.counts.sum() == 300
    assert small.counts.min() >= 1
    again = compress(small, 7)
    assert again.counts is not None
    assert again.counts.sum() == 300
    np.testing.assert_array_equal(compress(loose, 40).clutter, small.clutter)


def test_copies_are_merged_without_any_loss(spec: ModelSpec, features: list[Any]) -> None:
    rng = np.random.default_rng(4)
    banks = Banks(unit_rows(rng, 3), np.repeat(unit_rows(rng, 20), 5, axis=0))
    for rule in ("similarity", "margin", "log_odds"):
        choice = choose(features, banks, ruled(spec, rule, None), rows=20)
        assert choice.report.failures == []
        expected = match(features[0], banks.prototypes, banks.clutter, choice.spec.head)
        actual = match(features[0], head=choice.spec.head, **choice.banks.arrays())
        np.testing.assert_array_equal(actual.index, expected.index)
        np.testing.assert_allclose(actual.clutter, expected.clutter, atol=1e-6)
        np.testing.assert_allclose(actual.soft_clutter, expected.soft_clutter, atol=1e-6)


FEW = Limits(images=1)


def test_auto_keeps_the_full_bank_on_too_few_images(
    spec: ModelSpec, features: list[Any], tight: Banks
) -> None:
    choice = choose(features, tight, ruled(spec, "similarity"))
    assert choice.banks is tight
    assert choice.report.sentence() == (
        "clutter bank: all 300 rows, since 12 images are too few to measure a smaller one on"
    )


def test_auto_takes_the_smallest_bank_that_changes_nothing(
    spec: ModelSpec, features: list[Any], tight: Banks
) -> None:
    given = ruled(spec, "similarity")
    choice = choose(features, tight, given, limits=FEW)
    report = choice.report
    assert (report.rows, report.full, report.images, report.failures) == (16, 300, 12, [])
    assert len(choice.banks.clutter) == 16
    assert report.sentence() == "clutter bank: 16 of 300 rows, lossless within the limits"
    assert report.to_manifest()["passed"] is True
    before = decoded(detect(features, tight, given), given)
    after = decoded(detect(features, choice.banks, choice.spec), choice.spec)
    np.testing.assert_array_equal(after.xy, before.xy)
    assert np.abs(after.visible - before.visible).mean() < Limits().visible


def test_the_slopes_of_p_visible_move_along(spec: ModelSpec, features: list[Any], loose: Banks) -> None:
    given = ruled(spec, "similarity")
    choice = choose(features, loose, given, 16)
    expected = decoded(detect(features, loose, given), given).visible
    peaks = detect(features, choice.banks, given)
    moved, as_is = (np.abs(decoded(peaks, one).visible - expected).mean() for one in (choice.spec, given))
    assert moved < 0.5 * as_is


def test_auto_keeps_the_full_bank_where_keypoints_would_move(
    spec: ModelSpec, features: list[Any], loose: Banks
) -> None:
    given = ruled(spec, "log_odds")
    choice = choose(features, loose, given, limits=FEW)
    assert choice.banks is loose
    assert choice.spec is given
    assert choice.report.rows == choice.report.full == 300
    assert choice.report.tried[-1].rows == 256
    assert choice.report.to_manifest()["passed"] is True
    sentence = choice.report.sentence()
    assert sentence.startswith("clutter bank: all 300 rows, since with 256 ")
    assert "of the keypoints lie in other cells" in sentence


def test_a_number_is_obeyed_and_its_cost_is_told(spec: ModelSpec, features: list[Any], loose: Banks) -> None:
    choice = choose(features, loose, ruled(spec, "log_odds"), rows=10)
    assert len(choice.banks.clutter) == 10
    (tried,) = choice.report.tried
    assert tried.moved > 0.1
    assert choice.report.failures
    assert choice.report.to_manifest()["passed"] is False
    assert "10 of 300 rows" in choice.report.sentence()


def test_all_measures_nothing(spec: ModelSpec, loose: Banks) -> None:
    for rows in ("all", 300):
        choice = choose([], loose, spec, rows)  # type: ignore[arg-type]
        assert choice.banks is loose
        assert choice.report.sentence() == "clutter bank: all 300 rows"


def test_a_small_bank_stays(spec: ModelSpec) -> None:
    rng = np.random.default_rng(0)
    for rows in (0, 5, 16):
        banks = Banks(unit_rows(rng, 3), unit_rows(rng, rows))
        assert choose([], banks, spec).banks is banks


@pytest.mark.parametrize("rows", [0, -1, 301])
def test_rows_that_the_bank_does_not_have(spec: ModelSpec, loose: Banks, rows: int) -> None:
    with pytest.raises(ExportError, match="the clutter bank has 300 rows: ask for 1 to 300 of them"):
        choose([], loose, spec, rows)


def test_no_images(spec: ModelSpec, loose: Banks) -> None:
    with pytest.raises(DataError, match="no image to measure a smaller clutter bank on"):
        choose([], loose, spec)


def test_without_calibration_the_responses_must_stay(
    spec: ModelSpec, features: list[Any], tight: Banks, loose: Banks
) -> None:
    given = ruled(spec, "similarity", None)
    assert choose(features, tight, given, limits=FEW).report.rows == 16
    choice = choose(features, loose, given, limits=FEW)
    assert choice.report.rows == 300
    assert "responses differ by" in choice.report.sentence()


def test_pck_is_measured_where_images_are_labelled(
    spec: ModelSpec, features: list[Any], loose: Banks
) -> None:
    given = ruled(spec, "log_odds")
    right = decoded(detect(features, loose, given), given).xy
    all_counted = np.ones(3, dtype=bool)
    labels = [Label(xy, all_counted, 50.0, 0.1) for xy in right]
    report = choose(features, loose, given, 8, [None, *labels[1:]]).report
    (tried,) = report.tried
    moved = np.linalg.norm(decoded(detect(features, compress(loose, 8), given), given).xy - right, axis=-1)[
        1:
    ]
    assert tried.pck_drop == pytest.approx(100 * (moved > 5).mean(), abs=1e-3)
    assert any("PCK drops by" in sentence for sentence in report.failures)
    uncounted = [label._replace(counted=~all_counted) for label in labels]
    assert choose(features, loose, given, 8, uncounted).report.tried[0].pck_drop is None


@pytest.mark.parametrize("smallest", [16, 32, 64, 256, 512])
def test_halving_finds_the_smallest(
    spec: ModelSpec, features: list[Any], loose: Banks, smallest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made_up(_before: Any, _after: Any, _spec: Any, rows: int, _labels: Any) -> Difference:
        far = 0.0 if rows >= smallest else 9.0
        return Difference(rows, 0.0, {"median": 0.0, "p99": far, "max": far}, None, None, 0.0)

    monkeypatch.setattr(module, "difference", made_up)
    report = choose(features, loose, spec, limits=FEW).report
    assert report.rows == min(smallest, 300)
    rows = [tried.rows for tried in report.tried]
    assert rows == sorted(set(rows))
    assert smallest > 256 or smallest in rows


def test_sizes() -> None:
    assert sizes_to_try("auto", 2560) == [16, 32, 64, 128, 256, 512, 1024, 2048]
    assert sizes_to_try("auto", 64) == [16, 32]
    assert sizes_to_try("auto", 16) == sizes_to_try("all", 99) == sizes_to_try(99, 99) == []
    assert sizes_to_try(40, 99) == [40]


def test_a_peak_that_one_bank_alone_finds_is_far_off(
    spec: ModelSpec, features: list[Any], loose: Banks
) -> None:
    before = detect(features, loose, spec)
    after = before._replace(index=before.index.copy())
    after.index[2, 1, 0] = -1
    found = module.difference(before, after, spec, 1, ())
    assert found.pixels["max"] == pytest.approx(np.hypot(96, 64), abs=1e-3)
    assert module.difference(after, after, spec, 1, ()).pixels["max"] == 0


def test_features_are_those_of_the_network(checkpoint: Checkpoint) -> None:
    rng = np.random.default_rng(0)
    crops = [Crop(str(i), rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)) for i in range(9)]
    batches = features_of(checkpoint.model, crops)
    assert [batch.shape for batch in batches] == [(8, 16, 8, 12), (1, 16, 8, 12)]
    choice = choose(batches, Banks.of(checkpoint.model), ruled(checkpoint.spec, "similarity"), 4)
    assert msgspec.json.decode(msgspec.json.encode(choice.report.to_manifest()))["rows"] == 4
