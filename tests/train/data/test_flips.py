from __future__ import annotations

import pytest

from coke_edge.train.data.flips import flip_pairs_by_name, mirrored_name


@pytest.mark.parametrize(
    ("name", "mirrored"),
    [
        ("left_eye", "right_eye"),
        ("top_right_corner", "top_left_corner"),
        ("leftcorner_windshield", "rightcorner_windshield"),
        ("eyeLeft", "eyeRight"),
        ("Left Eye", "Right Eye"),
        ("upright_hole", "upright_hole"),
        ("cleft", "cleft"),
        ("nose", "nose"),
    ],
)
def test_mirrored_name(name: str, mirrored: str) -> None:
    assert mirrored_name(name) == mirrored
    assert mirrored_name(mirrored) == name


def test_only_names_whose_partner_exists_are_paired() -> None:
    names = ["nose", "right_eye", "left_ear", "left_eye", "mid_left", "upright"]
    assert flip_pairs_by_name(names) == ((1, 3),)
