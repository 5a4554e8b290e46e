"""Write down the public names of a TensorRT version: `python tests/fake_tensorrt/snapshot.py` (`make trt-api`).

The bindings on PyPI come without their libraries; stand-ins that export the nine functions that the bindings link
against are enough to import them and to list every class and attribute. The lists are committed, so that tests need
no download: `api/NAME-VERSION.json` gives each class its public attributes, in one line; "" is the module itself.
Needs pip, a C compiler, and a Python for which the wheels exist (3.10 to 3.12).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BINDINGS = {
    "10.3.0": "tensorrt-cu12-bindings==10.3.0",
    "10.16.1.11": "tensorrt-cu13-bindings==10.16.1.11",
    "11.4.0.106": "tensorrt-cu13-bindings==11.4.0.106",
}
RTX = "tensorrt-rtx==1.7.1.116"
FUNCTIONS = (
    "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL", "getBuilderPluginRegistry",
    "getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins",
)  # fmt: skip
LIBRARIES = ("nvinfer", "nvonnxparser", "nvinfer_plugin")
API = Path(__file__).parent / "api"

LIST = """
import importlib, inspect, json, sys

module = importlib.import_module(sys.argv[1])
found = {}

def walk(thing, path):
    names = sorted(name for name in dir(thing) if not name.startswith("_"))
    found[path] = names
    for name in names:
        inner = getattr(thing, name)
        own = inspect.isclass(inner) and inner.__module__.startswith("tensorrt")
        if own and (below := f"{path}.{name}".lstrip(".")) not in found:
            walk(inner, below)

walk(module, "")
print(json.dumps(found))
"""


def main() -> None:
    """Write all snapshots."""
    API.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for version, requirement in BINDINGS.items():
            site = folder / version
            install(["--no-deps", requirement, "numpy"], site)
            write(f"tensorrt-{version}", names_of("tensorrt_bindings", site, stubs(folder, version)))
        install([RTX], folder / "rtx")
        write(RTX.replace("==", "-"), names_of("tensorrt_rtx", folder / "rtx", folder))


def install(requirements: list[str], folder: Path) -> None:
    """Put packages into a folder of their own."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", str(folder), *requirements], check=True)


def stubs(folder: Path, version: str) -> Path:
    """A folder with libraries that have the names, and the functions, that these bindings look for."""
    major = version.split(".")[0]
    libraries = folder / f"stubs-{major}"
    libraries.mkdir(exist_ok=True)
    source = folder / "stubs.c"
    source.write_text("".join(f"void* {name}(void) {{ return 0; }}\n" for name in FUNCTIONS))
    for library in LIBRARIES:
        name = f"lib{library}.so.{major}"
        compiler = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(libraries / name)]
        subprocess.run([*compiler, str(source)], check=True)
    return libraries


def names_of(module: str, site: Path, libraries: Path) -> dict[str, list[str]]:
    """Classes and attributes of a module, listed in a process of its own."""
    surroundings = {**os.environ, "PYTHONPATH": str(site), "LD_LIBRARY_PATH": str(libraries)}
    command = [sys.executable, "-W", "ignore", "-c", LIST, module]
    listed = subprocess.run(command, env=surroundings, check=True, capture_output=True, text=True)
    names: dict[str, list[str]] = json.loads(listed.stdout)
    return names


def write(name: str, names: dict[str, list[str]]) -> None:
    """One line for each class."""
    lines = [f" {json.dumps(owner)}: {json.dumps(' '.join(names[owner]))}" for owner in sorted(names)]
    (API / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{name}: {len(names)} classes")


if __name__ == "__main__":
    main()
