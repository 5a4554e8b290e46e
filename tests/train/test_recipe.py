"""Recipes: names, files, overrides, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from coke_edge.errors import CokeError
from coke_edge.train.recipe import RECIPES, Recipe, make_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_every_named_recipe_is_valid(name: str) -> None:
    assert isinstance(make_recipe(name), Recipe)


def test_the_paper_recipe_has_nothing_of_ours() -> None:
    paper = make_recipe("paper")
    assert paper.dense == paper.presence == 0.0
    assert (paper.contrastive, paper.repulsion) == (1.0, 0.1)
    assert (paper.prototypes, paper.rule) == ("momentum", "similarity")
    assert (paper.method, paper.clutter_covered) == ("coke", False)
    assert paper.occluders == paper.flip == paper.colour == 0.0


def test_a_file_starts_from_a_recipe_and_overrides_win(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("recipe: tiny\nepochs: 3\nlr: 0.01\nbackbone_lr: 1e-5\n")
    recipe = make_recipe(str(file), lr=0.02)
    assert (recipe.width, recipe.epochs, recipe.lr) == (RECIPES["tiny"]["width"], 3, 0.02)
    assert recipe.backbone_lr == 1e-5  # which YAML takes for text


def test_a_written_recipe_reads_back(tmp_path: Path) -> None:
    recipe = make_recipe("paper", epochs=7)
    file = tmp_path / "recipe.yaml"
    file.write_bytes(msgspec.yaml.encode(recipe))
    assert make_recipe(str(file)) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: 0\n", "epochs"),
        ("epoch: 5\n", "epoch"),
        ("width: 100\n", "width"),
        ("prototypes: clever\n", "prototypes"),
        ("recipe: grand\n", "grand"),
        ("- a list\n", "no YAML file of recipe keys"),
        ("a: [", "no YAML file of recipe keys"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    with pytest.raises(CokeError, match=message):
        make_recipe(str(file))


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(CokeError, match=r"edge, .*paper"):
        make_recipe("nonsense")


def test_a_recorded_recipe_from_before_a_key_keeps_what_was_done_then(tmp_path: Path) -> None:
    keys = msgspec.to_builtins(make_recipe())
    assert keys.pop("placement") > 0
    recorded, by_hand = tmp_path / "recorded.yaml", tmp_path / "mine.yaml"
    recorded.write_bytes(msgspec.yaml.encode(keys))
    assert make_recipe(str(recorded)).placement == 0
    by_hand.write_text("recipe: edge\nepochs: 3\n")
    assert make_recipe(str(by_hand)).placement == make_recipe().placement


def test_without_a_yaml_reader_the_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text("epochs: 3\n")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        make_recipe(str(tmp_path / "mine.yaml"))
    assert caught.value.name == "yaml"


def test_a_wrong_value_is_answered_with_what_the_key_takes() -> None:
    with pytest.raises(CokeError, match=r"rule: .*'best' \(choose from auto, similarity, margin, log_odds\)"):
        make_recipe("edge", rule="best")
    with pytest.raises(CokeError, match="no key epoch, perhaps epochs is meant"):
        make_recipe("edge", epoch=3)
