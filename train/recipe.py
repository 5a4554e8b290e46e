"""Everything that decides a training run: one flat set of keys, the same in YAML, on the command line and here."""

from __future__ import annotations

import difflib
import re
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from coke_edge.errors import CokeError

Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=0)]


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A training run. The defaults are the recipe `edge`; each description is the help text of its option."""

    # --- model ---
    method: Annotated[
        Literal["coke", "heatmap", "hourglass"],
        Meta(
            description="coke, or a baseline: heat maps from the same backbone and neck, a stacked hourglass"
        ),
    ] = "coke"
    backbone: Annotated[str, Meta(description="timm backbone with features at strides 8, 16, 32")] = (
        "tf_efficientnet_lite0"
    )
    pretrained: Annotated[str, Meta(description="auto (package or hub), none, or a weight file")] = "auto"
    stem_stride: Annotated[
        Literal[2, 4], Meta(description="4: the backbone's first layer halves the size once more (fast)")
    ] = 2
    channels: Annotated[int, Meta(ge=8, description="C, length of a feature")] = 128
    context: Annotated[Count, Meta(description="context blocks of the neck at every stride")] = 2
    width: Annotated[int, Meta(ge=32, multiple_of=32, description="crop width in pixels")] = 192
    height: Annotated[int, Meta(ge=32, multiple_of=32, description="crop height in pixels")] = 192
    box_margin: Annotated[Positive, Meta(description="the crop holds the object's box times this")] = 1.35
    freeze_to_stride: Annotated[
        Count, Meta(description="fix backbone layers up to this stride (0: none)")
    ] = 4
    fold_batchnorm: Annotated[
        bool, Meta(description="fix the backbone's BatchNorm and fold it into the convolutions")
    ] = True

    start: Annotated[
        str | None,
        Meta(
            description="run folder, checkpoint or bundle (demo: the package's) to start from, of the same network or "
            "with a narrower stem; keypoints of the same name keep their prototypes"
        ),
    ] = None

    # --- banks ---
    prototypes: Annotated[
        Literal["average", "momentum", "learned", "both"], Meta(description="how prototypes come about")
    ] = "learned"
    prototype_momentum: Annotated[Share, Meta(description="m of `momentum` and `both`")] = 0.9
    prototype_cap: Annotated[int, Meta(ge=1, description="features after which `average` forgets")] = 4096
    clutter_size: Annotated[Count, Meta(description="N, rows of the clutter bank")] = 2560
    clutter_per_image: Annotated[Count, Meta(description="clutter features drawn per image and step")] = 5
    clutter_distance: Annotated[
        float, Meta(ge=0, description="no clutter within so many px of a keypoint")
    ] = 16.0
    clutter_outside_box: Annotated[bool, Meta(description="draw clutter only outside the object's box")] = (
        False
    )
    clutter_hard: Annotated[
        bool, Meta(description="draw clutter where it resembles a prototype most (hard mining)")
    ] = False
    clutter_covered: Annotated[
        bool, Meta(description="add the cells of covered keypoints: what covers one is clutter")
    ] = True

    # --- loss ---
    temperature: Annotated[Positive, Meta(description="τ")] = 0.07
    clutter_weight: Annotated[Positive, Meta(description="w, weight of clutter in the loss")] = 0.005
    near: Annotated[float, Meta(ge=0, description="δ px: nearer keypoints do not compete")] = 8.0
    contrastive: Annotated[float, Meta(ge=0, description="weight of the authors' loss")] = 0.1
    repulsion: Annotated[float, Meta(ge=0, description="weight of clutter · prototypes")] = 0.01
    dense: Annotated[float, Meta(ge=0, description="weight of the dense term")] = 1.0
    dense_sigma: Annotated[Positive, Meta(description="σ of its target, in cells")] = 0.7
    presence: Annotated[
        float, Meta(ge=0, description="weight of the null class: hidden keypoints are nowhere (0: none)")
    ] = 0.3
    placement: Annotated[
        float,
        Meta(
            ge=0, description="weight of finding hidden keypoints, too, by prototypes of their own (0: none)"
        ),
    ] = 0.5

    # --- baselines ---
    heatmap_loss: Annotated[
        Literal["auto", "cross_entropy", "mse"],
        Meta(description="loss of heat maps; auto: cross_entropy for heatmap, mse for hourglass"),
    ] = "auto"
    heatmap_sigma: Annotated[Positive, Meta(description="σ of the target of mse, in cells")] = 1.0
    stacks: Annotated[int, Meta(ge=1, description="hourglasses one after the other")] = 2

    # --- score ---
    rule: Annotated[
        Literal["auto", "similarity", "margin", "log_odds"],
        Meta(description="score rule; auto chooses on the validation images; a baseline has similarity only"),
    ] = "auto"

    # --- augmentation ---
    flip: Annotated[Share, Meta(description="share of mirrored crops")] = 0.5
    scale: Annotated[Share, Meta(description="crop scale between 1/(1 + this) and 1 + this")] = 0.3
    rotation: Annotated[float, Meta(ge=0, le=180, description="rotation ± degrees")] = 30.0
    shift: Annotated[Share, Meta(description="shift ± share of the crop")] = 0.06
    colour: Annotated[Share, Meta(description="strength of brightness, contrast, saturation changes")] = 0.3
    occluders: Annotated[Share, Meta(description="share of crops with pasted occluders")] = 0.4
    occluder_cover: Annotated[
        float, Meta(ge=0.05, le=1, description="largest share of the object's box that they cover")
    ] = 0.6
    occluder_background: Annotated[
        Share, Meta(description="largest share of the crop beside the box that they cover")
    ] = 0.0
    occluder_images: Annotated[
        str | None,
        Meta(
            description="folder of photos to cut occluders from (FOLDER?part=train: half); else the training images"
        ),
    ] = None

    # --- optimisation ---
    epochs: Annotated[int, Meta(ge=1, description="passes over the training images")] = 90
    batch_size: Annotated[int, Meta(ge=1, description="images per step")] = 16
    lr: Annotated[Positive, Meta(description="peak learning rate of neck and prototypes")] = 1e-3
    backbone_lr: Annotated[Positive, Meta(description="peak learning rate of the backbone")] = 4e-4
    weight_decay: Annotated[float, Meta(ge=0, description="AdamW weight decay")] = 1e-2
    warmup: Annotated[Share, Meta(description="share of the steps that warm up; then a cosine to zero")] = (
        0.05
    )
    clip: Annotated[float, Meta(ge=0, description="gradient norm limit (0: none)")] = 1.0
    ema: Annotated[Share, Meta(description="decay of the averaged weights (0: none)")] = 0.998
    precision: Annotated[Literal["fp32", "bf16"], Meta(description="bf16: automatic mixed precision")] = (
        "fp32"
    )

    # --- run ---
    seed: Annotated[int, Meta(ge=0, description="seed of everything random")] = 0
    workers: Annotated[Count, Meta(description="loader processes (0: none)")] = 1
    cache_mb: Annotated[Count, Meta(description="decoded images kept in memory, per process")] = 512
    eval_every: Annotated[Count, Meta(description="epochs between validations (0: only at the end)")] = 5
    patience: Annotated[Count, Meta(description="stop after so many validations without gain (0: never)")] = 0


# What differs from the defaults. `paper`: the authors' loss, banks and rates, without what we added; AdamW, the
# cosine and the crop around the box are ours there too.
RECIPES: dict[str, dict[str, Any]] = {
    "edge": {},
    # For CPUs: a larger crop than that of `edge`, at a quarter of the work per pixel.
    "fast": {"stem_stride": 4, "width": 256, "height": 256, "freeze_to_stride": 0},
    "resnet18": {"backbone": "resnet18"},
    "mobilenet": {"backbone": "mobilenetv4_conv_small"},
    "resnet50": {"backbone": "resnet50"},
    "paper": {
        "backbone": "resnet50",
        "context": 0,
        "freeze_to_stride": 0,
        "fold_batchnorm": False,
        "prototypes": "momentum",
        "clutter_distance": 0.0,
        "clutter_covered": False,
        "contrastive": 1.0,
        "repulsion": 0.1,
        "dense": 0.0,
        "presence": 0.0,
        "placement": 0.0,
        "rule": "similarity",
        "flip": 0.0,
        "scale": 0.0,
        "rotation": 0.0,
        "shift": 0.0,
        "colour": 0.0,
        "occluders": 0.0,
        "lr": 1e-4,
        "backbone_lr": 1e-4,
        "weight_decay": 1e-4,
        "warmup": 0.0,
        "ema": 0.0,
    },
    # A minute or two on two cores: to see the whole loop, not for accuracy.
    "tiny": {"width": 128, "height": 128, "epochs": 6, "eval_every": 3, "clutter_size": 512},
}

# What was done before the recipe had a key, where that is not the default: recipes that were recorded then lack it.
BEFORE: dict[str, Any] = {"placement": 0.0}


def make_recipe(name_or_file: str = "edge", **overrides: Any) -> Recipe:
    """A recipe by name, or from a YAML file with the same keys, with single keys replaced.

    A YAML file may start from a named recipe with the key `recipe`. Raises CokeError for an unknown name or key
    and for a value out of range.
    """
    keys = read_keys(name_or_file) if name_or_file not in RECIPES else RECIPES[name_or_file]
    try:
        # Not strict: YAML takes 1e-3 for text.
        return msgspec.convert({**keys, **overrides}, Recipe, strict=False)
    except msgspec.ValidationError as error:
        raise CokeError(f"The recipe {name_or_file} is not valid: {reason(error)}.") from error


def reason(error: msgspec.ValidationError) -> str:
    """What is wrong with a key, and what it takes."""
    text = str(error)
    if unknown := re.search(r"unknown field `(.*)`", text):
        near = difflib.get_close_matches(unknown[1], Recipe.__struct_fields__, n=1)
        return f"there is no key {unknown[1]}" + (f", perhaps {near[0]} is meant" if near else "")
    wrong, _, key = text.partition(" - at `$.")
    key = key.rstrip("`")
    kind = typing.get_type_hints(Recipe).get(key)
    choices = (
        f" (choose from {', '.join(typing.get_args(kind))})" if typing.get_origin(kind) is Literal else ""
    )
    return f"{key}: {wrong}{choices}" if key else text


def read_keys(file: str) -> dict[str, Any]:
    """The keys of a YAML recipe, those of the recipe that it starts from included."""
    path = Path(file)
    if not path.is_file():
        raise CokeError(
            f"There is no recipe {file!r}: use one of {', '.join(RECIPES)}, or the path of a YAML file."
        )
    import yaml  # noqa: F401 (msgspec needs it, and without it raises what the command line does not know)

    try:
        keys = msgspec.yaml.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise CokeError(f"{file} is no YAML file of recipe keys: {' '.join(str(error).split())}.") from error
    if len(keys) > len(Recipe.__struct_fields__) / 2:  # recorded by a run, not written by hand
        keys = {**BEFORE, **keys}
    base = keys.pop("recipe", "edge")
    if base not in RECIPES:
        raise CokeError(f"{file} starts from the recipe {base!r}, but there are only {', '.join(RECIPES)}.")
    return {**RECIPES[base], **keys}
