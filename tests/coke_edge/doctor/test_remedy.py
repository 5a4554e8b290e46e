from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from coke_edge.doctor import remedy
from coke_edge.doctor.machine import Machine
from coke_edge.doctor.report import examine

NVCC = {"tools": {"nvcc --version": "Cuda compilation tools, release 13.0, V13.0.88\n"}}


ADA = {
    "name": "NVIDIA RTX 4000",
    "capability": 89,
    "memory": 20 << 30,
    "processors": 48,
    "shared_memory": 101376,
}
CUDA_13 = {"libcuda": {"error": None, "code": 0, "cuda": 13020, "devices": [ADA]}}


def tensorrt(machine: Machine) -> str:
    facts = examine(machine)
    return remedy.tensorrt(machine, facts.jetson, facts.gpu)


@pytest.mark.parametrize(
    ("name", "changes", "command"),
    [
        ("thor", {}, "sudo apt install tensorrt python3-libnvinfer"),
        ("desktop", {}, "pip install tensorrt-rtx-cu12"),
        ("desktop", NVCC | CUDA_13, "pip install 'coke-edge[rtx]'"),
        ("desktop", CUDA_13, "pip install tensorrt-rtx"),
        ("laptop", NVCC, "pip install 'coke-edge[tensorrt]'"),
        ("laptop", {}, "pip install tensorrt"),
    ],
)
def test_tensorrt(recorded, name: str, changes: dict[str, Any], command: str) -> None:
    assert tensorrt(recorded(name, **changes)) == command


def test_every_command_fits_the_drivers_cuda(recorded) -> None:
    gpu = examine(recorded("desktop")).gpu
    assert remedy.cuda_major(gpu) == 12
    command = remedy.other_tensorrt("tensorrt-rtx", gpu)
    assert command.startswith("pip uninstall -y tensorrt-rtx tensorrt-rtx-cu13 ")
    assert command.endswith(" && pip install tensorrt-rtx-cu12")


def test_tensorrt_of_the_drivers_cuda(recorded) -> None:
    for cuda, command in ((12060, "tensorrt-cu12"), (13000, "tensorrt")):
        said = {"error": None, "code": 0, "cuda": cuda, "devices": [H100]}
        assert tensorrt(recorded("desktop", libcuda=said)) == f"pip install {command}"


H100 = {
    "name": "NVIDIA H100",
    "capability": 90,
    "memory": 80 << 30,
    "processors": 132,
    "shared_memory": 232448,
}


def test_jetpacks_tensorrt_is_installed_and_not_seen(recorded) -> None:
    machine = recorded("orin")
    assert tensorrt(machine) == f"/usr/bin/python3 -m venv --system-site-packages {machine.environment}"
    other = dataclasses.replace(machine, python="3.11.9")
    assert tensorrt(other).startswith("/usr/bin/python3 -m venv --system-site-packages ~/coke-edge && ")
    assert tensorrt(dataclasses.replace(machine, environment=None)) == tensorrt(other)


@pytest.mark.parametrize(
    ("name", "changes", "command"),
    [
        ("orin", {}, "pip install 'coke-edge[gpu]'"),
        ("thor", {}, "sudo apt install nvidia-cuda-dev && pip install 'coke-edge[gpu]'"),
        ("desktop", {}, "pip install 'cuda-bindings>=12.6,<13'"),
    ],
)
def test_launch_package(recorded, name: str, changes: dict[str, Any], command: str) -> None:
    facts = examine(recorded(name, **changes))
    assert remedy.launch_package(facts.jetson, facts.gpu) == command


@pytest.mark.parametrize(
    ("os", "command"),
    [
        ("Ubuntu 24.04.3 LTS", "sudo ubuntu-drivers install"),
        ("Debian GNU/Linux 12 (bookworm)", "sudo apt install nvidia-driver"),
        ("Arch Linux", None),
    ],
)
def test_driver(recorded, os: str, command: str | None) -> None:
    assert remedy.driver(dataclasses.replace(examine(recorded("laptop")).system, os=os)) == command


def test_package() -> None:
    assert remedy.package("numpy", None) == "pip install numpy"
    assert remedy.package("numpy", "2.0") == "pip install --force-reinstall numpy"
