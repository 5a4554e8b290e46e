"""What makes two runs the same one, and that what is declared is fair."""

from __future__ import annotations

import msgspec
import pytest

from coke_edge.benchmarks.experiments.declared import METHODS, declared
from coke_edge.benchmarks.experiments.definition import Run, digest_of, same_run, same_training
from coke_edge.benchmarks.experiments.places import Places


def without(run: Run, key: str) -> Run:
    recipe = {name: value for name, value in run.training.recipe.items() if name != key}
    return msgspec.structs.replace(run, training=msgspec.structs.replace(run.training, recipe=recipe))


def test_a_run_is_the_same_as_long_as_its_figures_are(make_run) -> None:
    run = make_run()
    assert same_run(run, make_run(workers=1, cache_mb=8))
    assert digest_of(run.training) == digest_of(make_run(workers=1).training)
    for other in (make_run(seed=1), make_run(dense=0.5), make_run(epochs=3), make_run(levels=("L0", "L1"))):
        assert not same_run(run, other)
        assert run.digest != other.digest


def test_a_key_that_the_recipe_learns_later_changes_nothing_at_its_default(make_run) -> None:
    run = make_run()
    assert same_training(without(run, "ema").training, run.training)
    assert not same_training(without(run, "epochs").training, run.training)  # not at its default here
    strange = msgspec.structs.replace(run.training, recipe={**run.training.recipe, "gone": 1})
    assert not same_training(strange, run.training)


def test_a_result_without_placement_was_trained_without_it(make_run) -> None:
    for method in ("coke", "heatmap"):
        older = without(make_run(method=method, placement=0.0), "placement")
        assert same_run(older, make_run(method=method, placement=0.0))
        assert not same_run(older, make_run(method=method, placement=0.5))


@pytest.mark.parametrize(
    "keys", [{"method": "hourglass"}, {"method": "heatmap", "heatmap_loss": "mse"}], ids=str
)
def test_squared_errors_know_no_placement(make_run, keys: dict[str, str]) -> None:
    assert same_run(make_run(**keys, placement=0.0), make_run(**keys, placement=0.5))


def test_what_the_banks_are_like_does_not_matter_to_a_baseline(make_run) -> None:
    for key, value in (("contrastive", 0.7), ("clutter_size", 32), ("prototypes", "both")):
        one, other = make_run(method="heatmap"), make_run(method="heatmap", **{key: value})
        assert same_run(one, other)
        assert digest_of(one.training) == digest_of(other.training)
        assert not same_run(make_run(), make_run(**{key: value}))
        assert not same_run(make_run(**{key: value}), other)
    assert not same_run(make_run(method="heatmap"), make_run(method="heatmap", presence=0.7))


def test_a_run_survives_json(make_run) -> None:
    run = make_run(levels=("L0", "L3"))
    again = msgspec.json.decode(msgspec.json.encode(run), type=Run)
    assert same_run(run, again)
    assert again.digest == run.digest


def test_names_are_unique() -> None:
    runs = declared()
    assert len({run.key for run in runs}) == len({run.file for run in runs}) == len(runs)


def test_seed_0_of_every_method_comes_first() -> None:
    seeds = [run.seed for run in declared() if run.group == "lsp"]
    assert seeds == sorted(seeds)
    assert seeds.count(0) == seeds.count(1) == seeds.count(2) == len(METHODS)


@pytest.mark.parametrize("run", declared(), ids=lambda run: run.key)
def test_no_run_is_tested_with_what_it_was_trained_with(run: Run) -> None:
    photos = "{generated}/parts-benches" if run.group == "parts" else "{data}/backgrounds"
    assert run.test.occluders == f"{photos}?part=test"
    assert run.training.recipe["occluder_images"] == f"{photos}?part=train"
    assert run.training.recipe["seed"] == run.seed
    located = Places("/there", "/made").located(run.training.data)
    assert located.split(":")[1].startswith("/made/" if run.group == "parts" else "/there/")
    if run.group == "pascal3d":
        assert "azimuth=seen" in run.training.data
        assert run.test.calibrated_on == "train"
        assert run.training.recipe["eval_every"] == 0


def test_methods_differ_in_nothing_but_the_method() -> None:
    own = {"method", "heatmap_loss", "presence", "placement"}
    rows = {run.name: run.training.recipe for run in declared() if run.group == "lsp" and run.seed == 0}
    assert rows.keys() == {row.name for row in METHODS}
    for name, recipe in rows.items():
        of_this_row = own | ({"contrastive"} if name == "coke-no-contrastive" else set())
        assert {key for key in recipe if recipe[key] != rows["coke"][key]} <= of_this_row
