"""The fake libcuda.so.1, compiled from the C files beside this one and from an installed cuda.h.

    python tests/fake_cuda/build.py        prints the folder that holds it

All entry points that cuda.h names are there; those that the C files do not define answer CUDA_ERROR_STUB_LIBRARY.
The result is kept in the user's cache, under a name made from everything that it is built from.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = "libcuda.so.1"
ELSEWHERE = {
    "cuProfilerInitialize",
    "cuProfilerStart",
    "cuProfilerStop",
}  # declared in cudaProfiler.h, not in cuda.h
FLAGS = ["-std=gnu11", "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Wno-deprecated-declarations"]
EXPORTS = "{ global: cu*; fake_*; local: *; };\n"  # no other name of ours may stand in for another library's


def find_header() -> Path | None:
    """An installed cuda.h: of the toolkit, of NVIDIA's wheels, or of Triton."""
    folders = [
        Path(os.environ[name]) / "include" for name in ("CUDA_HOME", "CUDA_ROOT") if name in os.environ
    ]
    folders.append(Path("/usr/local/cuda/include"))
    for package, inside in (("nvidia", "cu*/include"), ("triton", "backends/nvidia/include")):
        spec = importlib.util.find_spec(package)
        for root in (spec.submodule_search_locations or []) if spec else []:
            folders += sorted(Path(root).glob(inside), reverse=True)
    return next((folder / "cuda.h" for folder in folders if (folder / "cuda.h").is_file()), None)


def cache() -> Path:
    """Where what the tests build is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coke-edge"


def build(header: Path) -> Path:
    """The library, built now or before. Raises CalledProcessError, with the compiler's words, if that fails."""
    sources = sorted(HERE.glob("*.c"))
    parts = [header, Path(__file__), HERE / "state.h", *sources]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in parts)).hexdigest()[:16]
    folder = cache() / f"fake-cuda-{key}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            made = Path(temporary) / "made"
            made.mkdir()
            compile_into(made, header, sources)
            try:
                os.replace(made, folder)
            except OSError:  # somebody else was faster
                if not folder.is_dir():
                    raise
    return folder / LIBRARY


def compile_into(folder: Path, header: Path, sources: list[Path]) -> None:
    """Write what the header says as C, and compile all into one library."""
    declared = header.read_text(errors="replace")
    written = set(
        re.findall(r"^CUresult CUDAAPI (cu\w+)\(", "\n".join(s.read_text() for s in sources), re.MULTILINE)
    )
    (folder / "stubs.c").write_text(stubs(declared, written))
    (folder / "names.c").write_text(names(declared))
    (folder / "exports").write_text(EXPORTS)
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or "cc"
    files = [*map(str, sources), str(folder / "stubs.c"), str(folder / "names.c")]
    link = [
        f"-Wl,-soname,{LIBRARY}",
        f"-Wl,--version-script={folder / 'exports'}",
        "-o",
        str(folder / LIBRARY),
    ]
    include = [f"-I{HERE}", f"-I{header.parent}"]
    subprocess.run([compiler, *FLAGS, *include, *files, *link, "-lpthread", "-ldl"], check=True)
    (folder / "libcuda.so").symlink_to(LIBRARY)  # the name that a linker looks for


def macros(declared: str) -> dict[str, str]:
    """Function → the name that cuda.h gives it, such as cuMemAlloc → cuMemAlloc_v2."""
    found = re.findall(
        r"^\s*#\s*define\s+(cu[A-Z]\w+)\s+(?:__CUDA_API_PT\w+\()?(cu\w+)\)?\s*$", declared, re.MULTILINE
    )
    return {name: full for name, full in found if full.startswith(name)}


def stubs(declared: str, written: set[str]) -> str:
    """C of every entry point that is not written by hand."""
    functions = (
        set(re.findall(r"\bCUDAAPI\s+(cu\w+)\s*\(", declared)) | set(macros(declared).values()) | ELSEWHERE
    )
    lines = [f"int {name}(void) {{ return 34; }}" for name in sorted(functions - written)]
    return "// CUDA_ERROR_STUB_LIBRARY\n" + "\n".join(lines) + "\n"


def names(declared: str) -> str:
    """C of two tables: error codes and their names, functions and their full names."""
    codes = re.findall(r"^\s*(CUDA_(?:SUCCESS|ERROR_\w+))\s*=\s*\d+", declared, re.MULTILINE)
    errors = "".join(f'    {{{code}, "{code}"}},\n' for code in codes)
    functions = "".join(f'    {{"{name}", "{full}"}},\n' for name, full in macros(declared).items())
    return (
        '#include "state.h"\n'
        f"const struct {{ CUresult code; const char *name; }} fake_errors[] = {{\n{errors}    {{0, 0}}}};\n"
        f"const struct {{ const char *name, *full; }} fake_names[] = {{\n{functions}    {{0, 0}}}};\n"
    )


def main() -> None:
    header = find_header()
    if header is None:
        sys.exit("no cuda.h: install the CUDA toolkit, or triton, which brings it along")
    print(build(header).parent)


if __name__ == "__main__":
    main()
