from __future__ import annotations

import subprocess
import sys

import pytest

import coke_edge


def loaded_after(statement: str) -> set[str]:
    """Top-level modules of a fresh interpreter after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.split()
    )


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"cv2", "numpy", "onnxruntime", "msgspec", "torch"}
    assert not heavy & loaded_after("import coke_edge; coke_edge.__version__")


def test_the_runtime_loads_no_training_or_export_library(bundle_path: object) -> None:
    statement = f"import coke_edge; coke_edge.Detector({str(bundle_path)!r})"
    modules = loaded_after(statement)
    assert {"cv2", "onnxruntime", "msgspec"} <= modules
    assert not {"torch", "onnx", "triton", "timm", "PIL", "scipy", "matplotlib"} & modules


def test_public_names() -> None:
    for name in coke_edge.__all__:
        assert getattr(coke_edge, name) is not None
    assert set(dir(coke_edge)) >= set(coke_edge.__all__)
    with pytest.raises(AttributeError):
        coke_edge.nothing  # noqa: B018
