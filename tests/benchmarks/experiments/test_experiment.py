"""A whole experiment on generated data: trained, killed, continued, tested, drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from coke_edge.benchmarks.experiments import __main__ as command
from coke_edge.benchmarks.experiments import measure, runner
from coke_edge.benchmarks.experiments.cache import Cache, prepare
from coke_edge.benchmarks.experiments.definition import Test
from coke_edge.benchmarks.experiments.places import Places
from coke_edge.benchmarks.experiments.result import read_result
from coke_edge.cli import application
from coke_edge.stream.images import read_image
from coke_edge.train.data.generated import write_generated
from coke_edge.train.recipe import make_recipe
from coke_edge.train.run import start_run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures, and four others to cut occluders from."""
    root = tmp_path_factory.mktemp("data")
    write_generated(root / "parts", 20)
    write_generated(root / "others", 4, seed=9)
    (root / "others" / "images").rename(root / "photos")
    content = json.loads((root / "parts" / "annotations.json").read_text())
    (root / "nothing.json").write_text(json.dumps({**content, "annotations": []}))
    return root


@pytest.fixture
def in_this_process(monkeypatch) -> None:
    """Commands run here, where torch is imported already; test_process.py has real processes."""

    def run_here(arguments: Sequence[str], log: Path, *_: object) -> int:
        if arguments[0] == "coke_edge.cli":
            return CliRunner().invoke(application(), list(arguments[1:]), catch_exceptions=False).exit_code
        assert arguments[0] == measure.__name__
        return measure.main(list(arguments[1:]))

    monkeypatch.setattr(runner, "run_process", run_here)


@pytest.mark.usefixtures("in_this_process")
def test_an_experiment_from_its_middle_to_its_figures(
    data: Path, make_run, tmp_path: Path, monkeypatch
) -> None:
    run = make_run(levels=("L0", "L2"))
    run = msgspec.structs.replace(run, test=with_an_empty_part(run.test))
    monkeypatch.setattr(command, "declared", lambda: [run])
    cache, published = Cache(tmp_path / "cache"), tmp_path / "published"
    place = cache.place(run)
    prepare(place, run, Places(str(data), ""))
    began = start_run(
        make_recipe(str(place / "recipe.yaml")), f"coco:{data}/parts/annotations.json", place / "run"
    )
    assert began.fit(stop_after=1).epoch == 1

    options = ["--data", str(data), "--cache", str(cache.folder)]
    assert command.main(["run", *options, "--results", str(published)]) == 0
    result = read_result(published / run.file)
    assert result == read_result(cache.results / run.file)
    assert result.trained.epochs == 2
    assert result.trained.steps == 4  # 16 pictures, 8 a step
    assert result.trained.objects == 16
    levels = result.figures[""]
    assert levels["L0"].objects == levels["L2"].objects == 2
    assert levels["L0"].covered == 0
    assert levels["L2"].covered > 0
    assert levels["L2"].object_share == pytest.approx(0.5, abs=0.1)
    assert set(levels["L0"].pck) == {"0.05", "0.1", "0.2"}
    assert result.figures["none"] == {}
    assert str(data) not in (published / run.file).read_text()
    metrics = (place / "run" / "metrics.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in metrics[1:]] == ["1", "2"]  # went on, did not begin again

    pictures = ["--levels", "L2", "--out", str(tmp_path / "sheets")]
    assert command.main(["pictures", run.key, *options, *pictures]) == 0
    for name in ("L2-good.jpg", "L2-bad.jpg"):
        assert read_image(tmp_path / "sheets" / name).shape == (256, 256, 3)  # one object each


def with_an_empty_part(test: Test) -> Test:
    """The test, and a part of a split that no picture falls into."""
    return msgspec.structs.replace(test, parts={**test.parts, "none": "coco:{data}/nothing.json"})
