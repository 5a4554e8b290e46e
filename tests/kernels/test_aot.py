"""Kernels compiled ahead of time, by the command, without a GPU: what the machine code is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from coke_edge.cli.kernels import app, told
from coke_edge.errors import CokeError
from coke_edge.kernels import aot, artifact, targets
from coke_edge.kernels.artifact import Artifact, Binary
from coke_edge.kernels.targets import KernelError
from coke_edge.kernels.variants import variants

NAMES = ["orin", "thor", "h100", "rtx40"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `coke-edge kernels build` writes for four targets."""
    out = tmp_path_factory.mktemp("kernels") / "out"
    result = CliRunner().invoke(app, ["build", "--targets", ",".join(NAMES), "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    built = json.loads(result.stdout)
    assert built["path"] == str(out)
    assert len(built["binaries"]) == len(list(out.glob("*.cubin"))) == 36
    assert f"Next: coke-edge kernels info {out}" in result.stderr
    return out


@pytest.fixture(scope="session")
def built(folder: Path) -> Artifact:
    return artifact.read(folder)


NAMES_OF_VARIANTS = [variant.name for variant in variants(targets.named("h100"), 128)]
each_binary = pytest.mark.parametrize("name", NAMES_OF_VARIANTS)
each_target = pytest.mark.parametrize("target", NAMES)


@pytest.fixture
def binary(built: Artifact, target: str, name: str) -> Binary:
    return built.find(name, targets.named(target).capability)


@each_target
@each_binary
def test_nothing_spills_and_the_shared_memory_is_there(binary: Binary, target: str) -> None:
    assert binary.spills == 0
    assert binary.stack == 0
    assert 0 < binary.registers <= 255
    assert binary.shared_memory <= targets.named(target).shared_memory
    assert binary.block in (128, 256)


@each_target
@pytest.mark.parametrize("name", [name for name in NAMES_OF_VARIANTS if name.startswith("match")])
def test_products_run_on_the_tensor_cores(binary: Binary, target: str) -> None:
    assert binary.tensor_instructions[targets.named(target).tensor_op] >= 8  # 128 channels, 16 at a time


@each_target
@each_binary
def test_the_manifest_says_what_the_binary_takes(binary: Binary, folder: Path) -> None:
    """The sizes of the parameters in the cubin itself, in order, are those of the manifest."""
    assert (
        cubin_parameters(folder / binary.file)
        == [{"i32": 4, "fp32": 4}.get(parameter.type, 8) for parameter in binary.parameters]
        + [8] * binary.scratch_slots
    )
    assert binary.symbol == binary.name.split("-")[0]
    assert not {parameter.name for parameter in binary.parameters} & set(binary.constants)


def cubin_parameters(path: Path) -> list[int]:
    """Sizes in bytes of a kernel's parameters, from the cubin's .nv.info."""
    from triton import knobs

    text = subprocess.run(
        [knobs.nvidia.cuobjdump.path, "-elf", str(path)], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(
        r"Ordinal\s*:\s*0x([0-9a-f]+)\s+Offset\s*:\s*0x[0-9a-f]+\s+Size\s*:\s*0x([0-9a-f]+)", text
    )
    return [int(size, 16) for _, size in sorted((int(ordinal, 16), size) for ordinal, size in found)]


def test_promises(built: Artifact) -> None:
    first, last = (
        {p.name: p for p in built.find(f"match-fp16-{layout}-soft", 87).parameters}
        for layout in ("nchw", "nhwc")
    )
    assert first["channel_stride"].multiple_of == first["cells"].multiple_of == 8
    assert last["cell_stride"].multiple_of == 8
    assert last["cells"].multiple_of == 1
    assert first["features"].multiple_of == 16
    assert "cell_stride" not in first
    assert built.find("match-fp16-nchw-soft", 87).constants["cell_stride"] == 1
    frame = {p.name: p for p in built.find("warp-fp16", 87).parameters}["frame"]
    assert (frame.type, frame.multiple_of) == ("*u8", 1)


def test_orin_loads_on_a_cuda_12_driver(built: Artifact) -> None:
    assert {binary.abi for binary in built.binaries if binary.target == "orin"} == {7}


def test_every_binary_is_its_checksum(built: Artifact, folder: Path) -> None:
    for binary in built.binaries:
        content = artifact.load(folder, binary)
        assert content[:4] == b"\x7fELF"
        assert content[8] == binary.abi


def test_no_path_of_this_machine_is_inside(built: Artifact, folder: Path) -> None:
    for binary in built.binaries:
        content = artifact.load(folder, binary)
        assert str(Path(aot.__file__).parent).encode() not in content
        assert str(folder.parent).encode() not in content


# Target, channels, dtype, layout, soft: each dtype and tensor-core instruction with few, odd and many channels.
CORNERS = [
    ("rtx40", 128, "fp16", "nhwc", True),  # again
    ("rtx40", 512, "bf16", "nhwc", True),
    ("rtx40", 96, "fp32", "nhwc", True),
    ("rtx50", 200, "fp32", "nchw", False),
    ("orin", 384, "fp16", "nchw", False),
    ("h100", 512, "fp32", "nhwc", False),
    ("h100", 32, "bf16", "nchw", True),
    ("thor", 256, "fp16", "nhwc", True),
    ("b200", 64, "fp32", "nchw", True),
]
COMPILE = """
import dataclasses, json, pathlib, sys
from coke_edge.kernels import aot, targets, variants
for name, *kind in json.loads(sys.argv[1]):
    target = targets.named(name)
    binary = aot.compile_variant(variants.match_variant(target, *kind), target, pathlib.Path("."))
    print(json.dumps(dataclasses.asdict(binary)))
"""


@pytest.fixture(scope="module")
def corners(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[object, ...], dict[str, Any]]:
    """The manifest's entry of each corner, compiled by two processes that do not interpret."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("TRITON_")}
    surroundings["TRITON_DISABLE_LINE_INFO"] = "1"

    def compiled(some: list[tuple[object, ...]]) -> list[dict[str, Any]]:
        folder = tmp_path_factory.mktemp("corners")
        found = subprocess.run(
            [sys.executable, "-c", COMPILE, json.dumps(some)],
            capture_output=True, text=True, check=True, cwd=folder,
            env={**surroundings, "TRITON_CACHE_DIR": str(folder / "cache")},
        )  # fmt: skip
        return [json.loads(line) for line in found.stdout.splitlines()]

    halves = [CORNERS[::2], CORNERS[1::2]]
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(compiled, halves))
    pairs = (zip(*both, strict=True) for both in zip(halves, results, strict=True))
    return {corner: binary for some in pairs for corner, binary in some}


@pytest.mark.parametrize("corner", CORNERS, ids=str)
def test_nothing_spills_whatever_the_channels_and_dtype(
    corners: dict[tuple[object, ...], dict[str, Any]], corner: tuple[str, int, str, str, bool]
) -> None:
    target, binary = targets.named(corner[0]), corners[corner]
    assert binary["spills"] == binary["stack"] == 0
    assert binary["shared_memory"] <= target.shared_memory
    assert binary["tensor_instructions"][target.tensor_op] >= 4
    features = next(p for p in binary["parameters"] if p["name"] == "features")
    assert features["type"] == f"*{corner[2]}"


def test_the_same_bytes_again(built: Artifact, corners: dict[tuple[object, ...], dict[str, Any]]) -> None:
    again = corners[CORNERS[0]]
    assert again["sha256"] == built.find(again["name"], 89).sha256


def test_info_prints_the_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    result = CliRunner().invoke(app, ["info", str(folder)])
    assert result.exit_code == 0, result.output
    row = next(
        line for line in result.stdout.splitlines() if "h100" in line and "match-fp16-nchw-soft" in line
    )
    assert "HGMMA" in row
    assert "36 binaries" in result.stdout
    again = CliRunner().invoke(app, ["info", str(folder), "--json"])
    assert len(json.loads(again.stdout)["binaries"]) == 36


def test_a_target_that_is_not_known() -> None:
    with pytest.raises(KernelError, match="there is no target 'rtx20'; choose from a100"):
        aot.build(["h100", "rtx20"], Path("nowhere"))
    with pytest.raises(KernelError, match="name at least one"):
        aot.build([], Path("nowhere"))
    with pytest.raises(KernelError, match="dtypes must be some of fp16, bf16, fp32, not fp8"):
        aot.build(["h100"], Path("nowhere"), dtypes=["fp8"])
    with pytest.raises(KernelError, match="multiple of 8"):
        aot.build(["h100"], Path("nowhere"), channels=100)


def test_a_compiler_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triton.__version__", "3.6.0")
    with pytest.raises(KernelError, match=r"thor needs triton 3\.7 or later, this is 3\.6\.0"):
        aot.build(["h100", "thor"], Path("nowhere"))


def test_a_compiler_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    (tmp_path / artifact.MANIFEST).write_text("of an earlier build")
    with pytest.raises(KernelError, match="cannot be compiled for orin: it ended with 1"):
        aot.build(["orin"], tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["of an earlier build"]


def test_the_error_of_the_command_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CokeError, match=r"there is no kernels.json in .*build --out .*\.$"), told():
        artifact.read(tmp_path)
