"""Who may import whom: one straight tower, each floor sees only those below it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the ground up. The folder of each floor, and the packages beyond the standard library that it may import
# at all. `coke_edge` is the runtime without its `cli`.
FLOORS = ["kernels", "coke_edge", "train", "export", "benchmarks", "coke_edge.cli"]
NEVER_ON_THE_DEVICE = {"torch", "torchvision", "timm", "triton", "onnx", "onnxscript", "scipy", "matplotlib"}
TRITON_FILES = {  # of kernels/: those that need triton or torch; a device does without them
    "aot.py",
    "fused.py",
    "fused_warp.py",
    "machine_code.py",
    "match.py",
    "peaks.py",
    "plugin_match.py",
    "plugin_peaks.py",
    "torch_parts.py",
    "torch_pipeline.py",
    "torch_reference.py",
    "torch_staging.py",
    "warp.py",
}


def floor_of(module: str) -> str | None:
    """The floor that an imported module belongs to, or None if it is not ours."""
    parts = module.split(".")
    if parts[0] != "coke_edge":
        return None
    if len(parts) > 1 and parts[1] in ("kernels", "train", "export", "benchmarks"):
        return parts[1]
    return "coke_edge.cli" if parts[1:2] == ["cli"] else "coke_edge"


def files() -> list[tuple[str, Path]]:
    """(floor, file) of all of our modules."""
    found = []
    for floor in FLOORS:
        for path in sorted((ROOT / floor.replace(".", "/")).rglob("*.py")):
            if floor == "coke_edge" and "cli" in path.relative_to(ROOT).parts:
                continue
            found.append((floor, path))
    return found


def imports(path: Path) -> list[str]:
    """All modules that a file imports, inside functions too; relative ones are of its own folder."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names if node.module == "coke_edge"]
    return names


def test_the_house_is_there() -> None:
    assert {floor for floor, _ in files()} >= {"kernels", "coke_edge", "train", "export", "coke_edge.cli"}


@pytest.mark.parametrize(
    ("floor", "path"), files(), ids=lambda v: str(v.relative_to(ROOT)) if isinstance(v, Path) else v
)
def test_each_floor_sees_only_those_below(floor: str, path: Path) -> None:
    for module in imports(path):
        target = floor_of(module)
        assert target is None or FLOORS.index(target) <= FLOORS.index(floor), module


@pytest.mark.parametrize("path", [p for f, p in files() if f == "kernels"], ids=lambda p: p.name)
def test_kernels_run_as_a_bare_folder(path: Path) -> None:
    assert not any(module.startswith("coke_edge") for module in imports(path)), "use relative imports here"


@pytest.mark.parametrize("path", [p for f, p in files() if f == "kernels"], ids=lambda p: p.name)
def test_launching_a_kernel_needs_neither_triton_nor_torch(path: Path) -> None:
    needed = {module.split(".")[0] for module in imports(path)}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            needed |= {f"{name}.py" for name in names}
    heavy = bool(needed & {"triton", "torch", *TRITON_FILES})
    assert heavy == (path.name in TRITON_FILES)


@pytest.mark.parametrize(
    "path", [p for f, p in files() if f == "coke_edge"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_the_device_needs_no_training_packages(path: Path) -> None:
    assert not {module.split(".")[0] for module in imports(path)} & NEVER_ON_THE_DEVICE


def test_the_runtime_loads_without_torch_and_the_help_without_anything_heavy() -> None:
    code = (
        "import sys; import coke_edge.cli as c; c.application(); "
        "print(sorted({m.split('.')[0] for m in sys.modules} & "
        "{'numpy', 'cv2', 'torch', 'onnxruntime', 'onnx', 'scipy', 'timm', 'matplotlib', 'lightning_fabric'}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
