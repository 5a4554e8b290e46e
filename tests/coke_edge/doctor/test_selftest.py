"""Backends against each other; what each of them prints is recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coke_edge.bundle import Bundle
from coke_edge.doctor.machine import Output
from coke_edge.doctor.outlook import look_at
from coke_edge.doctor.report import examine
from coke_edge.doctor.selftest import Selftest, selftest

PACKAGES = {name: {"version": "10.13.3", "error": None} for name in ("tensorrt", "pycuda.driver")}


def prints(shift: float) -> Output:
    found = {"names": ["a", "b"], "xy": [[1.0 + shift, 2.0], [30.0 + shift, 40.0]]}
    return Output(
        0, json.dumps(found | {"similarity": [0.9, 0.8], "clutter": [0.1, 0.2], "visible": [0.8, 0.1]}) + "\n"
    )


@pytest.fixture
def test(recorded, bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COKE_EDGE_CACHE", str(tmp_path / "cache"))

    def test(name: str, **trials: Output) -> Selftest:
        machine = recorded(name, trials=trials, packages=PACKAGES)
        return selftest(look_at("x.coke", Bundle(bundle_path), machine, examine(machine)), machine)

    return test


def test_two_that_agree(test) -> None:
    result = test("thor", onnxruntime=prints(0.0), tensorrt=prints(0.1))
    assert [trial.verdict for trial in result.trials] == ["reference", "agrees"]
    assert (result.passed, result.reference) == (True, "onnxruntime fp32")
    assert result.trials[1].difference.max == pytest.approx(0.1)


def test_one_that_differs(test) -> None:
    result = test("thor", onnxruntime=prints(0.0), tensorrt=prints(8.0))
    assert [trial.verdict for trial in result.trials] == ["reference", "differs"]
    assert result.trials[1].reason == "2 of 2 keypoints are found elsewhere"
    assert not result.passed


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (Output(-11), "crashed with signal 11"),
        (Output(0, '{"error": "no engine"}'), "no engine"),
        (Output(1, "", "Traceback …\nValueError: odd\n"), "ValueError: odd"),
        (Output(124, "", "no answer within 1800 s"), "no answer within 1800 s"),
    ],
)
def test_one_that_crashes(test, output: Output, reason: str) -> None:
    result = test("thor", onnxruntime=prints(0.0), tensorrt=output)
    assert (result.trials[1].verdict, result.trials[1].reason) == ("failed", reason)
    assert not result.passed


def test_the_reference_is_the_first_that_runs(test) -> None:
    result = test("thor", onnxruntime=Output(-6), tensorrt=prints(0.0))
    assert [trial.verdict for trial in result.trials] == ["failed", "reference"]
    assert result.reference == "tensorrt fp32"
    assert not result.passed


def test_what_is_missing_is_not_run(test) -> None:
    result = test("laptop", onnxruntime=prints(0.0))
    assert [trial.backend for trial in result.trials] == ["onnxruntime"]
    assert result.passed
