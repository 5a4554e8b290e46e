"""Predictions: of all samples, in their order, and of some of the keypoints."""

from __future__ import annotations

import numpy as np

from coke_edge.train.data.sample import COVERED, HIDDEN, UNLABELLED, VISIBLE
from coke_edge.train.predictions import Predictions, covered_flags, predict


def test_every_sample_is_found_and_timed_and_the_bar_goes_to_stderr(world, detector_of, capsys):
    found = predict(detector_of(world), world.dataset.samples[:3])
    assert capsys.readouterr().out == ""
    np.testing.assert_allclose(found.xy, [s.keypoints for s in found.samples], atol=3)
    assert (found.latency_ms > 0).all()
    assert np.isnan(found.visible).all()  # not calibrated


def test_a_view_changes_what_is_shown_and_what_is_measured(world, detector_of):
    def darkened(photo, sample):
        meta = {COVERED: np.where(sample.visibility == VISIBLE, VISIBLE, UNLABELLED)}
        return np.zeros_like(photo), type(sample)(
            sample.image, sample.keypoints, np.full(4, HIDDEN, np.uint8), sample.box, sample.key, meta
        )

    samples = world.dataset.samples[:2]
    plain, dark = (predict(detector_of(world), samples, progress=False, view=v) for v in (None, darkened))
    assert not np.allclose(plain.xy, dark.xy)
    assert (covered_flags(dark.samples) == VISIBLE).all()
    assert (covered_flags(plain.samples) == UNLABELLED).all()


def test_keypoints_are_chosen_by_index(world):
    xy, visible = np.arange(10.0).reshape(1, 5, 2), np.arange(5.0)[None]
    one = Predictions(world.dataset.samples[:1], ("a", "b", "c", "d", "e"), xy, visible, np.ones(1), xy)
    chosen = one.chosen(np.array([2, 4]), ("lid", "ear"))
    assert (chosen.names, chosen.visible.tolist(), chosen.xy[0, :, 0].tolist()) == (
        ("lid", "ear"),
        [[2, 4]],
        [4, 8],
    )


def test_some_objects_keep_all_that_was_said_of_them(world):
    samples = world.dataset.samples[:4]
    xy = np.arange(40.0).reshape(4, 5, 2)
    visible, latency = np.arange(20.0).reshape(4, 5), np.arange(4.0)
    some = Predictions(samples, tuple("abcde"), xy, visible, latency, -xy).objects([3, 1])
    assert list(some.samples) == [samples[3], samples[1]]
    for got, whole in (
        (some.xy, xy),
        (some.visible, visible),
        (some.latency_ms, latency),
        (some.places, -xy),
    ):
        np.testing.assert_array_equal(got, whole[[3, 1]])
