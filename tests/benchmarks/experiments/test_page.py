"""docs/results.md is what the committed results give; what is missing is said to be missing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from coke_edge.benchmarks.experiments import __main__ as command
from coke_edge.benchmarks.experiments.collected import Collection, collect
from coke_edge.benchmarks.experiments.declared import LEVELS, METHODS, declared
from coke_edge.benchmarks.experiments.definition import Run
from coke_edge.benchmarks.experiments.page import document, template
from coke_edge.benchmarks.experiments.result import read_result, write_result
from coke_edge.benchmarks.experiments.targets import targets_part
from coke_edge.errors import CokeError

ROOT = Path(__file__).parents[3]
RUNS = declared()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


@pytest.fixture
def put(folder: Path, make_result) -> Callable[..., None]:
    """Results of all declared runs that fit: figures by name of the row."""

    def put(group: str, name: str, seeds: int = 3, **figures: object) -> None:
        for run in RUNS:
            if (run.group, run.name) == (group, name) and run.seed < seeds:
                write_result(folder / run.file, make_result(run, **figures))

    return put


def rows(text: str, heading: str) -> list[dict[str, str]]:
    """The first table below a heading, or below a line that starts so."""
    lines = text[text.index(heading) :].splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    cells = [
        [cell.strip() for cell in line[1:-1].split("|")] for line in lines[first:] if line.startswith("|")
    ]
    end = next(i for i, line in enumerate(lines[first:]) if not line.startswith("|"))
    return [dict(zip(cells[0], line, strict=True)) for line in cells[2:end]]


def test_the_committed_page_is_what_the_committed_results_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert command.main(["document", "--check"]) == 0, "run make benchmark-docs"


def test_committed_results_are_of_their_names_and_name_no_folder() -> None:
    for path in sorted((ROOT / command.PUBLISHED).glob("*.json")):
        result = read_result(path)
        assert path.name == result.run.file
        assert result.digest == result.run.digest
        assert not re.search(r"[\" :=?](/(home|root|tmp|work|Users|mnt)/|[A-Z]:\\\\)", path.read_text()), (
            path.name
        )


def test_without_results_nothing_looks_like_one(folder: Path) -> None:
    text = document(folder, RUNS)
    assert "{{" not in text
    assert len(rows(text, "## Methods on LSP")) == len(METHODS)
    for row in rows(text, "## Methods on LSP"):
        assert [row[level] for level in LEVELS] == ["missing"] * 4
        assert row["seeds"] == "0 of 3"
    before = text.split("## Method\n")[0]
    figures = set(re.findall(r"\d+\.\d+", before)) - set(re.findall(r"\d+\.\d+", template()))
    assert figures <= {"0.2", "0.1", "0.88", "0.84", "0.82", "0.3"}  # thresholds and targets, names of rows
    assert f"0 of {len(RUNS)} runs are done." in text


def test_a_figure_stands_in_its_row_with_its_spread(folder: Path, put, make_result) -> None:
    put("lsp", "coke-placement", pck={"L0": 80.0, "L1": 70.0, "L2": 60.0, "L3": 50.0}, auroc=0.8125)
    (other,) = [run for run in RUNS if run.key == "lsp/coke-placement-seed2"]
    write_result(folder / other.file, make_result(other, 77.0))
    put("lsp", "hourglass", seeds=1, pck=12.34)
    text = document(folder, RUNS)
    found = {row["method"]: row for row in rows(text, "## Methods on LSP")}
    assert found["CoKe"]["L0"] == "79.0 ± 1.7"  # 80, 80, 77
    assert found["CoKe"]["seeds"] == "3 of 3"
    assert found["stacked hourglass, squared error"]["L3"] == "12.3"
    assert found["stacked hourglass, squared error"]["seeds"] == "1 of 3"
    assert found["heat map, squared error"]["L3"] == "missing"
    visibility = {row["method"]: row for row in rows(text, "Visibility: AUROC")}
    assert visibility["CoKe"]["L1"] == "0.792 ± 0.036"  # 0.8125 twice, 0.75
    assert "Machine: Made-up CPU, 2 cores." in text


def test_an_earlier_definition_is_not_shown_but_named(folder: Path, make_result) -> None:
    run = RUNS[0]
    recipe = {**run.training.recipe, "dense": 0.123}
    old = Run(
        group=run.group,
        name=run.name,
        seed=run.seed,
        training=type(run.training)(data=run.training.data, recipe=recipe),
        test=run.test,
    )
    write_result(folder / run.file, make_result(old, 99.9))
    text = document(folder, RUNS)
    assert "99.9" not in text
    assert re.search(rf"Not shown, being of an earlier definition: {run.file}", text)


def test_what_is_no_result_stops_the_page(folder: Path) -> None:
    (folder / "lsp-coke-seed0.json").write_text("{}")
    with pytest.raises(CokeError, match="is no result"):
        document(folder, RUNS)


def targets(folder: Path) -> str:
    return targets_part(found(folder))


def found(folder: Path) -> Collection:
    return collect(folder, RUNS)


def test_targets_are_judged_by_the_means(folder: Path, put) -> None:
    assert targets(folder).count("**not known**") == 2
    put("lsp", "coke-placement", pck=70.0, auroc={"L0": 0.5, "L1": 0.88, "L2": 0.84, "L3": 0.82})
    assert "**met**" in targets(folder)
    assert targets(folder).count("**not known**") == 1
    put("lsp", "heatmap-ce", pck=71.0)
    assert targets(folder).count("**met**") == 2
    put("lsp", "heatmap-ce", pck={"L0": 70.0, "L1": 71.01, "L2": 60.0, "L3": 73.5})
    assert "**missed** at L1 (−1.01), L3 (−3.50)." in targets(folder)
    put("lsp", "coke-placement", pck=70.0, auroc={"L0": 0.9, "L1": 0.9, "L2": 0.8394, "L3": 0.9})
    assert "**missed** at L2 (0.839)." in targets(folder)


def test_targets_are_judged_so_far_until_all_seeds_are_there(folder: Path, put) -> None:
    put("lsp", "coke-placement", seeds=1, pck=70.0, auroc=0.9)
    put("lsp", "heatmap-ce", pck=70.0)
    assert targets(folder).count("**met** so far.") == 2
    put("lsp", "coke-placement", seeds=3, pck=70.0, auroc=0.9)
    assert targets(folder).count("**met**.") == 2


def test_ablations_and_prototypes_stand_beside_coke_of_the_same_length(folder: Path, put) -> None:
    put("lsp", "coke", seeds=1, pck=75.0)
    put("lsp-ablation", "coke", seeds=1, pck=70.0)
    put("lsp-prototypes", "both", seeds=1, pck=71.0)
    put("lsp-ablation", "no-dense", pck=58.75)
    table = {row[""]: row for row in rows(document(folder, RUNS), "## Ablations")}
    assert table["without the dense term"]["L2"] == "58.8 (−11.2)"
    assert table["without repulsion"]["L2"] == "missing"
    assert table["CoKe, hidden keypoints not placed"]["L2"] == "70.0"
    table = {row[""]: row for row in rows(document(folder, RUNS), "## Prototypes")}
    assert table["both"]["L2"] == "71.0 (+1.0)"
    assert table["learned (first row of the ablations)"]["L2"] == "70.0"


def test_ablations_are_held_against_the_mean_of_what_they_start_from(folder: Path, put) -> None:
    for seeds, value in (
        (3, 73.0),
        (2, 71.0),
        (1, 69.0),
    ):  # the later ones are written over the first of three
        put("lsp-ablation", "coke", seeds=seeds, pck=value)
    put("lsp-ablation", "no-dense", pck=58.0)
    text = document(folder, RUNS)
    table = {row[""]: row for row in rows(text, "## Ablations")}
    assert table["CoKe, hidden keypoints not placed"]["L2"] == "71.0 ± 2.0"
    assert table["without the dense term"]["L2"] == "58.0 (−13.0)"
    assert "First row: 3 of 3 seeds" in text


def pascal_names() -> list[str]:
    """CoKe's rows of PASCAL3D+."""
    seed_0 = [run.name for run in RUNS if run.group == "pascal3d" and run.seed == 0]
    return [name for name in seed_0 if name.endswith("-coke-placement")]


