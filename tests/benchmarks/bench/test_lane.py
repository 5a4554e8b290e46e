"""Stages and the whole come from the same calls and add up."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from coke_edge.benchmarks.bench import lane as lane_module
from coke_edge.benchmarks.bench.frames import Generated
from coke_edge.benchmarks.bench.lane import Lane, Sample, Tally
from coke_edge.benchmarks.bench.settings import Artefact, Setting
from coke_edge.detector import Detector
from coke_edge.errors import CokeError


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector("demo", threads=1)


def lane(detector: Detector, batch: int = 1) -> Lane:
    return Lane(Setting(Artefact("onnxruntime", "fp32", 1), batch, "back to back"), detector, Generated(2))


class Clock:
    """`time` for lane.py: seconds pass where a test says so."""

    def __init__(self) -> None:
        self.now = 50.0

    def perf_counter(self) -> float:
        return self.now


class Slow:
    """Frames and a detector that take known times: 2 ms a frame, 10 ms a call, of which the stages know 9.6."""

    description, size = "", (8, 8)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.spec = self.backend = None

    def read(self, index: int) -> Any:
        self._clock.now += 0.002
        return np.zeros((8, 8, 3), np.uint8)

    def stages(self, frame: Any, boxes: Any) -> tuple[list[Any], dict[str, float]]:
        self._clock.now += 0.010
        return [], {"warp": 1.0, "network": 8.0, "decode": 0.6}


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Lane:
    """A lane on that clock."""
    clock = Clock()
    monkeypatch.setattr(lane_module, "time", clock)
    parts = Slow(clock)
    return Lane(Setting(Artefact("x", "fp32", 1), 1, "paced"), parts, parts)  # type: ignore[arg-type]


def test_the_stages_and_the_whole_are_of_the_same_call(slow: Lane) -> None:
    slow.tally.add([slow.call() for _ in range(3)])
    assert slow.tally.whole == pytest.approx([12.0] * 3)
    assert slow.tally.stages() == pytest.approx(
        {"capture": 2.0, "warp": 1.0, "network": 8.0, "decode": 0.6, "other": 0.4}
    )


def test_what_a_paced_frame_waited_is_a_stage_of_its_own(slow: Lane) -> None:
    slow.tally.add([slow.call(due=50.0), slow.call(due=50.007)])  # 5 ms before the first call has ended
    assert slow.tally.whole == pytest.approx([12.0, 17.0])
    assert slow.tally.parts["wait"] == pytest.approx([0.0, 5.0])
    assert slow.tally.stages()["other"] == pytest.approx(0.4)


def test_the_stages_of_a_real_call_are_no_more_than_the_whole(detector: Detector) -> None:
    found = lane(detector, batch=2)
    samples = [found.call() for _ in range(4)]
    for sample in samples:
        assert set(sample.parts) == {"capture", "warp", "network", "decode"}
        assert all(part > 0 for part in sample.parts.values())
        assert sum(sample.parts.values()) <= sample.whole
        assert len(sample.objects) == 2


def test_a_paced_call_counts_from_when_its_frame_was_due(detector: Detector) -> None:
    sample = lane(detector).call(time.perf_counter() - 1.0)
    assert sample.whole > 1000
    assert sample.parts["wait"] == pytest.approx(1000, abs=50)
    assert sum(sample.parts.values()) == pytest.approx(sample.whole, rel=0.03)


def test_drawing_is_beside_the_calls(detector: Detector) -> None:
    found = lane(detector)
    sample = found.call()
    found.draw(sample)
    assert found.tally.whole == []
    assert len(found.tally.draw) == 1
    assert found.tally.draw[0] > 0


def test_jitter_is_between_calls_that_followed_each_other() -> None:
    tally = Tally()
    for stretch in ([1.0, 2.0, 4.0], [100.0, 101.0]):
        tally.add([Sample(value, {"network": value / 2}, []) for value in stretch])
    latency = tally.latency()
    assert tally.slices == [3, 2]
    assert latency.jitter == pytest.approx((1 + 2 + 1) / 3)
    assert (latency.p50, latency.max) == (4.0, 101.0)
    assert latency.p50 <= latency.p90 <= latency.p95 <= latency.p99 <= latency.max
    assert tally.stages() == {"network": pytest.approx(20.8), "other": pytest.approx(20.8)}


def test_stages_that_change_are_not_averaged() -> None:
    tally = Tally()
    tally.add([Sample(1.0, {"network": 1.0}, [])])
    with pytest.raises(CokeError, match="other stages"):
        tally.add([Sample(1.0, {"backbone": 1.0}, [])])
