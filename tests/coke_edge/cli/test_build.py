from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from coke_edge.cli import application
from coke_edge.cli.build import Bars
from coke_edge.engine.inspection import Layers
from coke_edge.errors import BackendError, CokeError

RTX = ["--provider", "tensorrt-rtx", "--capability", "8.9"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(application(), ["build", *map(str, arguments)])


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, CokeError), result.output
    return str(result.exception)


def test_builds_and_then_finds_it(fake_tensorrt: Any, bundle_path: Path) -> None:
    first = run(bundle_path)
    assert first.exit_code == 0
    assert "The head runs in standard operators inside the engine, since" in first.stderr
    assert "Building an fp32 engine" in first.stderr
    assert re.search(
        r"Built in \d+\.\d s: .*/colours-fp32-standard-[0-9a-f]{12}\.engine \(0\.0 MB\)", first.stdout
    )
    assert "fp32, head inside the engine, 1 to 8 crops at a time, tuned for 1." in first.stdout
    assert re.search(r"Precision as built: .*all layers \d+ in fp32", first.stdout)
    assert f"coke-edge detect {bundle_path} --source IMAGE --backend tensorrt" in first.stderr
    again = run(bundle_path)
    assert "The cache has it:" in again.stdout
    assert "Building" not in again.stderr
    assert "--force asks for it" in run(bundle_path, "--force").stderr


def test_json(fake_tensorrt: Any, bundle_path: Path, tmp_path: Path) -> None:
    result = run(bundle_path, "--json", "--batch", "2,3,4", "--workspace", 64, "--out", tmp_path / "engines")
    found = json.loads(result.stdout)
    assert Path(found["engine"]).parent == tmp_path / "engines"
    assert found["built"] is True
    assert found["spec"]["batch"] == {"smallest": 2, "typical": 3, "largest": 4}
    assert found["workspace"] == 64
    assert found["layers"]["all"].keys() == {"fp32"}
    assert found["machine"]["gpu"] == "Fake Orin"


def test_bad_options(fake_tensorrt: Any, bundle_path: Path, tmp_path: Path) -> None:
    for text in ("0", "4,2,8", "many", "1,2", ""):
        assert "--batch takes" in refused(bundle_path, "--batch", text)
    for text in ("89", "8.9.1", "x"):
        assert "--capability takes" in refused(bundle_path, "--capability", text, "--out", tmp_path)
    assert "give --out" in refused(bundle_path, "--capability", "8.9")
    assert "no precision 'half'" in refused(bundle_path, "--precision", "half")
    assert "no provider 'trt'" in refused(bundle_path, "--provider", "trt")
    assert "no head 'torch'" in refused(bundle_path, "--head", "torch")
    aimed = refused(bundle_path, "--provider", "tensorrt", "--capability", "8.7", "--out", tmp_path)
    assert "builds on the GPU that the engine is for" in aimed


def test_without_a_gpu(fake_cuda: Any, fake_tensorrt: Any, bundle_path: Path) -> None:
    fake_cuda.reset(devices=0)
    sentence = refused(bundle_path)
    assert sentence.startswith("an engine is built on the GPU that runs it: ")
    assert "--provider tensorrt-rtx --capability" in sentence


def test_an_engine_that_is_not_what_was_asked_for(
    fake_tensorrt: Any, bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coke_edge.engine import context

    monkeypatch.setattr(context, "inspect", lambda *_: Layers({"fp16": 3}, {"fp16": 2}))
    result = run(bundle_path)
    assert "Warning: the graph asks for fp32, but no convolution or matrix product" in result.stderr
    assert "convolutions and matrix products 2 in fp16; all layers 3 in fp16." in result.stdout


def test_for_another_machine(bundle_path: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="no TensorRT for RTX here: pip install 'coke-edge[rtx]'")
    result = run("demo", *RTX, "--out", tmp_path)
    assert result.exit_code == 0, result.exception
    assert "for compute capability 8.9" in result.stderr
    assert "could not be read back" in result.stderr
    assert f"Copy the files in {tmp_path}" in result.stderr
    (engine,) = tmp_path.glob("person-*.engine")
    assert engine.stat().st_size > 1_000_000
    with pytest.raises(BackendError, match=r"cannot build for compute capability 8\.7"):
        raise run("demo", "--capability", "8.7", "--out", tmp_path).exception or AssertionError


def test_phases_are_bars_below_each_other() -> None:
    from rich.progress import Progress

    bars = Progress(disable=True)
    shown = Bars(bars)
    shown.start("Building", None, 10)
    shown.start("Timing", "Building", 3)
    shown.step("Timing", 1)
    assert [(task.description, task.completed, task.total) for task in bars.tasks] == [
        ("Building", 0, 10),
        ("  Timing", 2, 3),
    ]
    shown.finish("Timing")
    shown.finish("Timing")
    shown.step("never begun", 1)
    assert [task.description for task in bars.tasks] == ["Building"]
