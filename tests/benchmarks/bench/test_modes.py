"""Back to back and paced, on a clock that the test turns."""

from __future__ import annotations

import math

import pytest

from coke_edge.benchmarks.bench import modes
from coke_edge.benchmarks.bench.lane import Sample, Tally
from coke_edge.benchmarks.bench.modes import LEAD_IN, PACED_LEAD_IN, alternating, back_to_back, paced


class FakeLane:
    """Calls take the given times, in turn; time stands still otherwise, but for sleep."""

    def __init__(self, *milliseconds: float) -> None:
        self.tally, self.now, self.slept = Tally(), 100.0, 0.0
        self._milliseconds, self.dues = milliseconds, list[float | None]()

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        self.slept += seconds

    def call(self, due: float | None = None) -> Sample:
        start = self.now if due is None else due
        self.now += self._milliseconds[len(self.dues) % len(self._milliseconds)] / 1e3
        self.dues.append(due)
        return Sample(1e3 * (self.now - start), {}, [])

    def paced(self, fps: float, seconds: float, least: int, most: float = math.inf) -> list[Sample]:
        return paced(self, fps, seconds, least, most, self.clock, self.sleep)  # type: ignore[arg-type]


def test_back_to_back_runs_for_its_time_and_its_samples() -> None:
    lane = FakeLane(10.0)
    assert len(back_to_back(lane, 0.495, 5, lane.clock)) == 50  # type: ignore[arg-type]
    assert len(back_to_back(lane, 0.001, 5, lane.clock)) == 5  # type: ignore[arg-type]
    assert len(lane.dues) == 55 + 2 * LEAD_IN
    assert lane.tally.seconds == pytest.approx(0.55)


def test_alternating_lanes_go_back_and_forth() -> None:
    order: list[str] = []

    class Named(FakeLane):
        def __init__(self, name: str, milliseconds: float) -> None:
            super().__init__(milliseconds)
            self._name = name

        def call(self, due: float | None = None) -> Sample:
            order.append(self._name)
            clock.now += self._milliseconds[0] / 1e3
            return Sample(self._milliseconds[0], {}, [])

    clock = FakeLane()
    a, b = Named("a", 10.0), Named("b", 30.0)
    first, second = alternating([a, b], 0.09, 2, clock.clock)  # type: ignore[list-item]
    assert "".join(order) == LEAD_IN * "a" + LEAD_IN * "b" + "abbaabbaab"  # until twice 0.09 s are over
    assert [sample.whole for sample in first + second] == [10.0] * 5 + [30.0] * 5
    assert (a.tally.seconds, b.tally.seconds) == (pytest.approx(0.05), pytest.approx(0.15))
    assert len(alternating([a, b], 0.0, 3, clock.clock)[1]) == 3  # type: ignore[list-item]


def test_a_fast_model_waits_for_every_frame() -> None:
    lane = FakeLane(10.0)
    samples = lane.paced(20.0, 0.95, 1)
    assert [sample.whole for sample in samples] == pytest.approx([10.0] * 20)
    assert len(lane.dues) == 20 + round(PACED_LEAD_IN * 20)
    assert (lane.tally.late, lane.tally.dropped) == (0, 0)
    assert lane.tally.seconds == pytest.approx(1.0)  # 20 periods: as many frames a second as were asked for


def test_a_frame_that_comes_too_early_waits_and_its_wait_counts() -> None:
    lane = FakeLane(25.0, 65.0)  # of 50 ms: every second frame comes 15 ms before the one before is done
    samples = lane.paced(20.0, 1.0, 1)
    assert sorted({round(sample.whole) for sample in samples}) == [40, 65]
    assert lane.tally.late == pytest.approx(len(samples) / 2, abs=1)
    assert lane.tally.dropped == 0


def test_only_the_newest_frame_is_kept() -> None:
    lane = FakeLane(130.0)  # of 50 ms: two frames come and go for each that is worked on
    samples = lane.paced(20.0, 2.0, 1)
    assert lane.tally.dropped > 0
    assert lane.tally.late - lane.tally.dropped == pytest.approx(len(samples), abs=1)
    assert len(samples) / lane.tally.seconds == pytest.approx(1 / 0.130, rel=0.1)
    assert all(130 <= sample.whole < 180 for sample in samples)  # the newest is never older than a period
    assert lane.slept < 0.1  # before the first frame alone


def test_frames_before_the_count_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "PACED_LEAD_IN", 0.2)
    lane = FakeLane(
        200.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0
    )  # the first one is slow: before the count
    lane.paced(20.0, 0.15, 1)
    assert lane.tally.late <= 1
    assert lane.tally.dropped == 0


def test_a_slow_camera_does_not_hold_a_stretch_for_long() -> None:
    lane = FakeLane(10.0)
    samples = lane.paced(1.0, 0.3, 10, most=3.75)
    assert len(samples) == 5  # of frames that were due after 0, 1, 2, 3 and 4 s
    assert lane.now - 100.0 < 1 + 1 + 4 + 0.1  # until the first frame, its lead-in, and these
    assert lane.tally.seconds == pytest.approx(5.0)


def test_one_sample_is_taken_however_long_it_takes() -> None:
    assert len(FakeLane(5000.0).paced(30.0, 0.3, 10, most=3.75)) == 1


@pytest.mark.parametrize(
    ("samples", "elapsed", "more"),
    [(0, 99.0, True), (1, 2.0, False), (1, 1.9, True), (9, 1.0, True), (10, 0.9, True), (10, 1.0, False)],
)
def test_when_a_paced_stretch_ends(samples: int, elapsed: float, more: bool) -> None:
    assert modes.goes_on(samples, elapsed, seconds=1.0, least=10, most=2.0) == more
