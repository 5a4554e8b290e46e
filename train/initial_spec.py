"""What a model is before it has been calibrated, and what the calibration may choose from."""

from __future__ import annotations

from coke_edge.errors import CokeError
from coke_edge.kernels.spec import HeadSpec, Rule
from coke_edge.manifest import InputSpec, ModelSpec
from coke_edge.train.data.sample import KeypointDataset
from coke_edge.train.method import Method
from coke_edge.train.recipe import Recipe

MARGIN_STEPS = (1.0, 0.85, 0.9, 0.95, 1.05)  # of the recipe's margin, tried on the validation images


def initial_spec(recipe: Recipe, model: Method, data: KeypointDataset) -> ModelSpec:
    """The model's description before calibration."""
    mean, std = ((float(a), float(b), float(c)) for a, b, c in (model.mean.tolist(), model.std.tolist()))
    red, green, blue = (round(255 * value) for value in mean)
    return ModelSpec(
        keypoints=data.keypoints,
        input=InputSpec(recipe.width, recipe.height, recipe.box_margin, (blue, green, red), mean, std),
        stride=model.stride,
        head=HeadSpec(
            rule=rules_tried(recipe, model)[0],
            temperature=recipe.temperature,
            clutter_weight=recipe.clutter_weight,
        ),
        hidden_maps=model.hidden_maps,
    )


def rules_tried(recipe: Recipe, model: Method) -> tuple[Rule, ...]:
    """The score rules to choose from, the plainest first. Raises CokeError if the recipe's is none of the method's."""
    if recipe.rule == "auto":
        return model.rules
    if recipe.rule not in model.rules:
        raise CokeError(
            f"the rule {recipe.rule} needs a clutter bank, which the method {recipe.method} does not have: "
            "leave --rule at auto"
        )
    return (recipe.rule,)


def margins_seen(recipe: Recipe) -> list[float]:
    """Box margins at which training has shown the object, that of the recipe first."""
    within = [step for step in MARGIN_STEPS if 1 / (1 + recipe.scale) <= step <= 1 + recipe.scale]
    return [round(recipe.box_margin * step, 4) for step in within]
