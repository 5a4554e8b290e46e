"""metrics.csv and TensorBoard through a process that dies."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from coke_edge.errors import CokeError
from coke_edge.train.run_log import RunLog

ROW = {"step": 4, "seconds": 1.25, "lr": 1e-3, "total": 2.0}


def epochs(folder: Path) -> list[str]:
    return [line.partition(",")[0] for line in (folder / "metrics.csv").read_text().splitlines()]


@pytest.mark.parametrize("torn", ["", "1", "3,12,0.5", "3,12,0.5,0.001,2,,,,,,,\n"])
def test_a_torn_row_and_one_that_comes_again_are_dropped(tmp_path: Path, torn: str) -> None:
    log = RunLog(tmp_path, 0)
    for epoch in (1, 2):
        log.write({"epoch": epoch, **ROW})
    log.close()
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write(torn)
    again = RunLog(tmp_path, 2)
    again.write({"epoch": 3, **ROW})
    again.close()
    assert epochs(tmp_path) == ["epoch", "1", "2", "3"]
    assert (tmp_path / "metrics.csv").read_text().splitlines()[-1] == "3,4,1.25,0.001,2,,,,,,,"


def test_a_killed_process_loses_no_row_of_tensorboard(tmp_path: Path) -> None:
    killed = RunLog(tmp_path, 0)  # not closed, as after kill -9
    for epoch in (1, 2, 3):
        killed.write({"epoch": epoch, **ROW})
    again = RunLog(tmp_path, 2)  # its checkpoint knew of two epochs
    again.write({"epoch": 3, **ROW, "total": 1.0})
    again.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("total")] == [(1, 2.0), (2, 2.0), (3, 1.0)]
    killed.close()


def test_rows_of_an_older_version_are_kept(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,step,total\r\n1,4,2\r\n2,8,1\r\n")
    RunLog(tmp_path, 1).close()
    assert (tmp_path / "metrics.csv").read_text().splitlines()[1:] == ["1,4,,,2,,,,,,,"]


@pytest.mark.parametrize(
    "text", ["time,accuracy\n1,2\n", "epoch,accuracy\n1,2\n", "epoch\nfirst\n", "a note", "\n1\n"]
)
def test_a_metrics_csv_of_another_program_stays_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(
        CokeError, match=r"metrics\.csv was not written by a run, or it is damaged: move it away"
    ):
        RunLog(tmp_path, 0)
    assert (tmp_path / "metrics.csv").read_text() == text


def test_a_row_is_on_the_disk_or_the_disk_is_to_blame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    log = RunLog(tmp_path, 0)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(CokeError, match=r"cannot write .*metrics\.csv .*: No space left on device"):
            log.write({"epoch": 1, **ROW})
    log.close()
