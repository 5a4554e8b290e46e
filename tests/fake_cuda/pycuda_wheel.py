"""pycuda into this Python: a wheel is built from its source once, and kept in the user's cache.

    make pycuda        or   python tests/fake_cuda/pycuda_wheel.py

It is published as source alone, and compiles (in about a minute) against cuda.h and a libcuda.so: here the fake one,
which has the same names.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import build

VERSION = "2026.1"
PROFILER = """\
#pragma once
#include <cuda.h>
typedef enum CUoutput_mode_enum { CU_OUT_KEY_VALUE_PAIR = 0, CU_OUT_CSV = 1 } CUoutput_mode;
extern "C" CUresult CUDAAPI cuProfilerInitialize(const char *, const char *, CUoutput_mode);
extern "C" CUresult CUDAAPI cuProfilerStart(void);
extern "C" CUresult CUDAAPI cuProfilerStop(void);
"""  # cudaProfiler.h, for the folders that have cuda.h alone


def main() -> None:
    if importlib.util.find_spec("pycuda"):
        return
    header = build.find_header()
    if header is None:
        sys.exit("no pycuda: there is no cuda.h to build it with; install the CUDA toolkit, or triton")
    try:
        pip("install", str(wheel(header)))
    except subprocess.CalledProcessError as error:
        sys.exit(f"no pycuda: {' '.join(map(str, error.cmd[:4]))} … failed")


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)


def wheel(header: Path) -> Path:
    """The wheel for this Python and this CUDA, built now or before."""
    found = re.search(r"^#define CUDA_VERSION (\d+)", header.read_text(errors="replace"), re.MULTILINE)
    cuda = found.group(1) if found else "unknown"
    kept = build.cache() / f"pycuda-{VERSION}-{sys.implementation.cache_tag}-{os.uname().machine}-cuda{cuda}"
    if not any(kept.glob("*.whl")):
        kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            made = compile_in(folder, header)
            part = kept / f".{made.name}"
            part.write_bytes(made.read_bytes())
            os.replace(part, kept / made.name)
    return next(kept.glob("*.whl"))


def compile_in(folder: Path, header: Path) -> Path:
    """Download the source, configure it, compile it."""
    pip(
        "download",
        "--no-deps",
        "--no-binary",
        "pycuda",
        "--dest",
        temporary := str(folder),
        f"pycuda=={VERSION}",
    )
    with tarfile.open(next(folder.glob("pycuda-*.tar.gz"))) as archive:
        archive.extractall(temporary, filter="data")
    source = next(path for path in folder.glob("pycuda-*") if path.is_dir())
    include = folder / "include"
    include.mkdir()
    if not (header.parent / "cudaProfiler.h").exists():
        (include / "cudaProfiler.h").write_text(PROFILER)
    libraries = build.build(header).parent
    options = [
        f"--cuda-root={header.parent.parent}",
        f"--cuda-inc-dir={header.parent},{include}",
        f"--cudadrv-lib-dir={libraries}",
        "--no-cuda-enable-curand",
    ]
    subprocess.run(
        [sys.executable, "configure.py", *options], cwd=source, check=True, stdout=subprocess.DEVNULL
    )
    # As it comes: without optimisation, in half the time, its error texts end in memory that nothing has written.
    pip("wheel", "--no-deps", "--wheel-dir", str(folder / "wheels"), str(source))
    return next((folder / "wheels").glob("*.whl"))


if __name__ == "__main__":
    main()
