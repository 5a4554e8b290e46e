"""The generated data set of experiments: occluders that show no part, and the same pictures every time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from coke_edge.benchmarks.experiments import generated
from coke_edge.stream.images import read_image
from coke_edge.train.data import load_dataset
from coke_edge.train.data.scene import Scene
from coke_edge.train.occluders import Occluders


def test_occluders_are_written_beside_the_pictures_and_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(generated, "PICTURES", 3)
    monkeypatch.setattr(generated, "BENCHES", 4)
    generated.write_parts(tmp_path)
    assert len(load_dataset(f"coco:{tmp_path}/parts/annotations.json?split=all", "train").samples) == 3
    benches = tmp_path / "parts-benches"
    assert len(Occluders(str(benches)).files) == 4
    first = benches / "000.png"
    before = first.stat().st_mtime_ns
    generated.write_parts(tmp_path)
    assert first.stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "parts", "parts-benches"]
    assert read_image(first).size > 10_000


def test_two_that_begin_at_once_make_them_once(tmp_path: Path, monkeypatch) -> None:
    """Two calls of the experiments in one cache: the second waits, and finds them made."""
    monkeypatch.setattr(generated, "PICTURES", 2)
    monkeypatch.setattr(generated, "BENCHES", 2)
    at_it, made = threading.Barrier(2), []

    def slowly(folder: Path, count: int) -> None:
        made.append(not folder.exists())
        folder.mkdir(exist_ok=True)
        time.sleep(0.2)  # as long as it takes the other to begin

    def one() -> None:
        at_it.wait()
        generated.write_parts(tmp_path)

    monkeypatch.setattr(generated, "write_generated", slowly)
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(one), pool.submit(one)]:
            done.result()
    assert made == [True, False]
    assert len(list((tmp_path / "parts-benches").iterdir())) == 2


@pytest.mark.parametrize("box", [(200.0, 10.0, 310.0, 230.0), (-5.0, 150.0, 330.0, 250.0)])
def test_a_bare_bench_shows_nothing_of_the_part(box: tuple[float, ...]) -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    x0, y0, x1, y1 = np.clip(box, 0, (320, 240, 320, 240)).astype(int)
    image[y0:y1, x0:x1] = 255
    strip = generated.bare(Scene(image, np.zeros((8, 2)), np.zeros(8, np.uint8), np.array(box)))
    assert strip.size > 0
    assert strip.max() == 0
