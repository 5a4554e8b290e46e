"""The package in a bare checkout, where the kernels lie beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The folders that a checkout holds, copied."""
    ignored = shutil.ignore_patterns("__pycache__", "assets")
    for name in ("coke_edge", "kernels"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name, ignore=ignored)
    return tmp_path / "checkout"


def imported(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a folder, with the site packages but without what an editable install adds to them."""
    surroundings = {**os.environ, "PYTHONPATH": sysconfig.get_paths()["purelib"]}
    command = [sys.executable, "-S", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=surroundings)


def test_the_kernels_beside_the_package_are_its_own(checkout: Path) -> None:
    code = "import coke_edge.kernels.plan as p; print(p.__file__)"
    assert imported(checkout, code).stdout.strip() == str(checkout / "kernels" / "plan.py")


def test_a_stranger_called_kernels_is_not(checkout: Path) -> None:
    """Installed, the kernels are inside the package; what stands beside it in site-packages is somebody else's."""
    (checkout / "kernels").rename(checkout / "coke_edge" / "kernels")
    (checkout / "kernels").mkdir()
    (checkout / "kernels" / "reference.py").write_text("")
    code = "import coke_edge, coke_edge.kernels as k; print(k.__file__, len(coke_edge.__path__))"
    assert (
        imported(checkout, code).stdout.strip() == f"{checkout / 'coke_edge' / 'kernels' / '__init__.py'} 1"
    )
    shutil.rmtree(checkout / "coke_edge" / "kernels")
    (checkout / "kernels" / "reference.py").unlink()
    assert "ModuleNotFoundError" in imported(checkout, "import coke_edge.kernels").stderr


def test_the_compiler_starts_in_a_bare_checkout(checkout: Path) -> None:
    """`kernels/aot.py` runs itself in a process of its own, which has to find the package as well."""
    code = (
        "from coke_edge.kernels import aot, targets\nfrom pathlib import Path\n"
        "try: aot.compile_apart(targets.TARGETS['orin'], 7, ('fp16',), Path('x'))\n"
        "except targets.KernelError as error: print(error)"
    )
    found = imported(checkout, code)
    assert "channels must be a multiple of 8" in found.stdout, found.stderr
