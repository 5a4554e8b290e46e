"""The page as a parser, a reader and a browser see it."""

from __future__ import annotations

import dataclasses
import html.parser
import itertools
import re
from collections.abc import Iterator

import msgspec
import pytest
from headless_browser import CONTRAST

from coke_edge.benchmarks.bench.result import Result, read_result, write_result
from coke_edge.benchmarks.report import write_report
from coke_edge.benchmarks.report.axes import LEFT, RIGHT, Scale
from coke_edge.benchmarks.report.histogram import counts
from coke_edge.benchmarks.report.page import page
from coke_edge.benchmarks.report.timeline import strokes
from coke_edge.errors import CokeError

HOSTILE = "<img src=x onerror=alert(1)>|`a`\"'&\u202e\x00.coke"
VOID = {"meta"}


@dataclasses.dataclass
class Node:
    """An element of the page."""

    name: str
    attributes: dict[str, str | None]
    children: list[Node | str]

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.walk()

    def all(self, name: str, **attributes: str) -> list[Node]:
        return [n for n in self.walk() if n.name == name and attributes.items() <= n.attributes.items()]

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)


class Parser(html.parser.HTMLParser):
    """A tree, in which every element is closed by the tag that opened it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Node("", {}, [])
        self._open = [self.root]
        self.feed(text)
        self.close()
        assert self._open == [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs), [])
        assert len(node.attributes) == len(attrs)
        self._open[-1].children.append(node)
        if tag not in VOID:
            self._open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Node(tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().name == tag

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def parsed(result: Result) -> Node:
    return Parser(page(result)).root


def lines(table: Node) -> list[list[str]]:
    """The cells of a table's body."""
    (body,) = table.all("tbody")
    return [[cell.text for cell in line.walk() if cell.name in ("th", "td")] for line in body.all("tr")]


def test_every_row_stands_in_the_table_with_its_own_accuracy(make_result) -> None:
    result = make_result()
    (table,) = parsed(result).all("table", id="head")
    (titles,) = table.all("thead")
    names = [cell.text for cell in titles.all("th")]
    found = [dict(zip(names, line, strict=True)) for line in lines(table)]
    assert [line["#"] for line in found] == ["1", "2", "3", "4", "5"]
    for line, row in zip(found, result.rows, strict=True):
        assert line["model"].startswith(row.model)
        assert line["precision"] == row.precision
        assert line["batch"] == str(row.batch)
        assert float(line["p50"]) == pytest.approx(row.latency_ms.p50, rel=0.005)
        assert float(line["p99"]) == pytest.approx(row.latency_ms.p99, rel=0.005)
        assert float(line["max"]) == pytest.approx(row.latency_ms.max, rel=0.005)
        assert line["accuracy"] == f"{row.accuracy.value:.1f}\u00a0%"
    assert found[1]["mode"] == "paced, 30 fps2 late"


def test_every_row_has_its_plots_with_words_for_those_who_cannot_see_them(make_result) -> None:
    root = parsed(make_result())
    identities = [node.attributes["id"] for node in root.walk() if "id" in node.attributes]
    assert len(identities) == len(set(identities))
    for number in range(1, 6):
        assert f"histogram-{number}-name" in identities
        assert f"timeline-{number}-name" in identities
    drawings = root.all("svg")
    assert len(drawings) == 5 * 2 + 5 + 2 * 5 + 1  # histogram and time line, stages, two sensors, scatter
    for drawing in drawings:
        assert drawing.attributes["role"] == "img"
        reference = drawing.attributes.get("aria-labelledby")
        assert drawing.attributes.get("aria-label") or reference in identities


def test_stages_add_up_and_a_difference_is_shown(make_row, make_result) -> None:
    row = make_row()
    short = msgspec.structs.replace(row, stages_ms={**row.stages_ms, "other": 0.0})
    (table,) = parsed(make_result([row, short])).all("section", id="stages")[0].all("table")
    good, bad = lines(table)
    assert good[-1] == "0.0\u00a0%"
    assert bad[-1] == "\u22124.0\u00a0%"
    assert len(table.all("span", **{"class": "warn"})) == 1


def test_a_bar_is_as_long_as_its_call(make_row, make_result) -> None:
    root = parsed(make_result([make_row(10.0), make_row(20.0, precision="int8")]))
    ends = []
    for drawing in root.all("svg", **{"class": "bar"}):
        pieces = [
            (float(r.attributes["x"] or 0), float(r.attributes["width"] or 0)) for r in drawing.all("rect")
        ]
        for (x, wide), (after, _) in itertools.pairwise(pieces):
            assert x + wide == pytest.approx(after, abs=0.02)
        ends.append(sum(pieces[-1]))
    rows = make_result([make_row(10.0), make_row(20.0, precision="int8")]).rows
    means = [row.latency_ms.mean for row in rows]
    assert ends == pytest.approx([1000 * mean / max(means) for mean in means], abs=0.1)


def test_nothing_that_a_user_names_becomes_markup(make_row, make_result) -> None:
    row = make_row(precision="int8")
    row = msgspec.structs.replace(
        row,
        model=HOSTILE,
        backend=HOSTILE,
        precision=HOSTILE,
        stages_ms={HOSTILE: row.latency_ms.mean},
        sensors={HOSTILE: row.sensors["cpu clock"]},
        absent={HOSTILE: HOSTILE},
        notes=[HOSTILE],
        accuracy=msgspec.structs.replace(row.accuracy, measure=HOSTILE, dataset=HOSTILE),
    )
    result = make_result(
        [row, make_row()], command=HOSTILE, extra={HOSTILE: HOSTILE}, versions={HOSTILE: HOSTILE}
    )
    text = page(result)
    root = Parser(text).root
    assert not root.all("img")
    assert not root.all("script")
    assert not any(name.startswith("on") for node in root.walk() for name in node.attributes)
    assert "\u202e" not in text
    assert "\x00" not in text
    assert root.all("span", **{"class": "model"})[0].text == HOSTILE.replace("\u202e", "\ufffd").replace(
        "\x00", "\ufffd"
    )


