"""The race: everybody in turns, the same frames for all, accuracy by the project's PCK, and the command's bad input."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import ArrayLike

from coke_edge.benchmarks.bench.result import Result, read_result, write_result
from coke_edge.benchmarks.bench.steady import Rule
from coke_edge.benchmarks.peers.__main__ import parse, run
from coke_edge.benchmarks.peers.accuracy import ALL, VISIBLE, measure
from coke_edge.benchmarks.peers.joints import COMMON
from coke_edge.benchmarks.peers.line_up import line_up
from coke_edge.benchmarks.peers.litert import LiteRt
from coke_edge.benchmarks.peers.others import others_seconds
from coke_edge.benchmarks.peers.peer import Card, Float, Image
from coke_edge.benchmarks.peers.race import Course, race
from coke_edge.benchmarks.peers.table import fastest_peer, remarks, tables
from coke_edge.errors import BackendError, CokeError
from coke_edge.manifest import Keypoints2D
from coke_edge.train.data.sample import HIDDEN, KeypointDataset, Sample
from coke_edge.train.data.sample import VISIBLE as SEEN

COURSE = Course(
    seconds=0.01, rounds=2, least=2, rule=Rule(calls=1, windows=2, tolerance=9.0, most_seconds=0.5)
)


class Stub:
    """Finds its joints where the frame's first pixel says, and notes what it was shown."""

    def __init__(self, name: str, seen: list[tuple[str, int]], unmeasurable: str = "") -> None:
        self.card = Card(name, "0" * 64, "none", "fp32", 1, (8, 8), 1.0, COMMON, unmeasurable=unmeasurable)
        self._seen = seen

    def stages(self, frame: Image, box: ArrayLike) -> tuple[Float, dict[str, float]]:
        self._seen.append((self.card.name, int(frame[0, 0, 0])))
        x = 10.0 * np.arange(len(COMMON)) + 5.0 * (frame[0, 0, 0] > 100)
        return np.stack([x, np.zeros(len(COMMON))], axis=1), {"warp": 0.0, "network": 0.1, "decode": 0.0}


@pytest.fixture
def dataset(tmp_path: Path) -> KeypointDataset:
    """Three persons of 12 joints whose torso is 70 px long; two of 12 joints are hidden, those in wrong places."""
    samples = []
    for i, grey in enumerate((10, 20, 120)):
        path = tmp_path / f"{i}.png"
        cv2.imwrite(str(path), np.full((16, 16, 3), grey, np.uint8))
        xy = np.stack([10.0 * np.arange(12), np.zeros(12)], axis=1).astype(np.float32)
        flags = np.full(12, SEEN, np.uint8)
        flags[[0, 1]] = HIDDEN
        xy[[0, 1], 1] = 500.0
        samples.append(Sample(path, xy, flags, np.array([0, 0, 15, 15], np.float32), key=str(i)))
    return KeypointDataset("people", "test", Keypoints2D(COMMON), samples, "torso", marks_hidden=True)


@pytest.fixture
def result(dataset: KeypointDataset) -> Result:
    seen: list[tuple[str, int]] = []
    stubs = [Stub("one.coke", seen), Stub("Quick", seen), Stub("Random", seen, "no weights")]
    return race(stubs, dataset, COURSE, "command")


def test_pck_is_of_visible_and_of_all_joints(dataset: KeypointDataset) -> None:
    found = measure(Stub("a", []), dataset)["3"]  # 5 px off in one image, which is right at 0.2 × 70
    assert found == {VISIBLE: 100.0, ALL: pytest.approx(100 * 10 / 12)}


def test_everybody_sees_the_same_frames_in_turns(dataset: KeypointDataset) -> None:
    seen: list[tuple[str, int]] = []
    race([Stub("a", seen), Stub("b", seen)], dataset, Course(0.0001, 2, 3, COURSE.rule), "command")
    shown = {name: [grey for who, grey in seen if who == name][:9] for name in "ab"}
    assert shown["a"] == shown["b"]
    order = [name for i, (name, _) in enumerate(seen) if i == 0 or seen[i - 1][0] != name]
    assert order[-3:] == ["a", "b", "a"]  # a, b; then b, a: backwards in every other round


def test_a_result_is_whole(result: Result, tmp_path: Path) -> None:
    write_result(result, tmp_path / "r.json")
    assert read_result(tmp_path / "r.json") == result
    assert result.kind == "peers"
    for row in result.rows:
        assert len(row.samples_ms) == sum(row.slices) >= 4
        assert sum(row.stages_ms.values()) == pytest.approx(row.latency_ms.mean)
    assert all("first_result_ms" in row.absent for row in result.rows)
    by_name = {row.model: row for row in result.rows}
    assert by_name["Random"].accuracy is None
    assert by_name["Random"].absent["accuracy"] == "no weights"
    assert by_name["Quick"].accuracy is not None
    assert by_name["Quick"].accuracy.value == pytest.approx(100 * 10 / 12)


def test_the_table_compares_with_peers_that_find_something(result: Result) -> None:
    peer = fastest_peer(result.rows)
    assert peer is not None
    assert peer.model == "Quick"
    (table,) = tables(result)
    assert table.row_count == 3
    assert any("Random: accuracy: no weights" in text for text in remarks(result))


def test_what_others_took() -> None:
    stat = "cpu  100 50 30 9000 10 5 5 0 0 0\ncpu0 1 2 3"
    assert others_seconds(stat, own=0.5, hertz=100) == pytest.approx(1.9 - 0.5)


def test_our_bundle_races_in_the_precisions_that_it_has(tmp_path: Path) -> None:
    (ours,) = line_up(["demo"], [], tmp_path, [1])
    assert (ours.card.name, ours.card.precision, ours.card.threads) == ("person.coke", "fp32", 1)
    xy, parts = ours.stages(np.zeros((64, 64, 3), np.uint8), (8, 8, 56, 56))
    assert xy.shape == (len(ours.card.joints), 2)
    assert {"warp", "network", "decode"} <= parts.keys()


@pytest.mark.parametrize(
    ("peer", "missing"), [("movenet", "movenet-lightning.tflite"), ("yolo", r"yolo\*\.onnx")]
)
def test_a_peer_without_files_is_one_sentence(tmp_path: Path, peer: str, missing: str) -> None:
    with pytest.raises(CokeError, match=f"cannot race: there is no .*{missing}.*make bench-peers"):
        line_up(["demo"], [peer], tmp_path, [1])


def test_litert_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(BackendError, match="make bench-peers"):
        LiteRt(tmp_path / "net.tflite", 1)


@pytest.mark.parametrize(
    "options", [["--seconds", "0"], ["--threads", "0"], ["--limit", "0"], ["--seconds", "nan"]]
)
def test_numbers_that_mean_nothing(options: list[str]) -> None:
    with pytest.raises(CokeError, match="above 0"):
        parse(["--data", "lsp:x", "--out", "r.json", *options])


def test_a_missing_data_set_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(CokeError, match="does not exist"):
        run(["--data", f"lsp:{tmp_path}/none", "--out", str(tmp_path / "r.json")])
    assert not (tmp_path / "r.json").exists()


def test_two_bundles_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CokeError, match="same file name"):
        line_up(["demo", "demo"], [], tmp_path, [1])
