"""The part that the generated data set shows: an angle bracket with holes, side gussets and a stud.

Object coordinates: x to the right, y up, z towards the viewer, the bend between base and upright along the
x axis; one unit is half the width. The part is the same when mirrored in x, so flips are true views.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from coke_edge.manifest import Keypoints2D
from coke_edge.train.data.flips import flip_pairs_by_name

Points = NDArray[np.float64]  # [n, 3]

NAMES = (
    "base_left_corner",
    "base_right_corner",
    "base_left_hole",
    "base_right_hole",
    "stud",
    "upright_hole",
    "upright_left_corner",
    "upright_right_corner",
)
SKELETON = ((0, 1), (0, 6), (1, 7), (6, 7), (2, 4), (4, 3), (4, 5))
KEYPOINTS = Keypoints2D(NAMES, SKELETON, flip_pairs_by_name(NAMES))

SIDES = 24  # of the polygon that stands for a circle


@dataclasses.dataclass(frozen=True)
class Face:
    """A planar polygon with polygonal holes."""

    outline: Points
    holes: tuple[Points, ...] = ()
    finish: float = 1.0  # scales the brightness; less inside a hole
    outward: Points | None = None  # roughly, [3]; None for a face that may be seen from either side


@dataclasses.dataclass(frozen=True)
class Bracket:
    """Sizes of one part; keypoints follow them."""

    depth: float = 1.5  # of the base
    height: float = 1.3  # of the upright
    thickness: float = 0.14
    stud_height: float = 0.4
    hole: float = 0.17  # radius in the base; the one in the upright is larger

    def keypoints(self) -> Points:
        """The keypoints [8, 3], in the order of NAMES: on the surface, centres of holes in its plane."""
        front, top = self.depth, self.height
        hole_z = 0.72 * front
        return np.array(
            [
                (-1.0, 0.0, front),
                (1.0, 0.0, front),
                (-0.62, 0.0, hole_z),
                (0.62, 0.0, hole_z),
                (0.0, self.stud_height, hole_z),
                (0.0, 0.62 * top, 0.0),
                (-1.0, top, 0.0),
                (1.0, top, 0.0),
            ]
        )

    def faces(self) -> list[Face]:
        """All surfaces of the part."""
        t, front, top = self.thickness, self.depth, self.height
        left_hole, right_hole, stud, upright_hole = self.keypoints()[2:6]
        down, back = np.array([0.0, -t, 0.0]), np.array([0.0, 0.0, -t])
        base = np.array([(-1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 0.0, front), (-1.0, 0.0, front)])
        upright = np.array([(-1.0, -t, 0.0), (1.0, -t, 0.0), (1.0, top, 0.0), (-1.0, top, 0.0)])
        base_holes = tuple(_circle(hole, self.hole, "xz") for hole in (left_hole, right_hole))
        upright_holes = (_circle(upright_hole, 1.5 * self.hole, "xy"),)
        faces = [*_slab(base, base_holes, down), *_slab(upright, upright_holes, back)]
        for x, inwards in ((-1.0, 0.1), (1.0, -0.1)):
            gusset = np.array([(x, 0.0, 0.0), (x, 0.0, 0.6 * front), (x, 0.75 * top, 0.0)])
            faces += _slab(gusset, (), np.array([inwards, 0.0, 0.0]))
        return faces + _slab(_circle(stud, 0.15, "xz"), (), np.array([0.0, -self.stud_height, 0.0]))


def _circle(centre: Points, radius: float, plane: str) -> Points:
    angle = np.arange(SIDES) * (2 * np.pi / SIDES)
    offsets = np.zeros((SIDES, 3))
    offsets[:, "xyz".index(plane[0])] = radius * np.cos(angle)
    offsets[:, "xyz".index(plane[1])] = radius * np.sin(angle)
    return np.asarray(centre + offsets)


def _slab(outline: Points, holes: tuple[Points, ...], extrusion: Points) -> list[Face]:
    """An outline with holes, pulled along `extrusion`: front, back, rim and the walls of the holes."""
    front = Face(outline, holes, outward=-extrusion)
    back = Face(outline + extrusion, tuple(hole + extrusion for hole in holes), outward=extrusion)
    walls = [_walls(ring, extrusion, finish=0.55) for ring in holes]
    return [front, back, *_walls(outline, extrusion), *(face for wall in walls for face in wall)]


def _walls(ring: Points, extrusion: Points, finish: float = 1.0) -> list[Face]:
    following = np.roll(ring, -1, axis=0)
    return [
        Face(np.array([a, b, b + extrusion, a + extrusion]), finish=finish)
        for a, b in zip(ring, following, strict=True)
    ]
