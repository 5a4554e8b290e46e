from __future__ import annotations

import platform
from pathlib import Path

import pytest

from coke_edge.doctor.machine import Machine
from coke_edge.doctor.system import environment, probe


@pytest.mark.parametrize(
    ("name", "cpu", "cores", "instructions", "dot"),
    [
        ("orin", "Cortex-A78AE", 6, ("asimd", "asimddp"), True),
        ("thor", "Neoverse-V3AE", 1, ("asimd", "asimddp", "i8mm"), True),
        ("desktop", "AMD Ryzen 7 3700X", 2, ("avx2",), False),
        ("laptop", "Intel(R) Core(TM) Ultra 7 155H", 1, ("avx2", "avx_vnni"), True),
    ],
)
def test_processor(
    recorded, name: str, cpu: str, cores: int, instructions: tuple[str, ...], dot: bool
) -> None:
    system = probe(recorded(name))
    assert (system.cpu, system.cores) == (cpu, cores)
    assert system.instructions == instructions
    assert system.int8_dot_product is dot


def test_the_rest(recorded) -> None:
    system = probe(recorded("container"))
    assert system.os == "Ubuntu 24.04.3 LTS"
    assert system.container == "docker"
    assert not system.wsl
    assert system.memory == 16384000 * 1024
    assert system.memory_available == 8192000 * 1024
    assert system.cache_free > 0  # of the disk that will hold it; the folder is not there yet
    assert system.environment == "venv"


def test_wsl_is_known_by_its_kernel(recorded) -> None:
    assert probe(recorded("wsl")).wsl


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("/run/.containerenv", "podman"),
        ("/var/run/secrets/kubernetes.io/token", "kubernetes"),
        ("/tmp/x", None),
    ],
)
def test_containers(recorded, file: str, kind: str | None) -> None:
    assert probe(recorded("desktop", files={file: ""})).container == kind


def test_environments(tmp_path: Path) -> None:
    assert environment(None) == "none"
    assert environment(tmp_path) == "venv"
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = true\n")
    assert environment(tmp_path) == "venv with system packages"


def test_an_empty_machine_is_no_error(tmp_path: Path) -> None:
    system = probe(Machine(root=tmp_path))
    assert (system.os, system.kernel, system.cores, system.memory) == ("unknown", "unknown", 0, 0)


def test_this_machine() -> None:
    system = probe(Machine())
    assert system.python == platform.python_version()
    assert system.cores >= 1
    assert system.memory > system.memory_available > 0
