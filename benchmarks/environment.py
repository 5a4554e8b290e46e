"""What a measurement was made on: the machine, its GPU as it was found, and the versions."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from coke_edge.benchmarks.which_gpu import pci_bus, smi_option

PACKAGES = (
    "coke-edge",
    "torch",
    "timm",
    "lightning-fabric",
    "triton",
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "cuda-bindings",
    "pycuda",
)
QUERIES = (
    "name",
    "driver_version",
    "vbios_version",
    "pstate",
    "clocks.sm",
    "clocks.mem",
    "clocks.max.sm",
    "clocks.max.mem",
    "power.draw",
    "power.limit",
    "temperature.gpu",
    "utilization.gpu",
    "memory.used",
    "memory.total",
)


def versions() -> dict[str, str]:
    """Of Python and of the packages that take part, as far as they are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def host() -> dict[str, Any]:
    """The machine, and how busy it was when this was asked."""
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def processor() -> str:
    """The CPU's name, as Linux has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def nvidia_smi() -> dict[str, str]:
    """Clocks, power, driver and so on of the GPU that CUDA works on; empty where the tool is missing, fails or tells of
    several because CUDA does not say which. Only read.
    """
    command = [
        "nvidia-smi",
        f"--query-gpu={','.join(QUERIES)}",
        "--format=csv,noheader",
        *smi_option(pci_bus()),
    ]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    values = [value.strip() for value in found.stdout.strip().split(",")]
    if found.returncode != 0 or len(values) != len(QUERIES):
        return {}
    return dict(zip(QUERIES, values, strict=True))


def torch_gpu() -> dict[str, Any]:
    """The GPU as torch sees it; empty if there is none."""
    import torch

    if not torch.cuda.is_available():
        return {}
    properties = torch.cuda.get_device_properties(0)
    return {
        "name": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "processors": properties.multi_processor_count,
        "memory_bytes": properties.total_memory,
        "cache_bytes": properties.L2_cache_size,
        "cuda": torch.version.cuda,
    }


def fingerprint() -> str:
    """sha256 over the sources of the kernels: which kernels these were."""
    folder = Path(__file__).resolve().parent
    kernels = next(
        path for path in (folder.parent / "kernels", folder.parent.parent / "kernels") if path.is_dir()
    )
    digest = hashlib.sha256()
    for path in sorted([*kernels.glob("*.py"), *kernels.glob("*.json")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
