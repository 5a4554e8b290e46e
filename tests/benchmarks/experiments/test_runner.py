"""The runner: what is done stays done, what was begun goes on, what fails stops nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from coke_edge.benchmarks.experiments import __main__ as command
from coke_edge.benchmarks.experiments import runner as module
from coke_edge.benchmarks.experiments.cache import Cache, locked
from coke_edge.benchmarks.experiments.definition import Run
from coke_edge.benchmarks.experiments.listing import listing
from coke_edge.benchmarks.experiments.places import Places
from coke_edge.benchmarks.experiments.process import Stop
from coke_edge.benchmarks.experiments.result import read_result, write_result
from coke_edge.benchmarks.experiments.runner import Runner, Stopped


class Machine:
    """In place of processes: a trainer that leaves a checkpoint, a test that leaves a result."""

    def __init__(self, make_result: Callable[[Run], object]) -> None:
        self.make_result = make_result
        self.calls: list[list[str]] = []
        self.broken: set[str] = set()  # seeds, or "test"
        self.stop_at: int | None = None  # number of the process during which a stop is asked for

    def __call__(
        self,
        arguments: Sequence[str],
        log: Path,
        stop: Stop,
        kept_open: Sequence[int],
        look: Callable[[], None],
    ) -> int:
        self.calls.append(list(arguments))
        with log.open("a") as file:
            file.write(f"process {len(self.calls)}\nthe images are gone\n")
        if self.stop_at == len(self.calls):
            stop.ask(2, None)
        if arguments[0].endswith(".generated"):
            return 0
        if arguments[1] == "train":
            return self.train(list(arguments), log.parent)
        run = msgspec.json.decode(Path(arguments[1]).read_bytes(), type=Run)
        if "test" in self.broken:
            return 2
        write_result(Path(arguments[arguments.index("--out") + 1]), self.make_result(run))  # type: ignore[arg-type]
        return 0

    def train(self, arguments: list[str], place: Path) -> int:
        if any(place.name.startswith(f"tiny-{name}-") for name in self.broken):
            return 2
        (place / "run").mkdir(exist_ok=True)
        (place / "run" / "last.safetensors").touch()
        return 130 if self.stop_at == len(self.calls) else 0


@pytest.fixture
def machine(make_result, monkeypatch) -> Machine:
    machine = Machine(make_result)
    monkeypatch.setattr(module, "run_process", machine)
    return machine


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def runner(tmp_path: Path, said: list[str]) -> Runner:
    return Runner(
        Cache(tmp_path / "cache"),
        Places(f"{tmp_path}/data", f"{tmp_path}/made"),
        tmp_path / "published",
        said.append,
    )


def commands(machine: Machine) -> list[str]:
    return [
        ("resume" if "--resume" in call else "train") if call[1] == "train" else "test"
        for call in machine.calls
    ]


def test_a_run_is_trained_tested_published_and_not_done_again(
    machine, runner, make_run, tmp_path: Path
) -> None:
    run = make_run()
    assert runner.run_all([run]) == []
    assert commands(machine) == ["train", "test"]
    assert read_result(tmp_path / "published" / run.file) == read_result(runner.cache.results / run.file)
    assert runner.run_all([run]) == []
    assert commands(machine) == ["train", "test"]


def test_a_retest_measures_again_and_trains_nothing(machine, runner, make_run) -> None:
    runner.run_all([make_run()])
    runner.retest = True
    assert runner.run_all([make_run()]) == []
    assert commands(machine) == ["train", "test", "resume", "test"]


def test_a_published_result_is_enough(machine, runner, make_run, make_result, tmp_path: Path) -> None:
    run = make_run()
    write_result(tmp_path / "published" / run.file, make_result(run))
    assert runner.run_all([run]) == []
    assert machine.calls == []


def test_a_changed_definition_is_run_in_a_folder_of_its_own(machine, runner, make_run) -> None:
    runner.run_all([make_run()])
    runner.run_all([make_run(dense=0.5)])
    assert commands(machine) == ["train", "test", "train", "test"]
    assert read_result(runner.cache.results / make_run().file).run.training.recipe["dense"] == 0.5
    assert len(list((runner.cache.folder / "trained").iterdir())) == 2


def test_another_test_needs_no_other_training(machine, runner, make_run) -> None:
    runner.run_all([make_run("first")])
    runner.run_all([make_run("second", levels=("L0", "L1"))])
    assert commands(machine) == ["train", "test", "resume", "test"]  # the trainer sees that it is done
    assert len(list((runner.cache.folder / "trained").iterdir())) == 1


def test_the_recipe_names_real_folders_and_the_definition_does_not(
    machine, runner, make_run, tmp_path
) -> None:
    run = make_run(occluder_images="{data}/photos?part=train")
    runner.run_all([run])
    place = runner.cache.place(run)
    assert msgspec.yaml.decode((place / "recipe.yaml").read_bytes())["occluder_images"] == (
        f"{tmp_path}/data/photos?part=train"
    )
    assert f"coco:{tmp_path}/data/parts/annotations.json" in machine.calls[0]
    assert str(tmp_path) not in (place / "training.json").read_text()
    assert str(tmp_path) not in (runner.cache.results / run.file).read_text()


def test_generated_data_are_made_for_those_who_need_them(machine, runner, make_run) -> None:
    runner.where = runner.where._replace(data=None)
    run = make_run()
    mine = msgspec.structs.replace(
        run,
        training=msgspec.structs.replace(run.training, data="coco:{generated}/parts/annotations.json"),
        test=msgspec.structs.replace(run.test, parts={"": "coco:{generated}/parts/annotations.json"}),
    )
    assert runner.run_all([mine]) == []
    made, trained, tested = machine.calls
    assert made == ["coke_edge.benchmarks.experiments.generated", runner.where.generated]
    assert f"coco:{runner.where.generated}/parts/annotations.json" in trained
    assert "--data" not in tested
    (failed,) = runner.run_all([make_run("other")])
    assert "say with --data" in failed


def test_a_failed_run_is_told_and_the_others_go_on(machine, runner, make_run) -> None:
    machine.broken = {"bad"}
    failed = runner.run_all([make_run("bad"), make_run("good", dense=0.5)])
    assert len(failed) == 1
    assert failed[0].startswith("tiny/bad-seed0: the training ended with status 2: ")
    assert "status 2: process 1 / the images are gone (all of it in " in failed[0]
    assert (runner.cache.results / "tiny-good-seed0.json").exists()
    assert not (runner.cache.results / "tiny-bad-seed0.json").exists()


def test_a_failed_test_keeps_the_training(machine, runner, make_run) -> None:
    machine.broken = {"test"}
    assert runner.run_all([make_run()])
    machine.broken = set()
    assert runner.run_all([make_run()]) == []
    assert commands(machine) == ["train", "test", "resume", "test"]


def test_a_stop_ends_the_call_and_the_next_one_goes_on(machine, runner, make_run) -> None:
    machine.stop_at = 1
    with pytest.raises(Stopped):
        runner.run_all([make_run(), make_run("second", dense=0.5)])
    assert commands(machine) == ["train"]
    machine.stop_at = None
    runner.stop = Stop()
    assert runner.run_all([make_run(), make_run("second", dense=0.5)]) == []
    assert commands(machine) == ["train", "resume", "test", "train", "test"]


def test_what_another_process_is_at_is_left_alone(machine, runner, make_run, said) -> None:
    run = make_run()
    with locked(runner.cache.place(run)) as lock:
        assert lock is not None
        assert runner.run_all([run]) == []
    assert machine.calls == []
    assert "  another process is at it" in said


def test_the_list_tells_what_is_known(machine, runner, make_run, make_result, tmp_path: Path) -> None:
    here = {"cpu": "Made-up CPU", "cores": 2, "gpu": None}
    runs = [make_run(), make_run("second", dense=0.5, epochs=4), make_run("other", method="heatmap")]
    folders = (runner.cache.results,)
    assert listing(runs, runner.cache, folders, here)[-1] == (
        "0 of 3 done; 3 to do, about 0 min, without 3 that nothing is known of"
    )
    runner.run_all(runs[:1])  # 60 s of training for 2 epochs, 30 s of test
    lines = listing(runs, runner.cache, folders, here)
    assert lines[0] == "done     tiny/coke-seed0"
    assert lines[1] == "to do    tiny/second-seed0  (about 3 min)"  # 120 + 30 s
    assert lines[2] == "to do    tiny/other-seed0  (no run like it on this machine yet)"
    assert "about" not in listing(runs, runner.cache, folders, {**here, "cores": 64})[1]
    twice = [runs[0], runs[1], make_run("again", dense=0.5, epochs=4)]  # one training, two tests
    assert listing(twice, runner.cache, folders, here)[2] == "to do    tiny/again-seed0  (about 1 min)"


def test_the_command_says_what_failed(machine, make_run, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(command, "declared", lambda: [make_run("bad"), make_run("good", dense=0.5)])
    machine.broken = {"bad"}
    options = ["--data", str(tmp_path), "--cache", str(tmp_path / "c"), "--results", str(tmp_path / "r")]
    assert command.main(["run", *options]) == 1
    assert "failed: tiny/bad-seed0: the training ended" in capsys.readouterr().err
    assert command.main(["run", *options, "--only", "*/good*"]) == 0
    assert command.main(["run", *options, "--only", "god"]) == 2
    assert "no run is called 'god': the groups are tiny" in capsys.readouterr().err
    assert command.main(["run", "--data", str(tmp_path / "none")]) == 2
    machine.broken, machine.stop_at = set(), len(machine.calls) + 1
    assert command.main(["run", *options]) == 130
