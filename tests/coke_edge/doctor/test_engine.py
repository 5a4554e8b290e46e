"""The engine that is expected is the one that the backend would take."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from coke_edge.bundle import Bundle
from coke_edge.doctor.engine import expect, here, providers
from coke_edge.doctor.machine import cache_folder
from coke_edge.doctor.report import Facts, examine
from coke_edge.engine import cache
from coke_edge.engine import sidecar as sidecars
from coke_edge.engine.obtain import machine, wanted
from coke_edge.engine.provider import Provider
from coke_edge.engine.sidecar import Sidecar
from coke_edge.engine.spec import choose

PACKAGES = {name: {"version": "10.13.3", "error": None} for name in ("tensorrt", "pycuda.driver")}


@pytest.fixture
def facts(recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Facts:
    """A Thor with everything, and an empty cache."""
    monkeypatch.setenv("COKE_EDGE_CACHE", str(tmp_path / "cache"))
    return examine(recorded("thor", packages=PACKAGES))


def put(bundle: Bundle, facts: Facts, version: str) -> None:
    """An engine in the cache, built here with a version of TensorRT."""
    spec, _ = choose(bundle, here(facts))
    on = machine(Provider("tensorrt", version, None, None), here(facts))
    sha = hashlib.sha256(b"engine").hexdigest()
    sidecar = Sidecar(bundle.sha256, bundle.manifest.name, on, spec, sha, len(b"engine"), 1.0)
    sidecars.write(wanted(bundle, spec, on).path, b"engine", sidecar)


def test_nothing_was_built(facts: Facts, bundle_path: Path) -> None:
    expected = expect(Bundle(bundle_path), facts)
    assert expected.precision == "fp32"  # the bundle has no other
    assert "there is none in" in (expected.absence or "")
    assert "standard operators" in expected.note


def test_an_engine_that_fits(facts: Facts, bundle_path: Path) -> None:
    put(Bundle(bundle_path), facts, "10.13.3")
    assert expect(Bundle(bundle_path), facts).absence is None


def test_an_engine_of_another_version(facts: Facts, bundle_path: Path) -> None:
    put(Bundle(bundle_path), facts, "10.3.0")
    absence = expect(Bundle(bundle_path), facts).absence or ""
    assert "was built with tensorrt 10.3.0, this is tensorrt 10.13.3" in absence


def test_the_gpu_of_the_launch(facts: Facts) -> None:
    gpu = here(facts)
    assert (gpu.capability, gpu.driver_version, gpu.shared_memory) == (110, 13000, 166912)


def test_providers(recorded) -> None:
    rtx = {"tensorrt_rtx": {"version": "1.7.1", "error": None}}
    old = {"tensorrt": {"version": "8.6.1", "error": None}}
    assert providers(examine(recorded("thor", packages=PACKAGES | rtx))) == {"tensorrt": "10.13.3"}
    assert providers(examine(recorded("desktop", packages=old | rtx))) == {"tensorrt-rtx": "1.7.1"}


@pytest.mark.parametrize(
    "variables", [{}, {"COKE_EDGE_CACHE": "~/c"}, {"XDG_CACHE_HOME": "/x"}, {"XDG_CACHE_HOME": ""}]
)
def test_the_cache_is_where_the_engines_are(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COKE_EDGE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() / "engines" == cache.folder()
