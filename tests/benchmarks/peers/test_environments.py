"""What prepares the race, with a stand-in for the package that exports YOLO: no weights but those that were named."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "benchmarks" / "peers" / "environments" / "yolo_to_onnx.sh"
NETWORKS = ("yolo11n-pose", "yolo26n-pose")
FILES = {f"{name}-{size}" for name in NETWORKS for size in (256, 192)}
# Like the package: it needs the file that it is told to export, which it can fetch if FETCH says so.
YOLO = """#!/bin/bash
model=${2#model=}
[ "${FETCH:-}" = yes ] && [ "${model%.pt}" != "$model" ] && touch "$model"
[ -e "$model" ] || { echo "no $model"; exit 1; }
grep -q broken "$model" && { echo "cannot read $model"; exit 1; }
cp "$model" "${model%.*}.onnx"
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment with the stand-in and its architectures."""
    site, folder = tmp_path / "site", tmp_path / "venv" / "bin"
    folder.mkdir(parents=True)
    for version in ("11", "26"):
        models = site / "ultralytics" / "cfg" / "models" / version
        models.mkdir(parents=True)
        (models / f"yolo{version}-pose.yaml").write_text("nc: 80\n")
    for name, text in (("yolo", YOLO), ("python", f"#!/bin/sh\necho {site}\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return tmp_path / "venv"


def export(venv: Path, **variables: str) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """What it said, and the names of the files that it made."""
    out = venv.parent / "models"
    environment = {"PATH": "/usr/bin:/bin", **variables}
    done = subprocess.run(
        ["bash", str(SCRIPT), str(venv), str(out)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    return done, {path.stem for path in out.glob("*.onnx")}


def weights(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / f"{name}.pt").write_text("weights")
    return folder


def test_weights_that_are_named_are_exported(venv: Path, tmp_path: Path) -> None:
    done, found = export(venv, WEIGHTS=str(weights(tmp_path / "weights", *NETWORKS)))
    assert (done.returncode, found) == (0, FILES), done.stderr
    assert (tmp_path / "models" / "yolo26n-pose-192.onnx").read_text() == "weights"


def test_weights_that_are_missing_are_no_random_ones(venv: Path, tmp_path: Path) -> None:
    done, found = export(venv, WEIGHTS=str(weights(tmp_path / "weights", NETWORKS[0])))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: there is no yolo26n-pose.pt in ")
    assert not any("random" in name for name in found)


def test_a_folder_of_weights_that_is_none(venv: Path, tmp_path: Path) -> None:
    done, found = export(venv, WEIGHTS=str(tmp_path / "nowhere"))
    assert (done.returncode, found) == (1, set())
    assert "which is no folder" in done.stderr


def test_weights_that_cannot_be_exported_are_no_random_ones(venv: Path, tmp_path: Path) -> None:
    folder = weights(tmp_path / "weights", *NETWORKS)
    (folder / "yolo11n-pose.pt").write_text("broken")
    done, found = export(venv, WEIGHTS=str(folder))
    assert (done.returncode, found) == (1, set())
    assert "cannot read yolo11n-pose.pt" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        "Error: yolo11n-pose at 256 could not be exported with its weights"
    )


def test_weights_that_are_nowhere_are_random_and_called_so(venv: Path) -> None:
    done, found = export(venv)
    assert (done.returncode, found) == (0, {f"{name}-random" for name in FILES}), done.stderr
    assert done.stdout.count("no weights to be had") == len(FILES)
    assert (venv.parent / "models" / "yolo11n-pose-256-random.onnx").read_text() == "nc: 1\n"


def test_weights_that_the_package_fetches(venv: Path) -> None:
    done, found = export(venv, FETCH="yes")
    assert (done.returncode, found) == (0, FILES), done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_nothing_is_installed_for_a_race_without_data(tmp_path: Path) -> None:
    peers = tmp_path / "peers"
    command = [
        "make",
        "-C",
        str(ROOT),
        "bench-peers",
        f"PEERS={peers}",
        f"DATA={tmp_path}",
        f"PYTHON={sys.executable}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "set COKE_EDGE_DATA to the folder that holds lsp/" in done.stdout
    assert not peers.exists()
