"""Every name of TensorRT that we use is in 10.3, 10.16, 11.4 and TensorRT for RTX; see tests/fake_tensorrt."""

from __future__ import annotations

import ast
import enum
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_tensorrt
import pytest

from coke_edge.engine.build import CAPABILITIES

ENGINE = Path(__file__).parents[3] / "coke_edge" / "engine"
ONLY_RTX = {  # asked for only there
    ("", "ComputeCapability"),
    ("IBuilderConfig", "num_compute_capabilities"),
    ("IBuilderConfig", "set_compute_capability"),
    ("IExecutionContext", "is_stream_capturable"),
    ("BuilderFlag", "REQUIRE_USER_ALLOCATION"),
    ("ICudaEngine", "create_runtime_config"),
    ("IRuntimeConfig", "set_execution_context_allocation_strategy"),
    ("IRuntimeConfig", "dynamic_shapes_kernel_specialization_strategy"),
    ("", "DynamicShapesKernelSpecializationStrategy"),
    ("DynamicShapesKernelSpecializationStrategy", "EAGER"),
}
CLASSES = {  # how coke_edge/engine calls TensorRT's objects → their class
    "api": "",
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "layer": "ILayer",
    "tensor": "ITensor",
    "error": "ParserError",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "inspector": "EngineInspector",
    "runtime_config": "IRuntimeConfig",
}
# These need `tensorrt.plugin`, which came with 10.9: its own names are not in the lists.
PLUGIN = {"plugin.py", "aot_plugin.py"}
WITH_PLUGINS = {"tensorrt-10.16.1.11", "tensorrt-11.4.0.106"}
# Where a file uses one of these words for something of ours.
OURS = {
    ("build.py", "cache"): {"read", "write"},
    ("cache.py", "cache"): None,
    ("obtain.py", "cache"): None,
    ("obtain.py", "engine"): None,
    ("sidecar.py", "engine"): None,
    ("session.py", "engine"): None,
    ("session.py", "context"): None,
    ("heads.py", "engine"): None,
    ("heads.py", "tensor"): None,
    ("inspection.py", "layer"): None,
    ("inspection.py", "tensor"): None,
    ("provider.py", "error"): None,
    ("obtain.py", "error"): None,
    ("spec.py", "error"): None,
    ("aot_plugin.py", "tensor"): None,
    ("plugin.py", "error"): None,
    ("cache.py", "error"): None,
    ("context.py", "tensor"): {"name", "is_input", "shape"},
}  # fmt: skip


def used() -> Iterator[tuple[str, str, str]]:
    """(file, class, attribute) of every use in coke_edge/engine; "" is the module."""
    for path in sorted(ENGINE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and (owner := owner_of(node.value)) is not None:
                word, classes = owner
                ours = OURS.get((path.name, word), set())
                if ours is None or node.attr in ours or node.attr == "__version__":
                    continue
                for attribute_of in classes:
                    yield path.name, attribute_of, node.attr


def owner_of(node: ast.expr) -> tuple[str, list[str]] | None:
    """The word for an object of TensorRT, and its class: `config`, `self._engine`, `provider.api.DataType`."""
    if isinstance(node, ast.Name):
        word = node.id
    elif isinstance(node, ast.Attribute):
        word = node.attr.lstrip("_")
        above = owner_of(node.value)
        if above and above[1] == [""]:
            return node.attr, [node.attr]  # api.DataType
    else:
        return None
    return (word, [CLASSES[word]]) if word in CLASSES else None


def test_all_versions_are_listed() -> None:
    versions = fake_tensorrt.names.versions()
    assert list(versions) == [
        "tensorrt-10.16.1.11",
        "tensorrt-10.3.0",
        "tensorrt-11.4.0.106",
        "tensorrt-rtx-1.7.1.116",
    ]
    assert all(len(one) > 150 and "IBuilderConfig" in one[""] for one in versions.values())
    # What went away with version 11 is in the lists, so a use of it would be found.
    assert "supports_model" in versions["tensorrt-10.16.1.11"]["OnnxParser"]
    assert "supports_model" not in fake_tensorrt.names.common()["OnnxParser"]
    assert "FP16" not in fake_tensorrt.names.common()["BuilderFlag"]


@pytest.mark.parametrize("version", fake_tensorrt.names.versions())
def test_every_name_that_the_source_uses_exists(version: str) -> None:
    names = fake_tensorrt.names.versions()[version]
    missing = [
        f"{file}: {owner or 'tensorrt'}.{name}"
        for file, owner, name in used()
        if (file not in PLUGIN or version in WITH_PLUGINS)
        and name not in names.get(owner, set())
        and ("rtx" in version or (owner, name) not in ONLY_RTX)
    ]
    assert missing == []


def test_the_capabilities_that_rtx_can_aim_at() -> None:
    listed = fake_tensorrt.names.versions()["tensorrt-rtx-1.7.1.116"]["ComputeCapability"]
    assert {f"SM{capability}" for capability in CAPABILITIES} == {
        name for name in listed if name.startswith("SM")
    }


def test_the_search_finds_the_uses() -> None:
    found = {(owner, name) for _, owner, name in used()}
    assert len(found) > 50
    assert {
        ("", "OnnxParser"),
        ("DataType", "HALF"),
        ("TensorFormat", "HWC8"),
        ("MemoryPoolType", "WORKSPACE"),
        ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"),
        ("IBuilderConfig", "set_timing_cache"),
        ("IBuilderConfig", "progress_monitor"),
        ("INetworkDefinition", "unmark_output"),
        ("ITensor", "allowed_formats"),
        ("OnnxParser", "parse"),
        ("Runtime", "deserialize_cuda_engine"),
        ("ICudaEngine", "device_memory_size_v2"),
        ("IExecutionContext", "execute_async_v3"),
        ("EngineInspector", "get_engine_information"),
        ("ParserError", "node_operator"),
        ("IOptimizationProfile", "set_shape"),
    } <= found


def test_the_fake_offers_only_what_all_versions_have() -> None:
    common = fake_tensorrt.names.common()
    for part in (*fake_tensorrt.PARTS,):
        for name, thing in vars(part).items():
            if inspect.isclass(thing) and thing.__module__ == part.__name__ and name in common:
                assert public(thing) <= common[name], name
    for name in [name for part in fake_tensorrt.PARTS for name in part.PUBLIC]:
        assert name in common[""], name


def public(thing: type[Any]) -> set[str]:
    """The names that a class of the fake offers."""
    if issubclass(thing, enum.Enum):
        return set(thing.__members__)
    inherited = set(dir(bytes)) if issubclass(thing, bytes) else set()
    return {name for name in dir(thing) if not name.startswith("_")} - inherited
