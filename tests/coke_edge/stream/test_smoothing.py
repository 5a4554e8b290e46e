from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

from coke_edge.keypoints import ELSEWHERE_BELOW, Keypoints
from coke_edge.manifest import Keypoints2D
from coke_edge.stream.smoothing import OneEuro, Smoother

RATE = 30.0
LAYOUT = Keypoints2D(("a", "b", "c"))
PLACES = np.array([[100.0, 100.0], [300.0, 100.0], [200.0, 300.0]])  # an object of 200 pixels


def at(xy: np.ndarray, visible: tuple[float, ...] = (1.0, 1.0, 1.0)) -> Keypoints:
    one = np.ones(3)
    return Keypoints(LAYOUT, np.array(xy, dtype=float), one, one, one, np.array(visible), np.zeros(4))


def smoothed(places: list[np.ndarray], settings: OneEuro | None = None, **options: object) -> np.ndarray:
    """[T, 3, 2] of one object seen at 30 frames per second."""
    smoother = Smoother(settings)
    return np.array([smoother([(0, at(xy, **options))], t / RATE)[0].xy for t, xy in enumerate(places)])


def jittering(count: int = 120, sigma: float = 2.0) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [PLACES + rng.normal(0, sigma, PLACES.shape) for _ in range(count)]


def test_the_papers_formula_step_by_step() -> None:
    """One coordinate of one point, written as in the paper: two exponential filters."""
    settings = OneEuro(min_cutoff=1.0, beta=3.0, speed_cutoff=1.2)
    xs = [100.0, 104.0, 109.0, 109.5, 108.0]
    places = [PLACES + np.array([[x - 100.0, 0.0]]) for x in xs]  # the whole object moves
    step = 1 / RATE

    def alpha(cutoff: float) -> float:
        tau = 1 / (2 * math.pi * cutoff)
        return 1 / (1 + tau / step)

    place, speed = xs[0], 0.0
    expected = [place]
    for before, x in itertools.pairwise(xs):
        speed += alpha(1.2) * ((x - before) / step - speed)
        place += alpha(1.0 + 3.0 * abs(speed) / 200.0) * (x - place)
        expected.append(place)
    np.testing.assert_allclose(smoothed(places, settings)[:, 0, 0], expected)


def test_less_jitter_at_rest() -> None:
    raw = np.array(jittering())
    out = smoothed(list(raw))
    assert np.diff(out[30:], axis=0).std() < 0.5 * np.diff(raw[30:], axis=0).std()
    assert (out[30:] - PLACES).std() < 0.8 * (raw[30:] - PLACES).std()


def test_less_lag_the_faster_it_moves() -> None:
    def lag(speed: float) -> float:
        """Seconds behind, at so many object sizes per second."""
        places = [PLACES + np.array([[speed * 200 * t / RATE, 0.0]]) for t in range(90)]
        return float((places[-1] - smoothed(places)[-1])[0, 0] / (speed * 200))

    lags = [lag(speed) for speed in (0.1, 0.5, 1.0, 3.0)]
    assert lags == sorted(lags, reverse=True)
    assert lags[-1] < 0.01 < lags[0]


def test_the_same_object_twice_as_large_is_smoothed_alike() -> None:
    places = jittering(20)
    np.testing.assert_allclose(smoothed([2 * xy for xy in places]), 2 * smoothed(places))


def test_hidden_points_are_smoothed_more_and_uncalibrated_ones_like_visible_ones() -> None:
    places = jittering()
    rough, fine = smoothed(places), smoothed(places, visible=(1.0, 0.1, 1.0))
    assert np.array_equal(rough[:, 0], fine[:, 0])
    assert np.diff(fine[:, 1], axis=0).std() < 0.8 * np.diff(rough[:, 1], axis=0).std()
    nan = math.nan
    assert np.array_equal(smoothed(places, visible=(nan, nan, nan)), rough)


