"""The commands that bring what is missing, each for the machine at hand; where a name comes from stands beside it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coke_edge.doctor.gpu import Gpu
    from coke_edge.doctor.jetson import Jetson
    from coke_edge.doctor.machine import Machine
    from coke_edge.doctor.system import System

# Devices belong to the group video; newgrp spares this shell the next login.
JOIN_VIDEO = "sudo usermod -aG video $USER && newgrp video"
JETPACK = "sudo apt install nvidia-jetpack"  # docs.nvidia.com/jetson/jetpack/install-setup
# Both names: TensorRT's installation guide, "Debian Package Installation"; JetPack's repository has the same ones.
APT_TENSORRT = "sudo apt install tensorrt python3-libnvinfer"
# NVIDIA's Jetson guides, "Install specific JetPack components"; they warn of Ubuntu's nvidia-cuda-toolkit.
JETSON_TOOLKIT = "sudo apt install nvidia-cuda-dev"
# TensorRT for RTX: Turing and later GeForce and workstation GPUs (docs.nvidia.com, TensorRT for RTX, prerequisites).
RTX_CAPABILITIES = (75, 86, 89, 120)


def driver(system: System) -> str | None:
    """The command that installs NVIDIA's driver, for the distributions where one name fits every GPU."""
    if system.os.startswith("Ubuntu"):
        return "sudo ubuntu-drivers install"  # Ubuntu Server documentation, "NVIDIA drivers installation"
    if system.os.startswith("Debian"):
        return "sudo apt install nvidia-driver"  # wiki.debian.org/NvidiaGraphicsDrivers, component non-free
    return None


def on_a_gpu_machine(argument: str) -> str:
    """What brings TensorRT to a machine with a GPU, where this one has none and cannot be asked more closely."""
    return (
        "a machine with an NVIDIA GPU needs its driver, then pip install tensorrt cuda-bindings (a GeForce RTX: "
        f"tensorrt-rtx; a Jetson: {APT_TENSORRT}), then coke-edge build {shlex.quote(argument)}"
    )


def gpu_in_container(system: System, jetson: Jetson | None) -> str | None:
    """How a container is started with the GPU (NVIDIA Container Toolkit, installed on the host)."""
    if system.container == "podman":
        return "podman run --device nvidia.com/gpu=all …"
    if system.container == "kubernetes":
        return None
    return "docker run --runtime nvidia …" if jetson else "docker run --gpus all …"


def tensorrt(machine: Machine, jetson: Jetson | None, gpu: Gpu) -> str:
    """The command that makes TensorRT importable."""
    if jetson is not None:
        return tensorrt_on_jetson(machine)
    rtx = bool(gpu.devices) and gpu.devices[0].capability in RTX_CAPABILITIES
    name = "tensorrt-rtx" if rtx else "tensorrt"
    if cuda_major(gpu) == 12:
        return f"pip install {name}-cu12"
    # The extras bring pycuda along, which needs nvcc.
    return (
        f"pip install 'coke-edge[{'rtx' if rtx else 'tensorrt'}]'" if gpu.toolkit else f"pip install {name}"
    )


def other_tensorrt(name: str, gpu: Gpu) -> str:
    """The command that puts the variant for the driver's CUDA in the place of the one for CUDA 13.

    Without a suffix pip takes that for CUDA 13 (TensorRT's installation guide, "CUDA Version Selection"), which wants
    a driver of CUDA 13 (11.4's prerequisites: r580 and later).
    """
    wrong = [f"{name}{part}" for part in ("", "-cu13", "-cu13-libs", "-cu13-bindings")]
    return f"pip uninstall -y {' '.join(wrong)} && pip install {name}-cu{cuda_major(gpu)}"


def cuda_major(gpu: Gpu) -> int:
    """The major version of the driver's CUDA; the newest where there is no driver yet."""
    return int(gpu.cuda.split(".")[0]) if gpu.cuda else 13


def newer_tensorrt(jetson: Jetson | None) -> str | None:
    """The command that brings a newer TensorRT; on a Jetson it comes with JetPack, which is flashed."""
    return None if jetson else "pip install --upgrade tensorrt"


def tensorrt_on_jetson(machine: Machine) -> str:
    """JetPack's TensorRT belongs to the system's Python: what is missing is the package, or the sight of it."""
    bindings = machine.find("/usr/lib", "python3*/dist-packages/tensorrt")
    if not bindings:
        return APT_TENSORRT
    same = f"python{'.'.join(machine.python.split('.')[:2])}" in bindings[0]
    if machine.environment is not None and same:
        # Made again over itself, an environment keeps what is installed and gains the system's packages.
        return f"/usr/bin/python3 -m venv --system-site-packages {shlex.quote(str(machine.environment))}"
    fresh = Path("~/coke-edge")
    return f"/usr/bin/python3 -m venv --system-site-packages {fresh} && {fresh}/bin/pip install coke-edge"


def launch_package(jetson: Jetson | None, gpu: Gpu) -> str:
    """The command that brings pycuda or cuda-python, which launch our kernels."""
    if gpu.toolkit is not None:
        return "pip install 'coke-edge[gpu]'"  # pycuda is compiled, and nvcc is there
    if jetson is not None:
        return f"{JETSON_TOOLKIT} && pip install 'coke-edge[gpu]'"
    # Wheels; the major version is that of the driver's CUDA (cuda-python's documentation, "Installation").
    major = cuda_major(gpu)
    return f"pip install 'cuda-bindings>={'12.6' if major == 12 else major},<{major + 1}'"


def package(name: str, version: str | None) -> str:
    """The command that installs a package of ours anew."""
    return f"pip install {'--force-reinstall ' if version else ''}{name}"
