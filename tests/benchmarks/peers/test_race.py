"""The race: everybody in turns, the same frames for all, accuracy by the project's PCK, and the command's bad input."""

from __future__ import annotations

import functools
import subprocess
import sys
import time
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import ArrayLike

from coke_edge.benchmarks.bench.compare import compare
from coke_edge.benchmarks.bench.first_result import FirstResult
from coke_edge.benchmarks.bench.result import Result, read_result, write_result
from coke_edge.benchmarks.bench.steady import Rule
from coke_edge.benchmarks.peers import race as race_module
from coke_edge.benchmarks.peers.__main__ import parse, run
from coke_edge.benchmarks.peers.accuracy import ALL, VISIBLE, measure
from coke_edge.benchmarks.peers.cold import first_results
from coke_edge.benchmarks.peers.entry import Entry
from coke_edge.benchmarks.peers.joints import COMMON
from coke_edge.benchmarks.peers.line_up import line_up
from coke_edge.benchmarks.peers.litert import LiteRt
from coke_edge.benchmarks.peers.peer import Card, Float, Image
from coke_edge.benchmarks.peers.race import Course, race
from coke_edge.benchmarks.peers.table import fastest_peer, remarks, tables
from coke_edge.benchmarks.sensors import load
from coke_edge.benchmarks.sensors.load import OTHERS
from coke_edge.benchmarks.sensors.yardstick import ARITHMETIC
from coke_edge.bundle import Bundle
from coke_edge.errors import BackendError, CokeError
from coke_edge.manifest import Keypoints2D
from coke_edge.train.data.sample import HIDDEN, KeypointDataset, Sample
from coke_edge.train.data.sample import VISIBLE as SEEN

EXAMINE = functools.cache(race_module.examine)
COURSE = Course(
    seconds=0.01, rounds=2, least=2, rule=Rule(calls=1, windows=2, tolerance=9.0, most_seconds=0.5)
)


@pytest.fixture(autouse=True)
def _examined_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at the machine takes seconds."""
    monkeypatch.setattr(race_module, "examine", EXAMINE)


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
    first = [[FirstResult(ms, 10, 20, None) for ms in (5.0, 7.0, 90.0)] for _ in stubs]
    return race(stubs, dataset, COURSE, "command", first=first)


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
        parts = np.sum(list(row.stage_samples_ms.values()), axis=0)
        assert parts == pytest.approx(0.1)  # what the stub says
        assert row.stages_ms["other"] == pytest.approx(row.latency_ms.mean - 0.1)
        assert (row.first_result_ms, row.resident_bytes, row.peak_bytes) == (7.0, 10, 20)
        assert row.absent["gpu_bytes"] == "everybody runs on the CPU"
        assert row.sensors[ARITHMETIC].count == 2 * COURSE.rounds
        assert OTHERS in row.sensors or OTHERS in row.absent
        assert "throttled" in row.absent or row.throttled is not None
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
    assert "all: gpu_bytes: everybody runs on the CPU" in remarks(result)


def test_our_bundle_races_in_the_precisions_that_it_has(tmp_path: Path) -> None:
    (entry,) = line_up(["demo"], [], tmp_path, [1])
    assert entry == Entry("ours", "demo", "fp32", 1)
    ours = entry.load()
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
    copy = tmp_path / "person.coke"
    copy.write_bytes(Bundle("demo").path.read_bytes())
    with pytest.raises(CokeError, match="same file name"):
        line_up(["demo", str(copy)], [], tmp_path, [1])


def test_the_first_result_is_of_a_process_of_its_own(tmp_path: Path) -> None:
    ([found],) = first_results([Entry("ours", "demo", "fp32", 1)], 1)
    assert 100 < found.ms < 60_000  # importing numpy and OpenCV alone takes longer than the least
    assert found.gpu_bytes is None
    missing = Entry("movenet", str(tmp_path / "net.tflite"), "lightning", 1)
    with pytest.raises(
        CokeError, match=r"a fresh process with net\.tflite lightning, 1 thread\(s\) came to no keypoints: "
    ):
        first_results([missing], 1)


def test_a_peers_process_loads_nothing_of_others() -> None:
    code = (
        "import sys; from coke_edge.benchmarks.peers import blazepose, cold, movenet, yolo; "
        "tops = {m.split('.')[0] for m in sys.modules} & {'torch', 'ai_edge_litert', 'rich', 'onnxruntime'}; "
        "ours = [m for m in sys.modules if m.startswith(('coke_edge.train', 'coke_edge.export'))]; "
        "print([*tops, *ours] or 'none')"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "none"


def test_nobody_asked_for_first_results(dataset: KeypointDataset) -> None:
    [row] = race([Stub("a", [])], dataset, COURSE, "command").rows
    assert row.first_result_ms is None
    assert row.absent["first_result_ms"] == "no fresh process was asked for"


def test_a_busy_machine_is_told(dataset: KeypointDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a core goes to others: the sensors see it, and a comparison refuses it."""
    started = time.monotonic()
    monkeypatch.setattr(load, "seconds", lambda path, columns: 0.5 * (time.monotonic() - started))
    monkeypatch.setattr(load, "own_seconds", lambda: 0.0)
    busy = race([Stub("a", [])], dataset, COURSE, "command")
    assert busy.rows[0].sensors[OTHERS].mean == pytest.approx(0.5, rel=0.1)
    assert any("other processes worked" in note for note in busy.rows[0].notes)
    few = msgspec.structs.replace(busy.machine, cores=1)
    busy = msgspec.structs.replace(busy, machine=few)
    with pytest.raises(CokeError, match=r"others took 0\.[45] in A"):
        compare(busy, busy)


def test_fewer_than_no_processes_mean_nothing() -> None:
    with pytest.raises(CokeError, match="--cold takes 0 or more"):
        parse(["--data", "lsp:x", "--out", "r.json", "--cold", "-1"])
