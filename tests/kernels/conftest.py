"""What the tests of the launch share: a driver on the fake libcuda, and kernels for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_cuda import FakeCuda, cubins, numpy_kernels

from coke_edge.kernels import aot
from coke_edge.kernels.driver import DRIVERS, Driver, open_driver
from coke_edge.kernels.launch import Kernels

CHANNELS = 32


@pytest.fixture(params=list(DRIVERS))
def driver(request: pytest.FixtureRequest, fake_cuda: FakeCuda) -> Iterator[Driver]:
    """Each driver package; nothing of it may be left at the end."""
    pytest.importorskip({"pycuda": "pycuda", "cuda-python": "cuda.bindings"}[request.param])
    found = open_driver(request.param)
    yield found
    found.close()
    assert fake_cuda.alive() == {}
    assert fake_cuda.leaked() == {}
    assert fake_cuda.depth() == 0


@pytest.fixture
def kernels(driver: Driver, fake_cuda: FakeCuda, tmp_path: Path) -> Kernels:
    """Binaries for features of 32 channels, without code, which are made in no time."""
    numpy_kernels.install(fake_cuda, cubins.build(tmp_path, ["orin"], CHANNELS))
    return Kernels.of_folder(driver, tmp_path)


@pytest.fixture(scope="session")
def orin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the compiler makes for an Orin and 32 channels: the cubins that a device gets."""
    folder = tmp_path_factory.mktemp("orin") / "kernels"
    aot.build(["orin"], folder, CHANNELS, jobs=1)
    return folder


@pytest.fixture
def compiled(orin: Path, driver: Driver, fake_cuda: FakeCuda) -> Kernels:
    """Compiled binaries; the fake driver holds a launch against what they say of themselves."""
    kernels = Kernels.of_folder(driver, orin)
    numpy_kernels.install(fake_cuda, kernels.artifact)
    return kernels
