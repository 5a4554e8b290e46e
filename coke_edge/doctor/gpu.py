"""NVIDIA GPUs and their driver, without torch: what CUDA sees, and where it sees nothing, why."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from coke_edge.doctor import remedy
from coke_edge.doctor.finding import Finding
from coke_edge.doctor.jetson import Jetson
from coke_edge.doctor.machine import Machine
from coke_edge.doctor.system import System

NVIDIA, DISPLAY = "0x10de", "0x03"  # PCI vendor, and the first byte of the class of display controllers
WSL_LIBRARIES = "/usr/lib/wsl/lib"  # where Windows puts libcuda (NVIDIA's "CUDA on WSL User Guide")
QUERY = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]

# What cuInit answers (CUresult in cuda.h), for the cases that have a sentence of their own.
NO_DEVICE, DRIVER_MISMATCH = 100, 803


@dataclasses.dataclass(frozen=True)
class Device:
    """One GPU."""

    name: str
    capability: int  # 87 is 8.7
    memory: int  # bytes
    processors: int  # multiprocessors
    shared_memory: int  # bytes that a block may have
    bus: str = ""  # its place, by which NVML and nvidia-smi know it: 0000:65:00.0


@dataclasses.dataclass(frozen=True)
class Gpu:
    """The GPUs that CUDA can use here; `findings` say why there are none."""

    devices: tuple[Device, ...]
    driver: str | None  # version of the kernel module, such as 550.54.14
    cuda: str | None  # the newest CUDA that the driver runs
    toolkit: str | None  # version of nvcc
    findings: tuple[Finding, ...]


def probe(machine: Machine, system: System, jetson: Jetson | None) -> Gpu:
    """Ask the driver, and look for the cause where it does not answer."""
    said = ask(machine)
    devices = tuple(Device(**fields) for fields in said["devices"])
    return Gpu(
        devices=devices,
        driver=driver_version(machine),
        cuda=f"{said['cuda'] // 1000}.{said['cuda'] % 1000 // 10}" if said["cuda"] else None,
        toolkit=toolkit(machine),
        findings=() if devices else (diagnose(machine, system, jetson, said),),
    )


def ask(machine: Machine) -> dict[str, Any]:
    """What `libcuda.describe` prints, or the same form with the reason why it printed nothing."""
    output = machine.python_module("coke_edge.doctor.libcuda")
    try:
        said: dict[str, Any] = json.loads(output.stdout)
    except ValueError:
        return {"error": output.ending, "code": None, "cuda": None, "devices": []}
    return said


def driver_version(machine: Machine) -> str | None:
    """The version in /proc/driver/nvidia/version, else what nvidia-smi says."""
    text = machine.read("/proc/driver/nvidia/version") or machine.run(QUERY).stdout
    found = re.search(r"\b\d{3}\.\d+(\.\d+)?\b", text)
    return found[0] if found else None


def toolkit(machine: Machine) -> str | None:
    """The version of nvcc, on the path or where NVIDIA's packages put it."""
    for nvcc in ("nvcc", str(machine.path("/usr/local/cuda/bin/nvcc"))):
        if found := re.search(r"\bV(\d+\.\d+\.\d+)", machine.run([nvcc, "--version"]).stdout):
            return found[1]
    return None


def diagnose(machine: Machine, system: System, jetson: Jetson | None, said: dict[str, Any]) -> Finding:
    """Why CUDA sees no GPU, and what to do. The order matters: the first sign that fits explains the rest."""
    present = jetson is not None or hardware(machine)
    if locked := [path for path in nodes(machine) if not machine.accessible(machine.path(path))]:
        return Finding(f"this user may not use the GPU ({locked[0]})", remedy.JOIN_VIDEO)
    if system.container and not nodes(machine):
        if present or machine.exists("/proc/driver/nvidia/version"):
            return Finding(
                "this container was started without its GPU", remedy.gpu_in_container(system, jetson)
            )
        return Finding(
            "no NVIDIA GPU is visible in this container; if the machine has one, start the container with it",
            remedy.gpu_in_container(system, jetson),
        )
    if system.wsl:
        return diagnose_wsl(machine, said)
    if not present and not nodes(machine):
        return Finding("no NVIDIA GPU")
    if said["code"] == DRIVER_MISMATCH:
        return Finding(
            "the driver's library does not fit its kernel module, as after an update", "sudo reboot"
        )
    if jetson is not None:
        what = said["error"] or f"CUDA error {said['code']}"
        return Finding(f"the Jetson's CUDA driver does not work ({what})", remedy.JETPACK)
    if said["error"] and not machine.exists("/proc/driver/nvidia/version"):
        return Finding("an NVIDIA GPU without its driver", remedy.driver(system))
    reason = said["error"] or f"CUDA error {said['code']}"
    return Finding(f"the NVIDIA driver does not work ({reason})", remedy.driver(system))


def diagnose_wsl(machine: Machine, said: dict[str, Any]) -> Finding:
    """In WSL the driver is Windows' own; a Linux driver installed beside it does harm."""
    if machine.exists(f"{WSL_LIBRARIES}/libcuda.so.1"):
        if said["error"]:
            return Finding(
                f"the driver that Windows lends is not found ({said['error']})",
                f"export LD_LIBRARY_PATH={WSL_LIBRARIES}",
            )
        if said["code"] == NO_DEVICE:
            return Finding(
                "Windows lends WSL no NVIDIA GPU: update its NVIDIA driver and restart WSL",
                "wsl.exe --shutdown",
            )
    return Finding(
        "no NVIDIA driver comes from Windows: install it there, never in WSL itself, and restart WSL",
        "wsl.exe --shutdown",
    )


def hardware(machine: Machine) -> bool:
    """Whether a PCI display controller of NVIDIA's is there, driver or not (sysfs-bus-pci of the Linux kernel)."""
    return any(
        machine.read(path) == NVIDIA
        and (machine.read(path.replace("/vendor", "/class")) or "").startswith(DISPLAY)
        for path in machine.find("/sys/bus/pci/devices", "*/vendor")
    )


def nodes(machine: Machine) -> list[str]:
    """The device files that CUDA opens: of a desktop GPU, or of a Jetson."""
    return [
        *machine.find("/dev", "nvidia[0-9]*"),
        *(path for path in ("/dev/nvidiactl", "/dev/nvmap", "/dev/nvgpu/igpu0/ctrl") if machine.exists(path)),
    ]
