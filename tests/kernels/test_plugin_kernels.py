"""The kernels of the plugins: under the interpreter against the definition, and compiled, as TensorRT gets them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from coke_edge.kernels import aot, artifact, ptx, reference
from coke_edge.kernels.artifact import Artifact
from coke_edge.kernels.packed import PEAK_WORDS, RULES, unpack
from coke_edge.kernels.plugin_match import plugin_match
from coke_edge.kernels.plugin_peaks import plugin_peaks
from coke_edge.kernels.plugin_variants import SHARED_MEMORY, plugin_tile, plugin_variants
from coke_edge.kernels.reference import Peaks, unit
from coke_edge.kernels.spec import HeadSpec, Rule
from coke_edge.kernels.targets import TARGETS, KernelError, named

CELLS, ROWS = 16, 16  # of a block, here
COMPILED = ["orin", "h100"]
MATCH_INPUTS = ["features", "prototypes", "clutter", "counts", "settings"]
MATCH_NUMBERS = ["cells", "keypoints", "rows", "part_rows"]
PEAKS_INPUTS = ["similarity", "response", "mass", "settings"]
PEAKS_NUMBERS = ["height", "width", "parts", "count", "rule"]


def run(
    features: torch.Tensor, prototypes: torch.Tensor, clutter: torch.Tensor, counts: torch.Tensor, head: HeadSpec,
    part_rows: int,
) -> Peaks:  # fmt: skip
    """Both kernels as TensorRT launches them: only pointers and int32, outputs full of garbage."""
    images, channels, height, width = features.shape
    cells, rows = height * width, len(clutter)
    parts = -(-rows // part_rows)
    settings = torch.tensor([head.temperature, 1 / head.temperature, head.clutter_weight])
    maps = (images, len(prototypes), height, width)
    similarity, score, candidates = (torch.full(maps, torch.nan) for _ in range(3))
    response, mass = (torch.full((max(1, parts), images, height, width), torch.nan) for _ in range(2))
    packed = torch.full((*maps[:2], head.peaks, PEAK_WORDS), -7, dtype=torch.int32)
    stored = clutter if rows else prototypes[:1]  # a tensor of TensorRT is not empty
    plugin_match[(-(-cells // CELLS), 1 + parts, images)](
        features, prototypes, stored, counts, settings, cells, len(prototypes), len(stored), part_rows,
        similarity, response, mass,
        CHANNELS=channels, BLOCK_CHANNELS=32, BLOCK_CELLS=CELLS, BLOCK_KEYPOINTS=16, BLOCK_ROWS=ROWS, PRECISION="ieee",
    )  # fmt: skip
    plugin_peaks[(len(prototypes), images, 1)](
        similarity, response, mass, settings, height, width, parts, head.peaks, RULES.index(head.rule),
        packed, score, candidates, BLOCK=128,
    )  # fmt: skip
    return unpack(packed.numpy())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("rows", "peaks"), [(0, 1), (1, 3), (40, 1), (40, 3)])
def test_against_the_definition(rule: Rule, rows: int, peaks: int) -> None:
    rng = np.random.default_rng(7)
    features = rng.normal(size=(2, 32, 5, 8)).astype(np.float16)
    prototypes, clutter = (
        unit(rng.normal(size=(n, 32)).astype(np.float32), 1).astype(np.float16) for n in (3, rows)
    )
    counts = rng.uniform(1, 9, max(1, rows)).astype(np.float32)
    head = HeadSpec(rule=rule, temperature=0.07, clutter_weight=0.5, peaks=peaks)
    found = run(*map(torch.from_numpy, (features, prototypes, clutter, counts)), head, part_rows=16)
    double = (x.astype(np.float64) for x in (features, prototypes, clutter))
    expected = reference.match(*double, head, counts[:rows])
    np.testing.assert_array_equal(found.index, expected.index)
    for name in Peaks._fields[1:]:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=0, atol=4e-6)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Path]:
    """The kernels for plugins of two targets, compiled in a process that does not interpret."""
    folder = tmp_path_factory.mktemp("plugin")
    program = (
        "import pathlib, sys\n"
        "from coke_edge.kernels import aot, artifact, targets\n"
        "from coke_edge.kernels.plugin_variants import plugin_variants\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "found = [aot.compile_variant(variant, target, folder) for target in map(targets.named, sys.argv[2:])\n"
        "         for variant in plugin_variants(target, 128, ('fp16', 'fp32', 'bf16'))]\n"
        "print(artifact.to_json(artifact.Artifact(tuple(found), {})))\n"
    )
    env = {
        **{name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"},
        "TRITON_CACHE_DIR": str(folder / "cache"),
        "TRITON_DISABLE_LINE_INFO": "1",
    }
    command = [sys.executable, "-c", program, str(folder), *COMPILED]
    text = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
    return artifact.parse(text), folder


@pytest.mark.parametrize("target", COMPILED)
@pytest.mark.parametrize("name", ["plugin-match-fp16", "plugin-match-fp32", "plugin-peaks"])
def test_what_tensorrt_gets(compiled: tuple[Artifact, Path], target: str, name: str) -> None:
    made, folder = compiled
    binary = made.find(name, named(target).capability)
    text = artifact.load(folder, binary).decode()
    kinds = {"u64": "pointer", "u32": "int32"}
    inputs, numbers, outputs = (
        (PEAKS_INPUTS, PEAKS_NUMBERS, ["packed", "score", "candidates"])
        if name == "plugin-peaks"
        else (MATCH_INPUTS, MATCH_NUMBERS, ["similarity", "response", "mass"])
    )
    assert [p.name for p in binary.parameters] == [*inputs, *numbers, *outputs]
    listed = re.search(r"\.entry\s+(\w+)\s*\((.*?)\)\s*\.reqntid (\d+)", text, re.DOTALL)
    assert listed is not None
    symbol, parameters, threads = listed.groups()
    assert [kinds[kind] for kind in re.findall(r"\.param \.(\w+)", parameters)] == [
        *["pointer"] * len(inputs), *["int32"] * len(numbers), *["pointer"] * len(outputs),
    ]  # fmt: skip
    assert (symbol, int(threads), binary.scratch_slots) == (binary.symbol, binary.block, 0)
    assert re.findall(r"\.version (\S+)\n\.target (\S+)", text) == [
        ("8.0", {"orin": "sm_87", "h100": "sm_90a"}[target])
    ]
    assert (binary.ptx, binary.abi, binary.file) == (80, 0, f"{target}-{name}.ptx")
    assert binary.shared_memory <= SHARED_MEMORY
    assert (binary.spills, binary.stack) == (0, 0)
    assert binary.registers * binary.block <= 65_536
    assert "match" not in name or binary.tensor_instructions[named(target).tensor_op] >= 8
    assert str(folder) not in text


def test_what_the_cubin_takes_that_is_made_of_it(compiled: tuple[Artifact, Path]) -> None:
    """The assembler takes the PTX without the scratch pointers."""
    from triton import knobs

    made, folder = compiled
    for binary in made.binaries:
        cubin = folder / Path(binary.file).with_suffix(".cubin")
        dump = [knobs.nvidia.cuobjdump.path, "-elf", str(cubin)]
        text = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
        assert len(re.findall(r"Ordinal\s*:", text)) == len(binary.parameters)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("channels", [16, 128, 136, 256, 512])
def test_every_tile_is_within_a_launch(target: str, channels: int) -> None:
    from coke_edge.kernels import plan

    for size in (2, 4):
        tile = plugin_tile(named(target), channels, size)
        assert plan.shared_memory(tile, named(target), channels, size) <= SHARED_MEMORY - plan.RESERVED


def test_the_language_is_the_oldest_that_knows_the_gpu() -> None:
    versions = {name: ptx.version_for(target) for name, target in TARGETS.items()}
    assert versions["orin"] == versions["h100"] == 80
    assert (versions["b200"], versions["thor"], versions["rtx50"], versions["spark"]) == (86, 90, 87, 88)
    assert set(versions.values()) <= ptx.DRIVERS.keys()


def test_no_plugin_for_features_that_no_engine_gives() -> None:
    names = [variant.name for variant in plugin_variants(named("orin"), 128, ["bf16"])]
    assert names == ["plugin-peaks"]


LISTED = "\t.param .u64 f_param_0,\n\t.param .u32 f_param_1"
PTX = f".visible .entry f(\n{LISTED},\n\t.param .u64 f_param_2\n)\n{{ [f_param_1] }}"


def test_parameters_are_cut_off() -> None:
    cut = ptx.with_first_parameters(PTX, 2)
    assert cut == f".visible .entry f(\n{LISTED}\n)\n{{ [f_param_1] }}"
    assert ptx.with_first_parameters(cut, 2) == cut


@pytest.mark.parametrize(
    ("text", "words"), [(PTX, "f reads f_param_1"), (PTX + PTX, "2 entries"), ("", "0 entries")]
)
def test_parameters_that_are_read_stay(text: str, words: str) -> None:
    with pytest.raises(KernelError, match=words):
        ptx.with_first_parameters(text, 1)


def test_the_manifest_can_be_read_back(compiled: tuple[Artifact, Path], tmp_path: Path) -> None:
    made, folder = compiled
    contents = {binary.file: (folder / binary.file).read_bytes() for binary in made.binaries}
    artifact.write(tmp_path, made, contents)
    assert artifact.read(tmp_path) == made
    artifact.write(tmp_path, Artifact((), {}), {})
    assert [file.name for file in tmp_path.iterdir()] == ["kernels.json"]
    assert json.loads(artifact.to_json(made))["binaries"][0]["ptx"] == 80


def test_the_command_asks_for_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`plugin` reaches the process that compiles a target."""
    asked: list[list[str]] = []

    def run_nothing(command: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command[3:])
        return subprocess.CompletedProcess(command, 0, artifact.to_json(Artifact((), {})), "")

    monkeypatch.setattr(aot.subprocess, "run", run_nothing)
    for plugin in (False, True):
        aot.build(["orin"], tmp_path / "out", plugin=plugin)
    assert [arguments[-1] for arguments in asked] == ["", "plugin"]

    compiled: list[str] = []
    monkeypatch.setattr(aot, "compile_variant", lambda variant, *_: compiled.append(variant.name))
    monkeypatch.setattr(aot, "to_json", lambda made: "")
    for arguments in asked:
        aot.main(*arguments)
    assert [name for name in compiled if "plugin" in name] == ["plugin-match-fp16", "plugin-peaks"]
    assert compiled.count("peaks-soft") == 2


def test_a_kernel_that_a_launch_cannot_hold() -> None:
    aot.check_shared_memory("x", 48 * 1024)
    with pytest.raises(KernelError, match=r"x takes 49,153 bytes of shared memory, a plugin may have 49,152"):
        aot.check_shared_memory("x", 48 * 1024 + 1)
