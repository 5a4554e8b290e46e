from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from coke_edge.stream.pacing import LONGEST_GAP, Pacer, measured_rate
from coke_edge.stream.sinks import open_sink
from coke_edge.stream.sources import open_source


def test_the_rate_is_that_of_the_usual_gap() -> None:
    assert measured_rate([0.0, 0.1, 0.2, 0.3, 2.0], 10) == pytest.approx(10)
    assert measured_rate([5.0], 12.5) == 12.5
    assert measured_rate([5.0, 5.0], 12.5) == 12.5
    assert measured_rate([0.0, 1e-6], 10) == 60
    assert measured_rate([0.0, 30.0], 10) == 1


@pytest.mark.parametrize("rate", [5.0, 10.0, 30.0])
def test_a_video_is_as_long_as_what_it_shows(rate: float) -> None:
    times = np.cumsum(np.random.default_rng(0).exponential(0.08, 500)).tolist()
    pacer = Pacer(rate)
    ends = []
    for time in times:
        pacer.copies(time)
        ends.append(pacer._written / rate)
    np.testing.assert_allclose(ends, np.array(times) - times[0] + 1 / rate, atol=0.51 / rate)


def test_an_outage_is_cut_out() -> None:
    pacer = Pacer(10)
    assert pacer.copies(100.0) == 1
    assert pacer.copies(3700.0) == LONGEST_GAP * 10
    assert pacer.copies(3700.1) == 1


def test_a_live_video_plays_in_real_time(tmp_path: Path, result) -> None:
    times = [10 + 0.1 * i for i in range(20)] + [12.4 + 0.1 * i for i in range(6)]
    with open_sink(str(tmp_path / "o.mp4"), lambda r: r.frame.image, 60.0, live=True) as sink:
        for i, time in enumerate(times):
            one = result(i % 10)
            sink(dataclasses.replace(one, frame=dataclasses.replace(one.frame, captured=time)))
    source = open_source(str(tmp_path / "o.mp4"))
    assert source.frames_per_second == pytest.approx(10)
    assert len(list(source)) == 30  # 3 s: the gap of half a second is filled


def test_a_short_live_video_is_written_when_it_is_closed(tmp_path: Path, result) -> None:
    with open_sink(str(tmp_path / "o.mp4"), lambda r: r.frame.image, None, live=True) as sink:
        for i in range(3):
            one = result(i)
            sink(dataclasses.replace(one, frame=dataclasses.replace(one.frame, captured=5 + i / 25)))
    source = open_source(str(tmp_path / "o.mp4"))
    assert source.frames_per_second == pytest.approx(25)
    assert len(list(source)) == 3
