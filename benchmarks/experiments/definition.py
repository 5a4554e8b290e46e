"""What decides the figures of one run: data, recipe and test.

Nothing in it names a folder of the machine: `{data}` and `{generated}` stand for folders in specifications (places.py).
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from coke_edge.kernels.spec import Rule
from coke_edge.train.recipe import BEFORE, Recipe, make_recipe

NEUTRAL = frozenset({"workers", "cache_mb"})  # recipe keys that change how fast a run is, not what it gives
# … and those of the banks, which no baseline has.
OF_THE_BANKS = frozenset(
    {
        "prototypes",
        "prototype_momentum",
        "prototype_cap",
        "clutter_size",
        "clutter_per_image",
        "clutter_distance",
        "clutter_outside_box",
        "clutter_hard",
        "clutter_covered",
        "clutter_weight",
        "near",
        "contrastive",
        "repulsion",
    }
)


class Test(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a trained model is measured: every part at every level."""

    __test__ = False  # no test of pytest's

    parts: dict[str, str]  # name → specification of the data set whose split `test` is measured
    levels: tuple[str, ...]
    occluders: str | None  # what is pasted: other photos than those of training
    seed: int = 0  # of the occluders: the same for all methods and seeds
    rule: Rule | None = None  # another score rule than the model's, calibrated anew
    # The split that P(visible), and a rule of its own, are fitted on. `val`, which chooses the box margin, too, is what
    # every training ends with; `train` leaves the margin as trained: for data sets with too few validation images.
    calibrated_on: Literal["val", "train"] = "val"


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One training: the same one may be measured by several runs."""

    data: str  # specification
    recipe: dict[str, Any]  # every key


class Run(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of a table, for one seed."""

    group: str  # the table
    name: str  # the row
    seed: int
    training: Training
    test: Test

    @property
    def key(self) -> str:
        """What users call it: group/name-seed."""
        return f"{self.group}/{self.name}-seed{self.seed}"

    @property
    def file(self) -> str:
        """The name of its result."""
        return f"{self.group}-{self.name}-seed{self.seed}.json"

    @property
    def digest(self) -> str:
        """sha256 over all that decides its figures."""
        return digest([content(self.training), msgspec.to_builtins(self.test)])


def training(data: str, recipe: str, seed: int, **keys: Any) -> Training:
    """A training by the name of a recipe and the keys that differ from it."""
    return Training(data=data, recipe=msgspec.to_builtins(make_recipe(recipe, **{**keys, "seed": seed})))


def digest_of(one: Training) -> str:
    """sha256 over all that decides its weights."""
    return digest(content(one))


def content(one: Training) -> Any:
    idle = without_effect(one)
    return [one.data, {key: value for key, value in one.recipe.items() if key not in idle}]


def without_effect(one: Training) -> frozenset[str]:
    """The recipe keys that its weights do not depend on."""
    if one.recipe["method"] == "coke":
        return NEUTRAL
    soft = one.recipe["method"] == "heatmap" and one.recipe["heatmap_loss"] != "mse"
    placed = soft and one.recipe.get("placement", 0.0) > 0
    return NEUTRAL | OF_THE_BANKS | (frozenset() if placed else {"placement"})


def digest(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def same_training(one: Training, other: Training) -> bool:
    """Whether both give the same weights.

    A key that one of them does not have yet counts as what was done without it: `BEFORE`, or else the default.
    """
    if one.data != other.data:
        return False
    defaults = msgspec.to_builtins(Recipe()) | BEFORE
    keys = (one.recipe.keys() | other.recipe.keys()) - (without_effect(one) & without_effect(other))
    known = all(key in defaults or (key in one.recipe and key in other.recipe) for key in keys)
    return known and all(
        one.recipe.get(key, defaults.get(key)) == other.recipe.get(key, defaults.get(key)) for key in keys
    )


def same_run(one: Run, other: Run) -> bool:
    """Whether the figures of one are those of the other."""
    return one.test == other.test and same_training(one.training, other.training)
