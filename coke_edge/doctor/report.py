"""All that the probes found, as one object with stable keys.

`coke-edge doctor --json` prints `Report.to_dict()`:

    system     os, kernel, architecture, python, environment, container, wsl, cpu, cores, instructions,
               int8_dot_product, memory, memory_available, cache, cache_free
    gpu        devices [name, capability, memory, processors, shared_memory, bus], driver, cuda, toolkit, findings
    jetson     null, or model, linux, jetpack, capability, power_mode, power_modes, clocks_locked, findings
    packages   module → distribution, version, error, details
    cameras    found [node, name, kind, accessible], findings
    bundles    [bundle, name, targets, runs, error, backends]
               backends [backend, status, device, precision, precisions, note, missing]
    selftest   null, or [bundle, reference, passed, trials [backend, precision, verdict, reason, difference]],
               difference: null, or median, mean, max, response_max, visible_mean, elsewhere, keypoints

A finding and an entry of `missing` is `what`, a sentence, and `command`, which mends it, or null. Sizes are bytes,
a capability of 87 is 8.7. Keys are added and never renamed.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from coke_edge.doctor import cameras, gpu, jetson, packages, system
from coke_edge.doctor.cameras import Cameras
from coke_edge.doctor.gpu import Gpu
from coke_edge.doctor.jetson import Jetson
from coke_edge.doctor.machine import Machine
from coke_edge.doctor.packages import Package
from coke_edge.doctor.system import System

if TYPE_CHECKING:
    from coke_edge.doctor.outlook import BundleOutlook
    from coke_edge.doctor.selftest import Selftest


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is there, whatever the bundle."""

    system: System
    gpu: Gpu
    jetson: Jetson | None
    packages: dict[str, Package]
    cameras: Cameras


def examine(machine: Machine) -> Facts:
    """Run every probe."""
    below = system.probe(machine)
    board = jetson.probe(machine)
    found = packages.probe(machine)
    return Facts(
        system=below,
        gpu=gpu.probe(machine, below, board),
        jetson=board,
        packages=found,
        cameras=cameras.probe(machine, board, found["cv2"]),
    )


@dataclasses.dataclass(frozen=True)
class Report:
    """The facts, and what they mean for each bundle."""

    facts: Facts
    bundles: tuple[BundleOutlook, ...]
    selftest: tuple[Selftest, ...] | None

    @property
    def healthy(self) -> bool:
        """Whether every bundle runs on some backend, and no backend contradicts another."""
        return all(bundle.runs for bundle in self.bundles) and all(t.passed for t in self.selftest or ())

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; the keys are listed at the top of this module."""
        tests = None if self.selftest is None else [dataclasses.asdict(test) for test in self.selftest]
        return {
            **dataclasses.asdict(self.facts),
            "bundles": [dataclasses.asdict(bundle) for bundle in self.bundles],
            "selftest": tests,
        }
