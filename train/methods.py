"""The methods by name: CoKe, and the baselines that it is held against."""

from __future__ import annotations

from coke_edge.train.heatmap import HeatmapModel
from coke_edge.train.hourglass import HourglassModel
from coke_edge.train.method import Method
from coke_edge.train.model import CokeModel
from coke_edge.train.recipe import Recipe


def create_model(recipe: Recipe, keypoints: int) -> Method:
    """A new model of the recipe's method for `keypoints` keypoints, with the backbone's weights loaded."""
    match recipe.method:
        case "coke":
            return CokeModel(recipe, keypoints)
        case "heatmap":
            return HeatmapModel(recipe, keypoints)
        case "hourglass":
            return HourglassModel(recipe, keypoints)
