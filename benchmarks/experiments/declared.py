"""The experiments: data set × method × seed, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from coke_edge.benchmarks.experiments.definition import Run, Test, Training, training
from coke_edge.kernels.spec import Rule
from coke_edge.train.data.pascal3d_anchors import ANCHORS

LEVELS = ("L0", "L1", "L2", "L3")
LSP = "lsp:{data}/lsp"
PHOTOS = "{data}/backgrounds"  # occluders are cut from: half of them in training, the other half in the test
COKE, UNPLACED, HEATMAP = "coke-placement", "coke", "heatmap-ce"


class Row(NamedTuple):
    """A row of a table: its name, what it is called there, and the recipe keys in which it differs."""

    name: str
    title: str
    keys: dict[str, Any]
    recipe: str = "edge"


# Every key that a row or the claim depends on, so that a change of the recipe's defaults does not change them.
LSP_KEYS: dict[str, Any] = {
    "width": 192,
    "height": 192,
    "epochs": 30,
    "eval_every": 5,
    "occluders": 0.7,
    "occluder_cover": 0.8,  # as much as in the test
    "occluder_background": 0.6,
    "occluder_images": f"{PHOTOS}?part=train",
    "prototypes": "learned",
    "presence": 1.0,
    "contrastive": 0.1,
    "repulsion": 0.01,
    "dense": 1.0,
    "placement": 0.0,
    "clutter_covered": True,
    "clutter_size": 2560,
}
LSP_TEST = Test(parts={"": LSP}, levels=LEVELS, occluders=f"{PHOTOS}?part=test")

ENTROPY = {"method": "heatmap", "heatmap_loss": "cross_entropy"}
SQUARES = {"method": "heatmap", "heatmap_loss": "mse"}
HOURGLASS = {"method": "hourglass", "heatmap_loss": "mse"}
NO_NULL = {"presence": 0.0}
PLACED = {"placement": 0.5}
COMPARED = (
    Row(COKE, "CoKe", PLACED),
    Row(UNPLACED, "CoKe, hidden keypoints not placed", {}),
    Row(HEATMAP, "heat map, cross-entropy", {**ENTROPY, **NO_NULL}),
)
METHODS = (
    *COMPARED,
    Row("coke-no-contrastive", "CoKe without the contrastive term", {**PLACED, "contrastive": 0.0}),
    Row("heatmap-ce-null", "heat map, cross-entropy, null class", ENTROPY),
    Row(
        "heatmap-ce-placement",
        "heat map, cross-entropy, null class, hidden keypoints placed",
        {**ENTROPY, **PLACED},
    ),
    Row("heatmap-mse", "heat map, squared error", {**SQUARES, **NO_NULL}),
    Row("hourglass", "stacked hourglass, squared error", {**HOURGLASS, **NO_NULL}),
)
RULES: tuple[Rule, ...] = ("similarity", "margin", "log_odds")
PROTOTYPES = (
    Row("average", "average", {"prototypes": "average"}),
    Row("momentum", "momentum", {"prototypes": "momentum"}),
    Row("both", "both", {"prototypes": "both"}),
)
# The loss and the banks of the recipe `paper`, on the network, augmentation and budget of all others.
PAPER_LOSS = {
    "contrastive": 1.0,
    "repulsion": 0.1,
    "prototypes": "momentum",
    "clutter_distance": 0.0,
    "clutter_covered": False,
    "dense": 0.0,
    "presence": 0.0,
    "placement": 0.0,
    "rule": "similarity",
}
# What changes one thing trains half as long, and is held against CoKe without placement at the same length.
SHORT_KEYS = {**LSP_KEYS, "epochs": 15}
ABLATIONS = (
    Row(UNPLACED, "CoKe, hidden keypoints not placed", {}),
    Row("no-contrastive", "without the contrastive term", {"contrastive": 0.0}),
    Row(
        "contrastive-1",
        "contrastive and repulsion ten times as heavy",
        {"contrastive": 1.0, "repulsion": 0.1},
    ),
    Row("no-dense", "without the dense term", {"dense": 0.0}),
    Row("no-presence", "without the null class", {"presence": 0.0}),
    Row("presence-0.3", "null class at weight 0.3", {"presence": 0.3}),
    Row("no-repulsion", "without repulsion", {"repulsion": 0.0}),
    Row("no-occluders", "without occluders in training", {"occluders": 0.0}),
    Row(
        "occluders-on-the-box",
        "training occluders on the box alone, up to 60 %",
        {"occluder_cover": 0.6, "occluder_background": 0.0},
    ),
    Row("covered-not-clutter", "covered cells not in the clutter bank", {"clutter_covered": False}),
    Row("clutter-256", "clutter bank of 256", {"clutter_size": 256}),
    Row("clutter-1024", "clutter bank of 1,024", {"clutter_size": 1024}),
    Row("paper-loss", "loss and banks of the recipe `paper`", PAPER_LOSS),
)

PASCAL = "pascal3d:{data}/PASCAL3D+_release1.1?category="
CLASSES = tuple(ANCHORS)
PASCAL_KEYS = {
    **LSP_KEYS,
    "epochs": 40,
    "batch_size": 8,
    "eval_every": 0,  # the last weights: there are too few validation images to choose by
    "rule": "similarity",
}
JOINT = "all"

PARTS = "coco:{generated}/parts/annotations.json"
BENCHES = "{generated}/parts-benches"
PARTS_KEYS = {
    **LSP_KEYS,
    "width": 128,
    "height": 128,
    "epochs": 20,
    "clutter_size": 512,
    "occluder_images": f"{BENCHES}?part=train",
}


def pascal_test(category: str) -> Test:
    """Both halves of the viewpoints apart; calibrated on training images."""
    return Test(
        parts={half: f"{PASCAL}{category}&azimuth={half}" for half in ("seen", "unseen")},
        levels=LEVELS,
        occluders=f"{PHOTOS}?part=test",
        calibrated_on="train",
    )


def lsp_training(row: Row, seed: int, keys: dict[str, Any] = LSP_KEYS) -> Training:
    return training(LSP, row.recipe, seed, **{**keys, **row.keys})


def lsp_runs(group: str, rows: tuple[Row, ...], seeds: int, keys: dict[str, Any] = LSP_KEYS) -> Iterator[Run]:
    """Seed 0 of all rows first, so that the table is of use as early as can be."""
    for seed in range(seeds):
        for row in rows:
            one = lsp_training(row, seed, keys)
            yield Run(group=group, name=row.name, seed=seed, training=one, test=LSP_TEST)


def ablation_runs() -> Iterator[Run]:
    """What all others are held against first, with seeds of its own: they tell what a difference means."""
    yield from lsp_runs("lsp-ablation", ABLATIONS[:1], seeds=3, keys=SHORT_KEYS)
    yield from lsp_runs("lsp-ablation", ABLATIONS[1:], seeds=1, keys=SHORT_KEYS)


def rule_runs() -> Iterator[Run]:
    """The score rules on the model that the ablations start from, without training again."""
    trained = lsp_training(ABLATIONS[0], 0, SHORT_KEYS)
    for rule in RULES:
        test = Test(parts=LSP_TEST.parts, levels=LEVELS, occluders=LSP_TEST.occluders, rule=rule)
        yield Run(group="lsp-rules", name=rule, seed=0, training=trained, test=test)


def pascal_runs(seeds: int) -> Iterator[Run]:
    """Trained on the seen half of the viewpoints: the joint model of all classes, and one model per class."""
    for seed in range(seeds):
        for category in (JOINT, *CLASSES):
            for row in COMPARED:
                data = f"{PASCAL}{category}&azimuth=seen"
                keys = {**PASCAL_KEYS, **row.keys}
                yield Run(
                    group="pascal3d",
                    name=f"{category}-{row.name}",
                    seed=seed,
                    training=training(data, row.recipe, seed, **keys),
                    test=pascal_test(category),
                )


def parts_runs(seeds: int) -> Iterator[Run]:
    """Generated pictures of one rigid part: no download, and pictures that may be shown."""
    test = Test(parts={"": PARTS}, levels=LEVELS, occluders=f"{BENCHES}?part=test")
    for seed in range(seeds):
        for row in COMPARED:
            one = training(PARTS, row.recipe, seed, **{**PARTS_KEYS, **row.keys})
            yield Run(group="parts", name=row.name, seed=seed, training=one, test=test)


def declared() -> list[Run]:
    """All runs in their order."""
    return [
        *lsp_runs("lsp", METHODS, seeds=3),
        *rule_runs(),
        *parts_runs(seeds=3),
        *ablation_runs(),
        *lsp_runs("lsp-prototypes", PROTOTYPES, seeds=1, keys=SHORT_KEYS),
        *pascal_runs(seeds=3),
    ]
