"""Keypoint detection for cameras at the edge."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coke_edge.bundle import Bundle as Bundle
    from coke_edge.detector import Detector as Detector
    from coke_edge.keypoints import Keypoints as Keypoints
    from coke_edge.stream.watch import watch as watch

    __version__: str

__all__ = ["Bundle", "Detector", "Keypoints", "__version__", "watch"]

# Imported when first asked for, so that `coke-edge --help` and the data tools start without OpenCV.
_HOME = {"Bundle": "bundle", "Detector": "detector", "Keypoints": "keypoints", "watch": "stream.watch"}

# Installed, kernels/, train/ … are folders of this package. In a bare checkout they stand beside it: there the GPU
# check runs without installing anything.
_FOLDER = Path(__file__).parent
if not (_FOLDER / "kernels").exists() and (_FOLDER.parent / "kernels" / "reference.py").is_file():
    __path__.append(str(_FOLDER.parent))


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("coke-edge")
    if name in _HOME:
        return getattr(import_module(f"coke_edge.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
