from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from coke_edge.kernels.artifact import MANIFEST, Artifact, Binary, Parameter, load, parse, read, write
from coke_edge.kernels.targets import TARGETS, KernelError, named, of_capability

CUBIN = b"\x7fELF and so on"


def binary(name: str = "match-nchw-soft", target: str = "orin", file: str = "a.cubin") -> Binary:
    return Binary(
        name=name,
        target=target,
        capability=TARGETS[target].capability,
        file=file,
        sha256=hashlib.sha256(CUBIN).hexdigest(),
        size=len(CUBIN),
        symbol="match",
        parameters=(Parameter("features", "*fp16", 16), Parameter("cells", "i32")),
        scratch_slots=2,
        block=128,
        shared_memory=49664,
        registers=96,
        spills=0,
        stack=0,
        tensor_instructions={"HMMA": 80},
        constants={"CHANNELS": 128, "PRECISION": "ieee", "SOFT": True},
        abi=7,
        assembler="12.9.86",
    )


def test_written_and_read_back(tmp_path: Path) -> None:
    artifact = Artifact((binary(),), {"triton": "3.9.0"})
    write(tmp_path / "new" / "folder", artifact, {"a.cubin": CUBIN})
    assert read(tmp_path / "new" / "folder") == artifact
    assert load(tmp_path / "new" / "folder", artifact.binaries[0]) == CUBIN


def test_a_second_build_takes_the_place_of_the_first(tmp_path: Path) -> None:
    write(tmp_path, Artifact((binary(),), {}), {"a.cubin": CUBIN})
    write(tmp_path, Artifact((binary(file="b.cubin"),), {}), {"b.cubin": CUBIN})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.cubin", MANIFEST]


@pytest.mark.parametrize("content", [CUBIN[:-1], CUBIN[:-1] + b"!", b""])
def test_a_changed_binary_is_refused(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, Artifact((binary(),), {}), {"a.cubin": content})
    with pytest.raises(KernelError, match=r"a\.cubin is not the file"):
        load(tmp_path, binary())


def test_a_missing_binary(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match=r"a\.cubin is missing"):
        load(tmp_path, binary())


@pytest.mark.parametrize("file", ["../a.cubin", "/a.cubin", "b/a.cubin"])
def test_a_file_elsewhere_is_refused(tmp_path: Path, file: str) -> None:
    with pytest.raises(KernelError, match="outside its folder"):
        load(tmp_path, binary(file=file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is broken"),
        ("[]", "is broken"),
        ("{}", "is broken"),
        (json.dumps({"schema_version": 1, "versions": {}, "binaries": [{"name": "match"}]}), "is broken"),
        (json.dumps({"schema_version": 2, "versions": {}, "binaries": []}), "schema version 2"),
    ],
)
def test_a_broken_manifest(text: str, message: str) -> None:
    with pytest.raises(KernelError, match=message):
        parse(text)


def test_the_right_binary_or_the_command_that_makes_it() -> None:
    artifact = Artifact((binary(), binary(target="h100")), {})
    assert artifact.find("match-nchw-soft", 90).target == "h100"
    with pytest.raises(KernelError, match=r"8\.9, only for orin, h100: .* --targets orin,h100,rtx40 "):
        artifact.find("match-nchw-soft", 89)
    with pytest.raises(KernelError, match=r"no kernels for compute capability 7\.5; .*8\.7 \(orin\)"):
        artifact.find("match-nchw-soft", 75)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KernelError, match="cannot be written"):
        write(tmp_path / "file", Artifact((), {}), {})


def test_targets() -> None:
    assert {target.name: target.capability for target in TARGETS.values()} == {
        "a100": 80, "rtx30": 86, "orin": 87, "rtx40": 89, "l4": 89, "h100": 90,
        "b200": 100, "thor": 110, "rtx50": 120, "spark": 121,
    }  # fmt: skip
    assert of_capability(89) is named("rtx40")
