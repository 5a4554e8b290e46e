"""Stages and the whole come from the same calls and add up."""

from __future__ import annotations

import time

import numpy as np
import pytest

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


def test_the_stages_add_up_to_the_whole(detector: Detector) -> None:
    found = lane(detector, batch=2)
    samples = [found.call() for _ in range(4)]
    found.tally.add(samples)
    stages = found.tally.stages()
    assert set(stages) == {"capture", "warp", "network", "decode", "other"}
    assert sum(stages.values()) == pytest.approx(np.mean(found.tally.whole))
    assert stages["other"] >= 0
    assert all(len(sample.objects) == 2 for sample in samples)


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