def test_a_hidden_keypoints_place_is_smoothed_like_any() -> None:
    """Each of the two states has a filter of its own, so that what vanishes goes to a steady place at once."""
    places, elsewhere = jittering(), [xy + 50 for xy in jittering(sigma=3.0)]
    hidden = (1.0, 0.1, 1.0)
    smoother, out = Smoother(), []
    for t, (xy, other) in enumerate(zip(places, elsewhere, strict=True)):
        one = dataclasses.replace(at(xy, hidden), hidden_xy=other)
        out.append(smoother([(0, one)], t / RATE)[0])
    for state, alone in (("xy", places), ("hidden_xy", elsewhere)):
        found = np.array([getattr(one, state) for one in out])
        expected = smoothed(alone, visible=hidden)  # but for the object's size, which is that of its places
        assert np.abs(found - expected).max() < 0.5 < np.abs(found - alone).max() / 5
    assert np.array_equal(out[-1].places[1], out[-1].hidden_xy[1])
    assert np.array_equal(out[-1].places[0], out[-1].xy[0])


def test_a_keypoint_goes_to_its_hidden_place_and_back_only_beyond_the_band() -> None:
    """It starts by the limit without a band, and a film that starts anew starts so again."""
    smoother, settings = Smoother(), OneEuro()
    assert settings.gone < ELSEWHERE_BELOW < settings.back

    def elsewhere(time: float, visible: float) -> bool:
        one = dataclasses.replace(at(PLACES, (1.0, visible, 1.0)), hidden_xy=PLACES + 50)
        [out] = smoother([(0, one)], time)
        assert np.array_equal(out.places[1], (out.hidden_xy if out.elsewhere[1] else out.xy)[1])
        return bool(out.elsewhere[1])

    probabilities = [0.29, 0.31, 0.39, 0.41, 0.31, 0.21, 0.19, 0.3, math.nan]
    shown = [elsewhere(t / RATE, p) for t, p in enumerate(probabilities)]
    assert shown == [True, True, True, False, False, False, True, True, False]
    assert elsewhere(1.0, 0.1)
    assert elsewhere(1.1, 0.35)
    assert not elsewhere(0.0, 0.35)  # the clock ran back


def test_a_missing_point_stays_missing_and_goes_on_or_starts_anew() -> None:
    gone = PLACES.copy()
    gone[1] = np.nan
    for absent, goes_on in ((3, True), (30, False)):
        back = PLACES + np.array([[0, 0], [20, 0], [0, 0]])
        out = smoothed([PLACES, PLACES, *[gone] * absent, back])
        assert np.isnan(out[2 : 2 + absent, 1]).all()
        assert np.isfinite(out[:, [0, 2]]).all()
        assert (out[-1, 1, 0] < 320.0) == goes_on


def test_a_slow_camera_is_smoothed_too() -> None:
    """Its frames are further apart than a point may be missing."""
    smoother = Smoother(OneEuro(hold=0.1))
    smoother([(0, at(PLACES))], 0.0)
    [out] = smoother([(0, at(PLACES + 10))], 0.3)
    assert 100 < out.xy[0, 0] < 110


@pytest.mark.parametrize("time", [0.0, -1.0])
def test_a_clock_that_stands_still_or_runs_back_starts_anew(time: float) -> None:
    smoother = Smoother()
    smoother([(0, at(PLACES))], 0.0)
    [out] = smoother([(0, at(PLACES + 10))], time)
    assert np.array_equal(out.xy, PLACES + 10)
    [out] = smoother([(0, at(PLACES + 20))], time + 0.1)
    assert (out.xy < PLACES + 20).all()


def test_pictures_pass_and_another_object_starts_anew() -> None:
    smoother = Smoother()
    smoother([(0, at(PLACES))], 0.0)
    [out] = smoother([(7, at(PLACES + 10))], 0.1)
    assert np.array_equal(out.xy, PLACES + 10)
    [out] = smoother([(7, at(PLACES + 30))], None)
    assert np.array_equal(out.xy, PLACES + 30)


def test_only_places_change() -> None:
    smoother = Smoother()
    smoother([(0, at(PLACES))], 0.0)
    raw = at(PLACES + 5, (0.9, 0.2, 0.5))
    [out] = smoother([(0, raw)], 0.1)
    for field in dataclasses.fields(Keypoints):
        same = np.array_equal(getattr(out, field.name), getattr(raw, field.name))
        assert same == (field.name != "xy") or field.name == "alternatives"
