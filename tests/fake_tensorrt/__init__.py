"""TensorRT for tests: builds, loads and runs engines over the fake CUDA driver, and ONNX Runtime does the arithmetic.

    def test_it(fake_cuda, fake_tensorrt):                   # the fixture: `import tensorrt` gives this one
        provider = open_provider("tensorrt")

A serialised engine is the graph that it was built of with a header. It is refused by another version or GPU, and when a
byte of it changed. A run is a kernel launch in the fake driver: it waits for its stream, can be recorded, and reads and
writes device memory in the layouts that the network asked for. Only names that TensorRT 10.3, 10.16, 11.4 and TensorRT
for RTX all have are here; `test_names.py` holds that against the lists in `api/`.
"""

from __future__ import annotations

import types
from typing import Any

from . import builder, enums, names, network, runtime

__all__ = ["make", "names"]

PARTS: tuple[Any, ...] = (enums, network, builder, runtime)


def make(fake_cuda: Any, version: str = "10.3.0") -> types.ModuleType:
    """A module `tensorrt` of a version, on the GPU that `fake_cuda` pretends.

    Its `_state` (`builder.State`) is what a test may set or look at.
    """
    module = types.ModuleType("tensorrt")
    state = builder.State(version, fake_cuda)
    for part in PARTS:
        for name in part.PUBLIC:
            setattr(module, name, builder.bound(getattr(part, name), state))
    module.__version__ = version  # type: ignore[attr-defined]
    module._state = state  # type: ignore[attr-defined]
    return module
