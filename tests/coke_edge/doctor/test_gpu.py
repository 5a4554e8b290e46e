from __future__ import annotations

from typing import Any

import pytest

from coke_edge.doctor import gpu, jetson, system
from coke_edge.doctor.gpu import Gpu
from coke_edge.doctor.machine import TIMED_OUT, Machine, Output


def probe(machine: Machine) -> Gpu:
    return gpu.probe(machine, system.probe(machine), jetson.probe(machine))


@pytest.mark.parametrize(
    ("name", "capability", "driver", "cuda", "toolkit"),
    [
        ("orin", 87, None, "12.6", "12.6.68"),
        ("thor", 110, None, "13.0", None),
        ("desktop", 89, "550.54.14", "12.4", None),
        ("wsl", 86, "560.94", "12.6", None),
    ],
)
def test_what_is_there(recorded, name: str, capability: int, driver: str, cuda: str, toolkit: str) -> None:
    found = probe(recorded(name))
    assert [device.capability for device in found.devices] == [capability]
    assert (found.driver, found.cuda, found.toolkit) == (driver, cuda, toolkit)
    assert found.findings == ()


REFUSED = {"error": None, "devices": [], "cuda": 12060}
NODES = {"/dev/nvidia0": "", "/dev/nvidiactl": ""}


@pytest.mark.parametrize(
    ("name", "changes", "what", "command"),
    [
        ("laptop", {}, "no NVIDIA GPU", None),
        ("container", {}, "this container was started without its GPU", "docker run --gpus all …"),
        (
            "container",
            {"files": {"/run/.containerenv": ""}},
            "this container was started without its GPU",
            "podman run --device nvidia.com/gpu=all …",
        ),
        (
            "laptop",
            {"files": {"/.dockerenv": ""}},
            "no NVIDIA GPU is visible in this container",
            "docker run --gpus all …",
        ),
        ("orin", {"files": {"/.dockerenv": "", "/dev/nvmap": None}, "libcuda": None}, "without its GPU", "--runtime"),
        ("orin", {"libcuda": None, "locked": ("/dev/nvmap",)}, "may not use the GPU (/dev/nvmap)", "usermod -aG video"),
        ("orin", {"libcuda": None}, "the Jetson's CUDA driver does not work", "sudo apt install nvidia-jetpack"),
        (
            "desktop",
            {"libcuda": None, "files": dict.fromkeys(["/proc/driver/nvidia/version", *NODES])},
            "an NVIDIA GPU without its driver",
            "sudo ubuntu-drivers install",
        ),
        ("desktop", {"libcuda": REFUSED | {"code": 803}}, "does not fit its kernel module", "sudo reboot"),
        ("desktop", {"libcuda": REFUSED | {"code": 999}}, "does not work (CUDA error 999)", "ubuntu-drivers"),
        ("desktop", {"libcuda": REFUSED | {"code": 100}, "locked": ("/dev/nvidia0",)}, "may not use", "usermod"),
        ("wsl", {"libcuda": None}, "that Windows lends is not found", "export LD_LIBRARY_PATH=/usr/lib/wsl/lib"),
        ("wsl", {"libcuda": REFUSED | {"code": 100}}, "Windows lends WSL no NVIDIA GPU", "wsl.exe --shutdown"),
        (
            "wsl",
            {"libcuda": None, "files": {"/usr/lib/wsl/lib/libcuda.so.1": None}},
            "install it there, never in WSL itself",
            "wsl.exe --shutdown",
        ),
    ],
)  # fmt: skip
def test_why_cuda_sees_nothing(
    recorded, name: str, changes: dict[str, Any], what: str, command: str | None
) -> None:
    [finding] = probe(recorded(name, **changes)).findings
    assert what in finding.what
    assert finding.command is None if command is None else command in (finding.command or "")


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (Output(-11), "crashed with signal 11"),
        (Output(TIMED_OUT, stderr="no answer within 20 s"), "no answer within 20 s"),
        (Output(1, stderr="Traceback:\nOSError: no\n"), "OSError: no"),
    ],
)
def test_a_driver_that_takes_the_process_with_it(tmp_path, output: Output, reason: str) -> None:
    machine = Machine(root=tmp_path, run=lambda arguments, timeout=0: output)
    assert gpu.ask(machine)["error"] == reason
