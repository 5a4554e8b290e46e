"""Do all backends and precisions at hand find the same keypoints, in the picture that the package holds?"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from coke_edge.doctor.difference import Difference, between
from coke_edge.doctor.machine import Machine
from coke_edge.doctor.outlook import MISSING, BundleOutlook

TIMEOUT = 1800.0  # seconds; a first run may build an engine
REFERENCE, AGREES, DIFFERS, FAILED = "reference", "agrees", "differs", "failed"


@dataclasses.dataclass(frozen=True)
class Trial:
    """One backend, held against the reference."""

    backend: str
    precision: str
    verdict: str  # reference, agrees, differs, failed
    reason: str | None = None  # of differs and failed
    difference: Difference | None = None


@dataclasses.dataclass(frozen=True)
class Selftest:
    """All backends that have what they need, on one bundle."""

    bundle: str
    reference: str | None  # the first that ran, such as `onnxruntime fp32`
    passed: bool  # one ran at least, none failed and none differs
    trials: tuple[Trial, ...]


def selftest(outlook: BundleOutlook, machine: Machine) -> Selftest:
    """Run every backend that has what it needs and compare it with the first one that runs."""
    reference: dict[str, Any] | None = None
    trials = []
    for backend, precision in at_hand(outlook):
        found = run(outlook.bundle, backend, precision, machine)
        trials.append(judge(backend, precision, found, reference))
        if reference is None and "error" not in found:
            reference = found
    name = next(
        (f"{trial.backend} {trial.precision}" for trial in trials if trial.verdict == REFERENCE), None
    )
    passed = name is not None and all(trial.verdict in (REFERENCE, AGREES) for trial in trials)
    return Selftest(outlook.bundle, name, passed, tuple(trials))


def at_hand(outlook: BundleOutlook) -> list[tuple[str, str]]:
    """Backend and precision of every trial, the exact ones first.

    ONNX Runtime runs all that the bundle has for it; TensorRT only what it takes by itself, since any other would
    be minutes of building.
    """
    pairs = []
    for backend in outlook.backends:
        if backend.status != MISSING and backend.precision is not None:
            every = backend.backend == "onnxruntime"
            pairs += [
                (backend.backend, name) for name in (backend.precisions if every else (backend.precision,))
            ]
    return pairs


def run(bundle: str, backend: str, precision: str, machine: Machine) -> dict[str, Any]:
    """What `trial` prints, or `error` if it printed nothing."""
    output = machine.python_module("coke_edge.doctor.trial", bundle, backend, precision, timeout=TIMEOUT)
    try:
        found: dict[str, Any] = json.loads(output.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {"error": output.ending}
    return found


def judge(backend: str, precision: str, found: dict[str, Any], reference: dict[str, Any] | None) -> Trial:
    """The verdict on what a backend found; the first that ran is the reference."""
    if "error" in found:
        return Trial(backend, precision, FAILED, found["error"])
    if reference is None:
        return Trial(backend, precision, REFERENCE)
    difference = between(found, reference, precision)
    reason = difference.beyond(precision)
    return Trial(backend, precision, DIFFERS if reason else AGREES, reason, difference)
