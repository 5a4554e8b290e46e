from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from coke_edge.cli.tables import keypoint_table
from coke_edge.keypoints import Keypoints
from coke_edge.manifest import Keypoints2D


def test_each_keypoint_stands_where_the_picture_has_it_with_the_numbers_of_that_place() -> None:
    score = np.array([0.91, 0.52, 0.43])
    keypoints = Keypoints(
        layout=Keypoints2D(("eye", "ear", "nose")),
        xy=np.array([[10.0, 11.0], [20.0, 21.0], [np.nan, np.nan]]),
        similarity=score,
        clutter=score / 2,
        soft_clutter=score,
        visible=np.array([0.9, 0.1, 0.0]),
        box=np.zeros(4),
        hidden_xy=np.array([[70.0, 71.0], [80.0, 81.0], [np.nan, np.nan]]),
    )
    text = io.StringIO()
    Console(file=text, width=100).print(keypoint_table(keypoints, "frame.png"))
    rows = [
        line.replace("│", " ").split() for line in text.getvalue().splitlines() if "●" in line or "○" in line
    ]
    assert rows == [
        ["●", "eye", "10.0", "11.0", "0.91", "0.46", "0.90"],
        ["○", "ear", "80.0", "81.0", "–", "–", "0.10"],
        ["○", "nose", "–", "–", "–", "–", "0.00"],
    ]
