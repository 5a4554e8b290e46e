"""`coke-edge train` and the entry itself: options from the recipe, sentences for mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from coke_edge.cli import COMMANDS
from coke_edge.train.data.generated import write_generated
from coke_edge.train.recipe import Recipe


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "coke_edge.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)


def test_help_names_every_command() -> None:
    out = run("--help").stdout
    assert all(name in out for name in COMMANDS)


def test_every_recipe_key_is_an_option() -> None:
    out = run("train", "--help").stdout.replace("_", "-")
    assert "None" not in out  # each has its text …
    assert "(edge: 192)" in out  # … and its default
    for field in msgspec.structs.fields(Recipe):
        # A terminal of eighty columns may cut long names.
        assert f"--{field.name.replace('_', '-')}"[:14] in out, field.name


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train"], "say what to train on with --data"),
        (["train", "--data", "lsp:nowhere"], "nowhere"),
        (["train", "--data", "lsp:nowhere", "--recipe", "grand"], "no recipe 'grand'"),
        (["train", "--data", "lsp:nowhere", "--epochs", "0"], "epochs"),
        (["train", "--data", "lsp:nowhere", "--devices", "99"], "99 processes here need 99 GPUs"),
        (["train", "--resume", "nowhere"], "there is no checkpoint"),
        (["train", "--resume", "nowhere", "--epochs", "3"], "--resume continues a run as it was begun"),
        (["train", "--resume", "nowhere", "--recipe", "tiny"], "--resume continues a run as it was begun"),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.strip().splitlines()) == 1
    assert sentence in result.stderr


def test_train_on_generated_data_and_say_what_is_next(tmp_path: Path) -> None:
    write_generated(tmp_path / "data", count=12, seed=0)
    result = run(
        "train", "--data", f"coco:{tmp_path}/data/annotations.json", "--recipe", "tiny", "--out", str(tmp_path / "run"),
        "--backbone", "test_efficientnet", "--pretrained", "none", "--width", "64", "--height", "64", "--epochs", "1",
        "--batch-size", "4", "--workers", "0", "--no-fold-batchnorm", "--json",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["finished"]
    assert "Next: coke-edge export" in result.stderr
    assert "fold_batchnorm: false" in (tmp_path / "run" / "recipe.yaml").read_text()
