from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coke_edge.train.data.bracket import KEYPOINTS, NAMES, Bracket, Face
from coke_edge.train.data.raster import Camera, draw_faces, hidden, see_faces

FRONT = Camera(np.zeros(3), 5.0, 0.0, 0.0, 0.0, focal=100.0, centre=(50.0, 40.0))
LIGHT = np.array([0.0, 0.6, 0.8])
SQUARE = np.array([(-1.0, -1.0, 0.0), (1.0, -1.0, 0.0), (1.0, 1.0, 0.0), (-1.0, 1.0, 0.0)])
WHITE, PLAIN = np.ones(3), np.ones((4, 4), np.float32)


def test_projection_from_the_front() -> None:
    pixels = FRONT.project(np.array([(0.0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]))
    np.testing.assert_allclose(pixels, [(50, 40), (70, 40), (50, 20), (50, 40)], atol=1e-9)


def test_from_the_right_the_front_is_on_the_left() -> None:
    camera = dataclasses.replace(FRONT, azimuth=np.pi / 2)
    np.testing.assert_allclose(camera.project(np.array([(0.0, 0, 1)])), [(30, 40)], atol=1e-9)


def test_roll_turns_the_camera() -> None:
    camera = dataclasses.replace(FRONT, roll=np.pi / 2)
    np.testing.assert_allclose(camera.project(np.array([(0.0, 1, 0)])), [(30, 40)], atol=1e-9)


@settings(deadline=None)
@given(
    angles=st.tuples(*[st.floats(-1.2, 1.2)] * 3),
    point=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
)
def test_the_plane_of_a_face_gives_the_depth_of_its_points(
    angles: tuple[float, float, float], point: tuple[float, float]
) -> None:
    camera = dataclasses.replace(FRONT, azimuth=angles[0], elevation=angles[1], roll=angles[2])
    face = see_faces([Face(SQUARE)], camera, LIGHT)[0]
    on_face = np.array([(*point, 0.0)])
    x, y = camera.project(on_face)[0]
    assert face.plane @ (x, y, 1.0) == pytest.approx(1 / camera.seen(on_face)[0, 2], rel=1e-6)


def test_the_nearer_face_covers_whatever_the_order() -> None:
    near, far = Face(SQUARE * 0.5 + (0, 0, 1)), Face(SQUARE, finish=0.25)
    pictures = []
    for faces in ([near, far], [far, near]):
        image = np.zeros((80, 100, 3), np.float32)
        covered = draw_faces(image, see_faces(faces, FRONT, LIGHT), WHITE, PLAIN)
        pictures.append(image)
        assert covered[40, 50]
        assert not covered[2, 2]
    np.testing.assert_array_equal(*pictures)
    assert pictures[0][40, 50, 0] == pytest.approx(4 * pictures[0][40, 34, 0], rel=0.1)


def test_hidden_behind_a_face_but_not_in_its_hole_or_on_it() -> None:
    faces = see_faces([Face(SQUARE, holes=(SQUARE * 0.4,))], FRONT, LIGHT)
    points = np.array(
        [(0.6, 0.6, -1.0), (0.0, 0.0, -1.0), (0.6, 0.6, 0.0), (0.6, 0.6, 1.0), (3.0, 0.0, -1.0)]
    )
    assert hidden(points, faces, FRONT).tolist() == [True, False, False, False, False]


def bracket_hidden(**angles: float) -> set[str]:
    bracket = Bracket()
    camera = dataclasses.replace(FRONT, distance=7.0, **{k: np.radians(v) for k, v in angles.items()})
    behind = hidden(bracket.keypoints(), see_faces(bracket.faces(), camera, LIGHT), camera)
    return {name for name, is_behind in zip(NAMES, behind, strict=True) if is_behind}


def test_from_above_nothing_of_the_bracket_is_hidden() -> None:
    assert bracket_hidden(azimuth=0, elevation=45) == set()


def test_from_the_side_the_stud_hides_the_hole_behind_it() -> None:
    assert bracket_hidden(azimuth=80, elevation=12) == {"base_left_hole"}
    assert bracket_hidden(azimuth=-80, elevation=12) == {"base_right_hole"}


def test_from_behind_the_upright_hides_the_base_but_not_the_stud_behind_its_hole() -> None:
    assert bracket_hidden(azimuth=180, elevation=15) == {
        "base_left_corner",
        "base_right_corner",
        "base_left_hole",
        "base_right_hole",
    }


@settings(deadline=None)
@given(azimuth=st.floats(0, 80), elevation=st.floats(5, 70))
def test_a_mirrored_view_hides_the_mirrored_keypoints(azimuth: float, elevation: float) -> None:
    swap = {NAMES[a]: NAMES[b] for a, b in KEYPOINTS.flip_pairs}
    swap |= {right: left for left, right in swap.items()}
    mirrored = {swap.get(name, name) for name in bracket_hidden(azimuth=-azimuth, elevation=elevation)}
    assert bracket_hidden(azimuth=azimuth, elevation=elevation) == mirrored
