"""Whether packages can be imported, tried for real: `python -m coke_edge.doctor.importing cv2 onnxruntime …`.

Runs in a process of its own, since a library that does not fit the machine may end it. One line of JSON for each
package, printed at once, so that it is known which one was fatal.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import sys
from typing import Any

# Module → the distributions that may have brought it. Those in FOUND_ONLY are looked up and not imported: they take
# seconds and no command of the runtime needs them.
DISTRIBUTIONS = {
    "msgspec": ("msgspec",),
    "numpy": ("numpy",),
    "safetensors": ("safetensors",),
    "cv2": (
        "opencv-python-headless",
        "opencv-python",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "tensorrt": ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
    "tensorrt_rtx": ("tensorrt-rtx", "tensorrt-rtx-cu12", "tensorrt-rtx-cu13"),
    "pycuda.driver": ("pycuda",),
    "cuda.bindings.driver": ("cuda-bindings",),
    "torch": ("torch",),
    "timm": ("timm",),
    "onnx": ("onnx",),
}
FOUND_ONLY = ("torch", "timm", "onnx")


def look(name: str) -> dict[str, Any]:
    """Version, the error of the import, and what the package says of itself."""
    distribution, version = installed(name)
    report: dict[str, Any] = {"package": name, "distribution": distribution, "version": version}
    if name in FOUND_ONLY:
        return report | {"error": None if version else f"No module named {name!r}"}
    try:
        module = importlib.import_module(name)
        report["version"] = getattr(module, "__version__", version)
        return report | {"error": None, "details": details(name, module)}
    except Exception as error:  # a broken package may raise anything
        return report | {"error": (str(error).strip().splitlines() or [type(error).__name__])[0]}


def installed(name: str) -> tuple[str | None, str | None]:
    """The distribution that a module comes from and its version, None where pip knows of none."""
    for distribution in DISTRIBUTIONS.get(name, (name,)):
        try:
            return distribution, importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None, None


def details(name: str, module: Any) -> dict[str, Any]:
    """What only the imported package can say."""
    if name == "cv2":
        return {"build": module.getBuildInformation()}
    if name == "onnxruntime":
        return {"providers": module.get_available_providers()}
    if name in ("tensorrt", "tensorrt_rtx"):
        return {"cuda": built_for(name)}
    return {}


def built_for(name: str) -> int | None:
    """The CUDA, 12 or 13, that pip's TensorRT is built for: the suffix of the distribution that holds it."""
    for major in (13, 12):
        try:
            importlib.metadata.version(f"{name.replace('_', '-')}-cu{major}")
        except importlib.metadata.PackageNotFoundError:
            continue
        return major
    return None


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        print(json.dumps({"package": wanted}), flush=True)  # begun: if nothing follows, it was fatal
        print(json.dumps(look(wanted)), flush=True)
