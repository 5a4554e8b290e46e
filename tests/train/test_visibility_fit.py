"""The fit of P(visible) against data of a known law."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from coke_edge.decode import visibility as decoded_visibility
from coke_edge.kernels.reference import Peaks
from coke_edge.manifest import EvidenceSpec
from coke_edge.train.visibility_fit import Observations, cross_validate, fit, fit_simplest, probability

KEYPOINTS = 3
EVIDENCE = EvidenceSpec(0.0, 4, 0.07)


def drawn(count: int, slopes=(8.0, -6.0, 0.0), biases=(0.0, 1.0, -1.0), seed: int = 0) -> Observations:
    """Observations whose truth follows the logistic law, of as many quantities as slopes."""
    rng = np.random.default_rng(seed)
    quantities = rng.uniform(-0.2, 1.0, (count, len(slopes)))
    keypoint = rng.integers(0, KEYPOINTS, count)
    logit = quantities @ np.array(slopes) + np.array(biases)[keypoint]
    visible = rng.random(count) < 1 / (1 + np.exp(-logit))
    return Observations(quantities, keypoint, visible, np.arange(count) // 6, np.zeros(count, bool))


def test_the_fit_finds_the_law_that_made_the_data():
    spec = fit(drawn(20_000), KEYPOINTS)
    assert spec.similarity == pytest.approx(8, abs=0.6)
    assert spec.clutter == pytest.approx(-6, abs=0.6)
    assert spec.soft_clutter == pytest.approx(0, abs=0.3)
    np.testing.assert_allclose(spec.bias, (0, 1, -1), atol=0.3)


def test_the_evidence_is_a_fourth_quantity():
    seen = drawn(20_000, slopes=(4.0, -6.0, 0.0, 5.0))
    spec = fit(seen, KEYPOINTS, EVIDENCE)
    np.testing.assert_allclose(spec.slopes, (4, -6, 0, 5), atol=0.6)
    assert spec.evidence == msgspec.structs.replace(EVIDENCE, slope=spec.slopes[3])
    logit = seen.quantities @ np.array(spec.slopes) + np.array(spec.bias)[seen.keypoint]
    np.testing.assert_allclose(probability(spec, seen), 1 / (1 + np.exp(-logit)), rtol=1e-9)
    with_it, without = (
        cross_validate(some, KEYPOINTS, evidence)["auroc"]
        for some, evidence in ((seen, EVIDENCE), (seen._replace(quantities=seen.quantities[:, :3]), None))
    )
    assert with_it > without + 0.02


def test_the_map_of_the_hidden_keypoint_is_a_fifth_quantity():
    seen = drawn(20_000, slopes=(4.0, -6.0, 0.0, 5.0, -7.0))
    spec = fit(seen, KEYPOINTS, msgspec.structs.replace(EVIDENCE, hidden=0.0))
    np.testing.assert_allclose(spec.slopes, (4, -6, 0, 5, -7), atol=0.7)
    assert (spec.evidence.slope, spec.evidence.hidden) == spec.slopes[3:]


@pytest.mark.parametrize(("clutter", "kept"), [(-6.0, True), (-0.3, False)])
def test_clutter_responses_get_a_slope_where_they_tell_what_the_evidence_does_not(clutter, kept):
    seen = drawn(6000, slopes=(4.0, clutter, 0.0, 5.0))
    spec, figures = fit_simplest(seen, KEYPOINTS, EVIDENCE)
    if kept:
        assert spec == fit(seen, KEYPOINTS, EVIDENCE)
        assert figures == cross_validate(seen, KEYPOINTS, EVIDENCE)
    else:
        assert spec.clutter == spec.soft_clutter == 0
        assert spec == fit(seen.without_clutter(), KEYPOINTS, EVIDENCE)
        assert figures == cross_validate(seen.without_clutter(), KEYPOINTS, EVIDENCE)
    assert seen.quantities[:, 1].any()  # what was observed is left as it is


def test_clutter_responses_stay_where_there_is_one_object():
    seen = drawn(6, slopes=(4.0, -6.0, 0.0, 5.0))
    spec, figures = fit_simplest(seen, KEYPOINTS, EVIDENCE)
    assert (spec, figures) == (fit(seen, KEYPOINTS, EVIDENCE), {})
    assert spec.clutter != 0


def test_a_quantity_too_many_is_no_fit():
    with pytest.raises(ValueError, match="unpack"):
        fit(drawn(30, slopes=(1.0, 1.0, 1.0, 1.0)), KEYPOINTS)


def test_a_bias_is_shrunk_to_the_common_one_until_there_is_evidence():
    few, many = (fit(drawn(n, slopes=(0, 0, 0), biases=(3, 0, -3)), KEYPOINTS) for n in (30, 6000))
    assert np.ptp(many.bias) > 5
    assert np.ptp(few.bias) < 0.6 * np.ptp(many.bias)


def test_a_constant_quantity_gets_no_slope_and_no_nan():
    seen = drawn(300)
    seen.quantities[:, 1:] = -1.0  # an empty clutter bank
    spec = fit(seen, KEYPOINTS)
    assert spec.clutter == spec.soft_clutter == 0
    assert np.isfinite(spec.bias).all()
    assert spec.similarity > 1


def test_the_decode_computes_the_same_probability():
    seen = drawn(60)
    spec = fit(seen, KEYPOINTS)
    order = np.argsort(seen.keypoint, kind="stable")
    first = [order[seen.keypoint[order] == k][:5] for k in range(KEYPOINTS)]
    rows = np.stack(first, axis=1)  # [5, K]
    s, c, soft = (seen.quantities[rows, i][..., None].astype(np.float32) for i in range(3))
    index = np.zeros((5, KEYPOINTS, 1), np.int32)
    peaks = Peaks(index, s, c, soft, np.zeros((5, KEYPOINTS, 1, 3, 3), np.float32))
    np.testing.assert_allclose(decoded_visibility(peaks, spec), probability(spec, seen)[rows], rtol=1e-5)


def test_cross_validation_reports_a_good_fit_and_does_not_believe_noise():
    good = cross_validate(drawn(3000), KEYPOINTS)
    assert good["auroc"] > 0.85
    assert good["calibration_error"] < 0.04
    assert good["observations"] == 3000
    assert good["log_loss"] < np.log(2) - 0.1
    noise = drawn(3000)._replace(visible=np.random.default_rng(1).random(3000) < 0.5)
    assert cross_validate(noise, KEYPOINTS)["auroc"] == pytest.approx(0.5, abs=0.04)


def test_an_object_is_never_in_its_own_fit():
    # Two observations of every object agree by chance alone; seen in the fit, they would look predictable.
    rng = np.random.default_rng(0)
    quantities = np.repeat(rng.normal(size=(40, 3)), 2, axis=0)
    visible = np.repeat(rng.random(40) < 0.5, 2)
    seen = Observations(
        quantities, np.zeros(80, int), visible, np.repeat(np.arange(40), 2), np.zeros(80, bool)
    )
    assert cross_validate(seen, 1)["auroc"] < 0.65
    assert cross_validate(seen.take(seen.object == 0), 1) == {}
