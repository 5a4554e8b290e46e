"""Fixtures shared by all tests."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Triton's kernels run on the CPU here, in its interpreter; it has to know before anything imports it.
os.environ.setdefault("TRITON_INTERPRET", "1")

# What a shell starts in the background ignores Ctrl-C, and the tests of Ctrl-C would wait for it in vain.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# `import fake_cuda` and so on work in every test. tests/ itself must not be on the path: it has folders called
# kernels, coke_edge …
for _name in ("fake_cuda", "fake_tensorrt", "headless_browser"):
    _place = Path(__file__).parent / _name
    _spec = importlib.util.spec_from_file_location(
        _name, _place / "__init__.py", submodule_search_locations=[str(_place)]
    )
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules[_name] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[_name])

DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    root = Path(os.environ.get("COKE_EDGE_DATA", DEFAULT_DATA))
    if not root.is_dir():
        pytest.skip("no real data: set COKE_EDGE_DATA to the folder that holds lsp/, PASCAL3D+_release1.1/ …")
    return root


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads of torch that wait for each other on a busy machine make half precision very slow."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def bfloat16_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton 3.9's interpreter keeps bfloat16 as uint16 and would multiply the bits: widen them before a dot."""
    import numpy as np
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    dot = InterpreterBuilder.create_dot

    def widened(handle: TensorHandle) -> TensorHandle:
        if handle.data.dtype != np.uint16:
            return handle
        return TensorHandle((handle.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    monkeypatch.setattr(
        InterpreterBuilder, "create_dot", lambda self, a, b, *rest: dot(self, widened(a), widened(b), *rest)
    )


@pytest.fixture
def fake_cuda() -> Iterator[Any]:
    """A CUDA driver without a GPU (`fake_cuda.FakeCuda`), pretending one Orin; elsewhere there is no GPU at all.

    The test fails if a kernel of it raised an exception; one that is expected is taken out of `errors`.
    """
    module = sys.modules["fake_cuda"]
    try:
        fake = module.load()
    except module.Unavailable as reason:
        if module.insisted():
            raise
        pytest.skip(str(reason))
    fake.reset()
    yield fake
    errors = list(fake.errors)
    fake.disable()
    if errors:
        raise errors[0]


@pytest.fixture
def fake_tensorrt(fake_cuda: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`import tensorrt` gives a fake of version 10.3.0 on the fake GPU; engines are kept below `tmp_path`."""
    module = sys.modules["fake_tensorrt"].make(fake_cuda)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setenv("COKE_EDGE_CACHE", str(tmp_path / "cache"))
    return module


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """A headless Chromium (`headless_browser.Browser`) with a fresh profile; without one the test is skipped."""
    module = sys.modules["headless_browser"]
    program = module.find()
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium-headless-shell (Debian) or chromium")
    browser = module.Browser(program, tmp_path / "profile")
    yield browser
    browser.close()
