"""The colour model and the demo model for engines; see tests/conftest.py for the fakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coke_edge.bundle import Bundle
from coke_edge.engine.obtain import machine, wanted
from coke_edge.engine.provider import Provider, open_provider
from coke_edge.engine.spec import Batch, EngineSpec
from coke_edge.kernels.driver import Gpu

ORIN = Gpu("Fake Orin", 87, 14, 163 * 1024, 8 << 30, 13000)


@pytest.fixture(scope="session")
def colours(bundle_path: Path) -> Bundle:
    """A bundle whose network is an average pool: engines of it take no time."""
    return Bundle(bundle_path)


@pytest.fixture
def trt(fake_tensorrt: Any) -> Provider:
    """The fake TensorRT, opened."""
    return open_provider("tensorrt")


@pytest.fixture
def want(trt: Provider, colours: Bundle) -> Any:
    """Function (gpu, spec) → the engine of the colour model for it."""

    def want(gpu: Gpu = ORIN, spec: EngineSpec | None = None, workspace: int | None = None) -> Any:
        spec = spec or EngineSpec("fp32", "standard", Batch())
        return wanted(colours, spec, machine(open_provider("tensorrt"), gpu), workspace)

    return want
