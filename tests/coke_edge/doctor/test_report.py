"""The JSON of `coke-edge doctor` has the keys that its documentation lists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coke_edge.bundle import Bundle
from coke_edge.doctor import report as module
from coke_edge.doctor.machine import Machine
from coke_edge.doctor.outlook import look_at
from coke_edge.doctor.report import Report, examine
from coke_edge.doctor.selftest import Selftest


def report(machine: Machine, bundle_path: Path, tests: tuple[Selftest, ...] | None = None) -> Report:
    facts = examine(machine)
    return Report(facts, (look_at("x.coke", Bundle(bundle_path), machine, facts),), tests)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COKE_EDGE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["orin", "thor", "desktop", "laptop", "container", "wsl"])
def test_every_machine_has_a_report(recorded, bundle_path: Path, name: str) -> None:
    plain = json.loads(json.dumps(report(recorded(name), bundle_path).to_dict()))
    assert (plain["jetson"] is not None) == (name in ("orin", "thor"))
    assert plain["bundles"][0]["runs"] is True


def test_keys(recorded, bundle_path: Path) -> None:
    plain: dict[str, Any] = report(recorded("orin"), bundle_path).to_dict()
    assert list(plain) == ["system", "gpu", "jetson", "packages", "cameras", "bundles", "selftest"]
    parts = [
        plain["system"],
        plain["gpu"],
        plain["gpu"]["devices"][0],
        plain["jetson"],
        plain["packages"]["cv2"],
    ]
    parts += [
        plain["cameras"],
        plain["cameras"]["found"][0],
        plain["bundles"][0],
        plain["bundles"][0]["backends"][0],
    ]
    parts += [plain["jetson"]["findings"][0]]
    documented = (module.__doc__ or "").replace(",", " ").replace("[", " ").replace("]", " ").split()
    missing = {key for part in parts for key in part} - {word.strip("`") for word in documented}
    assert missing == set()


def test_health(recorded, bundle_path: Path) -> None:
    machine = recorded("laptop")
    assert report(machine, bundle_path).healthy
    assert report(machine, bundle_path, (Selftest("x.coke", "onnxruntime", True, ()),)).healthy
    assert not report(machine, bundle_path, (Selftest("x.coke", None, False, ()),)).healthy
    broken = recorded("laptop", packages={"onnxruntime": {"version": None, "error": "no"}})
    assert not report(broken, bundle_path).healthy
