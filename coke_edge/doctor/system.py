"""Operating system, Python, processor, memory and disk."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

from coke_edge.doctor.machine import Machine

# Instructions that int8 networks run on, as /proc/cpuinfo calls them (arch/x86/include/asm/cpufeatures.h and
# arch/arm64/kernel/cpuinfo.c in the Linux kernel), and whether they add up products of int8 in one step.
INT8 = {
    "avx2": False,
    "avx512f": False,
    "avx512_vnni": True,
    "avx_vnni": True,
    "amx_int8": True,
    "asimd": False,  # NEON
    "asimddp": True,
    "i8mm": True,
}


@dataclasses.dataclass(frozen=True)
class System:
    """What stands below everything else; sizes in bytes."""

    os: str
    kernel: str
    architecture: str
    python: str
    environment: str  # none, venv, venv with system packages
    container: str | None  # docker, podman, kubernetes
    wsl: bool  # Linux in Windows
    cpu: str
    cores: int
    instructions: tuple[str, ...]  # of those in INT8
    int8_dot_product: bool
    memory: int
    memory_available: int
    cache: str
    cache_free: int  # of the disk that holds the cache


def probe(machine: Machine) -> System:
    """Read it all from /proc and /etc."""
    kernel = machine.read("/proc/sys/kernel/osrelease") or "unknown"
    cpuinfo = machine.read("/proc/cpuinfo") or ""
    instructions = tuple(name for name in INT8 if name in flags(cpuinfo))
    memory = machine.read("/proc/meminfo") or ""
    return System(
        os=os_name(machine),
        kernel=kernel,
        architecture=machine.architecture,
        python=machine.python,
        environment=environment(machine.environment),
        container=container(machine),
        wsl="microsoft" in kernel.lower(),  # the kernel that Microsoft builds for WSL 2 is named after them
        cpu=cpu_name(machine, cpuinfo),
        cores=len(re.findall(r"^processor\s*:", cpuinfo, re.MULTILINE)),
        instructions=instructions,
        int8_dot_product=any(INT8[name] for name in instructions),
        memory=kilobytes(memory, "MemTotal"),
        memory_available=kilobytes(memory, "MemAvailable"),
        cache=str(machine.cache),
        cache_free=free(machine.cache),
    )


def os_name(machine: Machine) -> str:
    """The PRETTY_NAME of os-release(5)."""
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)', machine.read("/etc/os-release") or "", re.MULTILINE)
    return found[1] if found else "unknown"


def environment(folder: Path | None) -> str:
    """What kind of virtual environment that folder is, by its pyvenv.cfg."""
    if folder is None:
        return "none"
    try:
        text = (folder / "pyvenv.cfg").read_text()
    except OSError:
        text = ""
    shared = re.search(r"include-system-site-packages\s*=\s*true", text, re.IGNORECASE)
    return "venv with system packages" if shared else "venv"


def container(machine: Machine) -> str | None:
    """The kind of container, by the files that each leaves in it."""
    if machine.exists("/run/.containerenv"):
        return "podman"
    if machine.exists("/var/run/secrets/kubernetes.io"):
        return "kubernetes"
    return "docker" if machine.exists("/.dockerenv") else None


def cpu_name(machine: Machine, cpuinfo: str) -> str:
    """The model's name; ARM processors have theirs from lscpu alone."""
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE) or re.search(
        r"^Model name:\s*(.+)$", machine.run(["lscpu"]).stdout, re.MULTILINE
    )
    return found[1].strip() if found else "unknown"


def flags(cpuinfo: str) -> set[str]:
    """What the first processor can do; ARM calls it Features."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return set(found[1].split()) if found else set()


def kilobytes(meminfo: str, key: str) -> int:
    """A row of /proc/meminfo in bytes, 0 if there is none."""
    found = re.search(rf"^{key}:\s*(\d+) kB", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def free(folder: Path) -> int:
    """Free bytes of the disk that a folder is on, or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