def test_a_mean_over_classes_waits_for_all_of_them(folder: Path, put) -> None:
    names = pascal_names()
    assert len(names) == 13  # with the joint model
    for i, name in enumerate(names[:-1]):
        put("pascal3d", name, seeds=1, pck=float(i))
    mean = {row[""]: row for row in rows(document(folder, RUNS), "## Unseen poses")}
    assert mean["CoKe, one model per class"]["unseen L3"] == "missing"
    assert mean["CoKe, one model of all classes"]["unseen L3"] == "0.0"
    put("pascal3d", names[-1], seeds=1, pck=12.0)
    mean = {row[""]: row for row in rows(document(folder, RUNS), "## Unseen poses")}
    assert mean["CoKe, one model per class"]["unseen L3"] == "6.5"  # 1 … 12


def test_a_class_without_objects_is_no_missing_run(folder: Path, put, make_result) -> None:
    names = pascal_names()
    for name in names:
        put("pascal3d", name, seeds=1, pck=40.0)
    (bottle,) = [run for run in RUNS if run.key == "pascal3d/bottle-coke-placement-seed0"]
    result = make_result(bottle, 90.0)
    write_result(
        folder / bottle.file, msgspec.structs.replace(result, figures={**result.figures, "unseen": {}})
    )
    text = document(folder, RUNS)
    mean = {row[""]: row for row in rows(text, "## Unseen poses")}["CoKe, one model per class"]
    assert mean["unseen L1"] == "40.0"
    assert mean["seen L1"] == "44.2"  # eleven times 40, and 90
    row = {row[""]: row for row in rows(text, "By class")}["bottle, CoKe"]
    assert row["unseen L1"] == "no object"
    assert row["tested on (seen + unseen)"] == "10 + 0"


def test_rows_of_the_same_recipe_share_a_line(folder: Path) -> None:
    text = document(folder, RUNS).partition("<details>")[2]
    first = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| `")]
    assert len(set(first)) == len(first)
    assert [name for name in first if "pascal3d" in name] == [
        "`pascal3d/*-coke-placement`",
        "`pascal3d/*-coke`",
        "`pascal3d/*-heatmap-ce`",
    ]
    assert "`lsp-rules/similarity`" in first or "`lsp-rules/*`" in first


def test_check_tells_a_page_that_differs(folder: Path, tmp_path: Path, capsys) -> None:
    page = tmp_path / "page.md"
    options = ["document", "--results", str(folder), "--out", str(page)]
    assert command.main([*options, "--check"]) == 1
    assert command.main(options) == 0
    assert command.main([*options, "--check"]) == 0
    page.write_text(page.read_text().replace("missing", "77.7", 1))
    assert command.main([*options, "--check"]) == 1
    assert "make benchmark-docs" in capsys.readouterr().err