def test_it_needs_nothing_but_itself(make_result) -> None:
    text = page(make_result())
    assert not re.search(r"(?:src|href)=|url\(|@import|https?:", text)


def test_the_same_result_gives_the_same_bytes(make_result, tmp_path) -> None:
    write_result(make_result(), tmp_path / "result.json")
    first, second = (
        write_report(read_result(tmp_path / "result.json"), tmp_path / name) for name in ("a", "b")
    )
    assert first == tmp_path / "a" / "report.html"
    assert first.read_bytes() == second.read_bytes() == page(make_result()).encode()


def bare(row):
    """A row of which little is known."""
    return msgspec.structs.replace(
        row, stages_ms={}, warm_up={}, warm_up_ms=[], slices=[], sensors={}, absent={}, accuracy=None,
        first_result_ms=None, resident_bytes=None, throttled=None, late_frames=None,
    )  # fmt: skip


def test_what_is_not_known_is_a_dash(make_row, make_result) -> None:
    empty = msgspec.structs.replace(bare(make_row()), samples_ms=[], precision="int8")
    nan = float("nan")
    broken = msgspec.structs.replace(
        bare(make_row(precision="fp16")),
        fps=nan,
        accuracy=msgspec.structs.replace(make_row().accuracy, value=nan),
        first_result_ms=nan,
    )
    for rows in ([bare(make_row())], [bare(make_row()), empty, broken], []):
        root = parsed(make_result(rows))
        words = " ".join(node.text for node in root.all("body"))
        assert not re.search(r"\b(None|nan|inf|True|False)\b", words, re.IGNORECASE)
        drawn = " ".join(
            str(v) for svg in root.all("svg") for node in svg.walk() for v in node.attributes.values()
        )
        assert not re.search(r"\b(None|nan|inf)\b", drawn)
    assert "The samples of this row were not kept." in page(make_result([empty]))


def test_one_call_and_calls_that_all_took_as_long(make_row, make_result) -> None:
    row = make_row(count=2)
    same = (
        msgspec.structs.structs
        if False
        else msgspec.structs.replace(
            row,
            samples_ms=[5.0],
            latency_ms=msgspec.structs.replace(row.latency_ms, p50=5.0, p90=5.0, p95=5.0, p99=5.0, max=5.0),
        )
    )
    assert len(parsed(make_result([same])).all("svg", **{"class": "plot"})) == 3


def test_the_warm_up_is_grey_and_not_counted(make_row, make_result) -> None:
    root = parsed(make_result([make_row()]))
    assert len(root.all("rect", **{"class": "warm-up"})) == 1
    assert len(root.all("path", **{"class": "calls early"})) == 1
    (says,) = (node.text for node in root.all("desc") if node.attributes["id"] == "timeline-1-says")
    assert says.startswith("400 calls after the warm-up")
    assert "60 calls of the warm-up" in says
    none = parsed(make_result([msgspec.structs.replace(make_row(), warm_up_ms=[])]))
    assert not none.all("rect", **{"class": "warm-up"})


def test_every_call_is_drawn(make_row, make_result) -> None:
    """A dot each while there is room, else between the ends of a stroke; a bar's height is a number of calls."""
    few = make_row(count=100)
    (early, counted) = (
        root.attributes["d"] or ""
        for root in parsed(make_result([few])).all("path")
        if "calls" in str(root.attributes)
    )
    assert (early.count("M"), counted.count("M")) == (60, 100)
    many = make_row(count=5000)
    across, up = Scale(0, 5000, LEFT, RIGHT), Scale(0, 100, 124, 14)
    path = strokes(many.samples_ms, 0, across, up, 100.0)
    ends = [[float(y) for y in piece.split(" ")[1].split("V")] for piece in path.split("M")[1:]]
    assert len(ends) == RIGHT - LEFT
    heights = [up(value) for value in many.samples_ms]
    assert max(low for low, _ in ends) == pytest.approx(max(heights), abs=0.01)
    assert min(high for _, high in ends) == pytest.approx(min(heights), abs=0.11)
    assert sum(counts(many.samples_ms, 0.0, max(many.samples_ms))) == 5000


def test_a_folder_that_cannot_be_written_is_one_sentence(make_result, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CokeError, match="cannot write"):
        write_report(make_result(), tmp_path / "file")


def test_a_browser_shows_it_without_complaint(make_result, browser, tmp_path) -> None:
    path = write_report(make_result(), tmp_path)
    browser.look(1280, 900)
    browser.go(path.as_uri())
    browser.until("document.readyState === 'complete' && !!document.getElementById('head')")
    assert browser.run("document.querySelectorAll('svg').length") == 26
    for dark in (False, True):
        browser.look(1280, 900, dark)
        assert browser.run(CONTRAST) == []
        assert browser.run("document.documentElement.scrollWidth") == 1280
    browser.look(360, 740, phone=True)
    assert browser.run("document.documentElement.scrollWidth") == 360
    assert browser.complaints == []
    assert [address for address in browser.addresses if address != path.as_uri()] == []
