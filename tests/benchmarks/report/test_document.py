"""docs/benchmarks.md is what the committed results give, and nothing is left out of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from coke_edge.benchmarks import document
from coke_edge.benchmarks.bench.result import write_result
from coke_edge.errors import CokeError

ROOT = Path(__file__).parents[3]
HOSTILE = "<b>|`a`_b_*c*[d](e)\n# f\u202e.coke"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder of results."""
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def made(folder: Path) -> str:
    return document.document(folder, folder.parent / "docs" / "benchmarks.md")


def table(text: str, title: str) -> list[dict[str, str]]:
    """The first table that has a column `title`."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("|") and f" {title} |" in line)
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[first:]]
    end = next(i for i, line in enumerate(lines[first:]) if not line.startswith("|"))
    return [dict(zip(cells[0], line, strict=True)) for line in cells[2:end]]


def test_the_committed_page_is_what_the_committed_results_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert document.main(["--check"]) == 0, "run make benchmark-docs"


PRIVATE = re.compile(
    r"(?:^|[\"'\s=:(`])"  # the beginning of a word
    r"(?:~[\w.-]*/|file:/|[A-Za-z]:\\"
    r"|/(?:home|root|tmp|work|Users|mnt|data|srv|opt|var|media|scratch|workspace|export|run|private|Volumes|nfs)(?:/|\b))",
    re.MULTILINE,
)


@pytest.mark.parametrize(
    "path",
    [
        "/home/me/a",
        "/data/lsp",
        "/srv/sets",
        "/opt/models/x.coke",
        "~/lsp",
        "~me/lsp",
        "C:\\\\data",
        "/scratch",
        "/mnt/a",
    ],
)
@pytest.mark.parametrize(
    "text", ['"{}"', "--data lsp:{} --out x", "--out={}", "`{}`", "see ({})", "{}", "a\n{}"]
)
def test_a_folder_of_someones_machine_is_seen(path: str, text: str) -> None:
    assert PRIVATE.search(text.format(path))


@pytest.mark.parametrize(
    "text",
    [
        "lsp:data/lsp",
        "out/bench",
        "ms/frame",
        "https://example.org/data/x",
        "/proc/stat",
        "/sys/class",
        "a ~ b",
        "../data/x",
    ],
)
def test_other_paths_are_nobodys(text: str) -> None:
    assert not PRIVATE.search(text)


def test_no_committed_result_or_page_names_a_folder_of_someones_machine() -> None:
    files = [*sorted((ROOT / document.RESULTS).rglob("*.json")), ROOT / document.PAGE]
    for path in files:
        found = PRIVATE.search(path.read_text(encoding="utf-8"))
        assert not found, f"{path.name}: {found}"


def test_each_row_stands_beside_its_command(folder, make_result) -> None:
    result = make_result()
    write_result(result, folder / "bench-made-up.json")
    text = made(folder)
    found = table(text, "p50")
    assert [line["#"] for line in found] == ["1", "2", "3", "4", "5"]
    for line, row in zip(found, result.rows, strict=True):
        assert float(line["p50"].strip("*")) == pytest.approx(row.latency_ms.p50, rel=0.005)
        assert line["accuracy"] == f"{row.accuracy.value:.1f}\u00a0%"
        assert line["precision"] == row.precision
    assert "GPU memory" not in found[0]  # no row has any
    assert f"```\n{result.command}\n```" in text
    assert "[bench-made-up.json](../results/bench-made-up.json)" in text
    assert result.protocol.steady_rule in text
    assert "there is no GPU" in text
    assert "Made-up CPU, 2 cores" in text
    assert "{{" not in text


def test_results_stand_by_machine_and_peers_apart(folder, make_result) -> None:
    one = make_result()
    other = msgspec.structs.replace(one.machine, name="ffff", processor="Another CPU", gpu="A GPU")
    write_result(one, folder / "a.json")
    write_result(make_result(machine=other), folder / "b.json")
    write_result(make_result(taken="2026-01-01T00:00:00Z"), folder / "c.json")
    write_result(make_result(kind="peers", command="make bench-peers"), folder / "d.json")
    text = made(folder)
    single, peers = text.split("## Beside peers")
    assert single.count("### ") == 2
    assert single.index("[c.json]") < single.index("[a.json]") < single.index("[b.json]")
    assert "### A GPU, with Another CPU, 2 cores" in single
    assert "[d.json]" in peers.split("## The head alone")[0]


def test_processors_of_one_name_with_and_without_dot_products_stand_apart(folder, make_result) -> None:
    one = make_result()
    write_result(one, folder / "a.json")
    write_result(make_result(machine=msgspec.structs.replace(one.machine, vnni=True)), folder / "b.json")
    assert made(folder).split("## Beside peers")[0].count("with VNNI, 2 cores") == 1


def test_a_race_is_measured_by_the_fastest_peer(folder, make_row, make_result) -> None:
    rows = [
        make_row(8.0, model="person.coke", precision="int8"),
        make_row(12.0, model="slow net"),
        make_row(10.0, model="fast net", accuracy=77.0),
        make_row(5.0, model="net without weights", accuracy=None),
        make_row(30.0, model="fast net", accuracy=77.0, threads=1),
    ]
    details = {"fast net, fp32": {"100": {"visible": 76.0}, "1000": {"visible": 77.0}}}
    text = made_with(folder, make_result(rows, kind="peers", extra={"accuracy": details}))
    found = table(text, "× fastest peer")
    assert [line["threads"] for line in found] == ["1", "2", "2", "2", "2"]
    assert [line["network"] for line in found[1:]] == [
        "net without weights",
        "**person.coke**",
        "fast net",
        "slow net",
    ]
    ratio = rows[0].latency_ms.p50 / rows[2].latency_ms.p50
    assert float(found[2]["× fastest peer"].strip("*")) == pytest.approx(ratio, abs=0.005)
    assert found[0]["× fastest peer"] == found[3]["× fastest peer"] == "1.00"
    assert found[3]["visible, 100 objects"] == "76.0\u00a0%"
    assert found[4]["visible, 100 objects"] == "–"


def test_names_do_not_become_markdown(folder, make_row, make_result) -> None:
    row = msgspec.structs.replace(make_row(), model=HOSTILE, notes=[HOSTILE], absent={HOSTILE: HOSTILE})
    plain = made_with(folder, make_result([make_row()]))
    text = made_with(folder, make_result([row], command="coke-edge bench '```\n# x'"))
    assert "<b>" not in text
    assert "\u202e" not in text
    assert len(re.findall(r"^#+ ", text, re.MULTILINE)) == len(re.findall(r"^#+ ", plain, re.MULTILINE)) + 1
    assert "````\ncoke-edge bench '```\n# x'\n````" in text  # the one line that starts so, in its block
    (line,) = table(text, "p50")
    assert line["model"].startswith("&lt;b&gt;\\|\\`a\\`")


def made_with(folder: Path, result) -> str:
    write_result(result, folder / "one.json")
    return made(folder)


def test_little_known_leaks_no_none(folder, make_row, make_result) -> None:
    row = msgspec.structs.replace(
        make_row(), stages_ms={}, warm_up={}, warm_up_ms=[], sensors={}, absent={}, accuracy=None, first_result_ms=None,
        resident_bytes=None,
    )  # fmt: skip
    text = made_with(folder, make_result([row]))
    before = document.template()
    assert not set(re.findall(r"\b(?:None|nan|inf|null)\b", text)) - set(re.findall(r"\bNone\b", before))
    assert "| unknown |" in text
    assert made_with(folder, make_result([]))


def head_result() -> dict[str, object]:
    return {
        "host": {"cpu": "Made-up CPU", "cores": 2, "system": "Linux", "load": [0.1, 0.2, 0.3]},
        "versions": {"python": "3.11"},
        "threads": 2,
        "sizes": [
            {
                "name": "B1",
                "dtype": "float32",
                "forms": {"numpy": {"median_ms": 12.5}, "torch": {"error": "no"}},
            }
        ],
    }


def test_the_head_and_the_gpu_check_have_readers_of_their_own(folder) -> None:
    head = head_result()
    (folder / "head-cpu.json").write_text(json.dumps(head))
    rows = [
        {"name": "gpu", "status": "measured", "found": {"name": "Made-up GPU"}},
        {"name": "host", "status": "measured", "cpu": "Made-up CPU"},
    ]
    sections = {
        "environment": {"seconds": 1.0, "rows": rows},
        "warp": {
            "seconds": None,
            "rows": [{"name": "odd <shape>", "status": "failed", "error": "ValueError"}],
        },
    }
    (folder / "gpu-check-made-up.json").write_text(
        json.dumps({"failed": True, "sections": sections, "head": head})
    )
    text = made(folder)
    heads, checks = text.split("## GPU checks")
    assert "Made-up CPU, 2 cores" in heads
    assert "| B1 | 12.5 ms | failed: no |" in heads
    assert "python -m coke_edge.benchmarks.head --device cpu --threads 2" in heads
    assert "Made-up GPU. Something failed." in checks
    assert "| warp | odd &lt;shape&gt; | failed | error ValueError |" in checks
    assert "| B1 | 12.5 ms | failed: no |" in checks


@pytest.mark.parametrize("content", ["{}", "[1]", "not json", '{"schema": 99, "rows": []}'])
def test_a_file_of_no_known_kind_is_one_sentence(folder, content) -> None:
    (folder / "x.json").write_text(content)
    with pytest.raises(CokeError, match=r"x\.json"):
        made(folder)


def test_check_says_whether_the_page_is_out_of_date(folder, make_result, capsys) -> None:
    page = folder.parent / "docs" / "page.md"
    arguments = ["--results", str(folder), "--out", str(page)]
    assert document.main([*arguments, "--check"]) == document.DIFFERS
    assert not page.exists()
    assert document.main(arguments) == 0
    assert document.main([*arguments, "--check"]) == 0
    write_result(make_result(), folder / "bench.json")
    assert document.main([*arguments, "--check"]) == document.DIFFERS
    assert "make benchmark-docs" in capsys.readouterr().err
    assert document.main(["--results", str(folder / "none"), "--out", str(page)]) == 2
