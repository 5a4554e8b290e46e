"""Machines that are not there: their files, and what their tools print.

None was recorded on a device. The files have the form that their makers document:
/etc/nv_tegra_release, nvpmodel and its .conf: Jetson Linux Developer Guide; /proc/cpuinfo, /proc/meminfo, sysfs of
PCI devices and Video4Linux: documentation of the Linux kernel; /proc/driver/nvidia/version: README of NVIDIA's
driver; dpkg status: deb-control(5); WSL: NVIDIA's "CUDA on WSL User Guide". Capabilities are those of the chips'
data sheets; memory sizes are arbitrary.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from coke_edge.doctor.importing import DISTRIBUTIONS
from coke_edge.doctor.machine import MISSING, Machine, Output

MEMINFO = "MemTotal:       16384000 kB\nMemFree:         1000000 kB\nMemAvailable:    8192000 kB\n"
NO_LIBCUDA = "libcuda.so.1: cannot open shared object file: No such file or directory"
BUILD = """
General configuration for OpenCV 4.10.0 =====================================
  GUI:                           {gui}
    GTK+:                        NO

  Video I/O:
    DC1394:                      NO
    FFMPEG:                      YES
      avcodec:                   YES (59.37.100)
    GStreamer:                   {gstreamer}
    v4l/v4l2:                    YES (linux/videodev2.h)
"""


@dataclasses.dataclass
class Recording:
    """Everything about a machine that a probe may ask."""

    files: dict[str, str]
    tools: dict[str, str] = dataclasses.field(default_factory=dict)  # the whole command → stdout
    libcuda: dict[str, Any] | None = None  # None: it is not there
    packages: dict[str, dict[str, Any]] = dataclasses.field(
        default_factory=dict
    )  # beside those of the runtime
    locked: tuple[str, ...] = ()  # devices that this user may not open
    architecture: str = "x86_64"
    python: str = "3.11.7"
    trials: dict[str, Output] = dataclasses.field(default_factory=dict)  # backend → what its selftest leaves

    def machine(self, root: Path) -> Machine:
        """The machine with its files below `root`."""
        for name, text in self.files.items():
            path = root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (root / "venv").mkdir(exist_ok=True)
        (root / "venv" / "pyvenv.cfg").write_text("include-system-site-packages = false\n")
        return Machine(
            root=root,
            run=self.run,
            accessible=lambda path: f"/{path.relative_to(root)}" not in self.locked,
            architecture=self.architecture,
            python=self.python,
            environment=root / "venv",
            cache=root / "cache" / "coke-edge",
        )

    def run(self, arguments: Sequence[str], timeout: float = 0.0) -> Output:
        """What the tool printed; exit code 127 for one that is not recorded."""
        if arguments[1:2] == ["-m"]:
            return self.module(arguments[2], list(arguments[3:]))
        printed = self.tools.get(" ".join(arguments))
        return Output(MISSING, stderr="not found") if printed is None else Output(0, printed)

    def module(self, name: str, arguments: list[str]) -> Output:
        """What one of our modules prints in a process of its own."""
        if name.endswith("libcuda"):
            nothing = {"error": NO_LIBCUDA, "code": None, "cuda": None, "devices": []}
            return Output(0, json.dumps(self.libcuda or nothing))
        if name.endswith("trial"):
            return self.trials[arguments[1]]
        lines = [
            json.dumps(line) for package in arguments for line in ({"package": package}, self.look(package))
        ]
        return Output(0, "\n".join(lines))

    def look(self, package: str) -> dict[str, Any]:
        """A line of `importing`: the runtime's packages are there unless the recording says otherwise."""
        absent = {"version": None, "error": f"No module named {package!r}"}
        present = {"version": "1.0", "error": None}
        details = {
            "cv2": {"details": {"build": BUILD.format(gui="NONE", gstreamer="NO")}},
            "onnxruntime": {"details": {"providers": ["CPUExecutionProvider"]}},
        }
        usual = present if package in ("msgspec", "numpy", "safetensors", "cv2", "onnxruntime") else absent
        line = {
            "package": package,
            "distribution": DISTRIBUTIONS[package][0],
            **usual,
            **details.get(package, {}),
        }
        return line | self.packages.get(package, {})


def sees(name: str, capability: int, cuda: int) -> dict[str, Any]:
    """What libcuda says of a single GPU."""
    device = {
        "name": name,
        "capability": capability,
        "memory": 8 << 30,
        "processors": 8,
        "shared_memory": 166912,
    }
    return {"error": None, "code": 0, "cuda": cuda, "devices": [device]}


INTEL = (
    "processor\t: 0\nmodel name\t: Intel(R) Core(TM) Ultra 7 155H\nflags\t\t: fpu sse2 avx avx2 avx_vnni\n"
)
AMD = "processor\t: 0\nmodel name\t: AMD Ryzen 7 3700X\nflags\t\t: fpu avx avx2\n\nprocessor\t: 1\nflags\t: fpu avx2\n"
UBUNTU = {
    "/etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 24.04.3 LTS"\n',
    "/proc/sys/kernel/osrelease": "6.8.0-90-generic\n",
    "/proc/meminfo": MEMINFO,
}
GEFORCE = {
    "/sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n",
    "/sys/bus/pci/devices/0000:01:00.0/class": "0x030000\n",
    "/sys/bus/pci/devices/0000:01:00.1/vendor": "0x10de\n",  # its sound
    "/sys/bus/pci/devices/0000:01:00.1/class": "0x040300\n",
}
DRIVER = {
    "/proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.14  Release Build\n"
    "GCC version:  gcc version 13.2.0\n",
}
NODES = {"/dev/nvidia0": "", "/dev/nvidiactl": "", "/dev/nvidia-uvm": ""}

ORIN = Recording(
    files={
        "/etc/os-release": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
        "/proc/sys/kernel/osrelease": "5.15.148-tegra\n",
        "/proc/meminfo": MEMINFO,
        "/proc/cpuinfo": "".join(
            f"processor\t: {n}\nFeatures\t: fp asimd aes crc32 atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp\n\n"
            for n in range(6)
        ),
        "/etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, "
        "DATE: Wed Jan  8 01:49:37 UTC 2025\n# KERNEL_VARIANT: oot\n",
        "/proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
        "/proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
        "/var/lib/dpkg/status": "Package: nvidia-jetpack\nStatus: install ok installed\nPriority: standard\n"
        "Architecture: arm64\nVersion: 6.2+b77\n\nPackage: tensorrt\nVersion: 10.3.0.30-1+cuda12.5\n",
        "/etc/nvpmodel.conf": "# comment\n< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n"
        "< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< PM_CONFIG DEFAULT=1 >\n",
        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "729600\n",
        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1344000\n",
        "/sys/class/devfreq/17000000.gpu/min_freq": "306000000\n",
        "/sys/class/devfreq/17000000.gpu/max_freq": "918000000\n",
        "/sys/class/video4linux/video0/name": "vi-output, imx219 9-0010\n",
        "/sys/class/video4linux/video0/index": "0\n",
        "/dev/video0": "",
        "/dev/nvmap": "",
        "/tmp/argus_socket": "",
        "/usr/lib/python3.10/dist-packages/tensorrt/__init__.py": "",
    },
    tools={
        "nvpmodel -q": "NV Power Mode: 25W\n1\n",
        "lscpu": "Architecture:  aarch64\nModel name:    Cortex-A78AE\n",
        "nvcc --version": "Cuda compilation tools, release 12.6, V12.6.68\n",
    },
    libcuda=sees("Orin", 87, 12060),
    architecture="aarch64",
    python="3.10.12",
)

THOR = Recording(
    files={
        **UBUNTU,
        "/proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd asimddp sve i8mm\n",
        "/etc/nv_tegra_release": "# R38 (release), REVISION: 4.0, GCID: 43443517, BOARD: generic, EABI: aarch64\n",
        "/proc/device-tree/model": "NVIDIA Jetson AGX Thor Developer Kit\0",
        "/proc/device-tree/compatible": "nvidia,p4071-0000+p3834-0008\0nvidia,p3834-0008\0nvidia,tegra264\0",
        "/etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=120W >\n",
        "/var/lib/nvpmodel/status": "pmode:0000",
        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "2601000\n",
        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "2601000\n",
        "/dev/nvidia0": "",
        "/dev/nvidiactl": "",
    },
    tools={"lscpu": "Model name:  Neoverse-V3AE\n"},
    libcuda=sees("NVIDIA Thor", 110, 13000),
    architecture="aarch64",
    python="3.12.3",
)

DESKTOP = Recording(
    files={**UBUNTU, **GEFORCE, **DRIVER, **NODES, "/proc/cpuinfo": AMD},
    libcuda=sees("NVIDIA GeForce RTX 4070", 89, 12040),
    packages={
        "tensorrt_rtx": {"version": "1.7.1", "error": None},
        "pycuda.driver": {"error": "No module named 'pycuda'"},
    },
)

LAPTOP = Recording(
    files={
        **UBUNTU,
        "/proc/cpuinfo": INTEL,
        "/sys/bus/pci/devices/0000:00:02.0/vendor": "0x8086\n",
        "/sys/bus/pci/devices/0000:00:02.0/class": "0x030000\n",
        "/sys/class/video4linux/video0/name": "Integrated Camera: Integrated C\n",
        "/sys/class/video4linux/video0/index": "0\n",
        "/sys/class/video4linux/video1/name": "Integrated Camera: Integrated C\n",
        "/sys/class/video4linux/video1/index": "1\n",
        "/dev/video0": "",
        "/dev/video1": "",
    },
    locked=("/dev/video0",),
)

# A container sees the host's /proc and /sys, but neither its device nodes nor its libcuda.
CONTAINER = Recording(files={**UBUNTU, **GEFORCE, **DRIVER, "/proc/cpuinfo": AMD, "/.dockerenv": ""})

WSL = Recording(
    files={
        **UBUNTU,
        "/proc/sys/kernel/osrelease": "5.15.167.4-microsoft-standard-WSL2\n",
        "/proc/cpuinfo": INTEL,
        "/dev/dxg": "",
        "/usr/lib/wsl/lib/libcuda.so.1": "",
    },
    tools={"nvidia-smi --query-gpu=driver_version --format=csv,noheader": "560.94\n"},
    libcuda=sees("NVIDIA GeForce RTX 3060", 86, 12060),
)

RECORDINGS = {
    "orin": ORIN,
    "thor": THOR,
    "desktop": DESKTOP,
    "laptop": LAPTOP,
    "container": CONTAINER,
    "wsl": WSL,
}


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[..., Machine]:
    """Function (name, **changes) → the recorded machine; `files` are added, a file that is None is taken away."""

    def make(name: str, files: dict[str, str | None] | None = None, **changes: Any) -> Machine:
        recording = dataclasses.replace(RECORDINGS[name], **changes)
        merged = {**recording.files, **(files or {})}
        recording.files = {path: text for path, text in merged.items() if text is not None}
        return recording.machine(tmp_path / "machine")

    return make
