"""The anchors of the twelve categories of PASCAL3D+, in the order of the release's records, and their lines.

A line is a path through anchors, written as their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from coke_edge.manifest import Keypoints2D
from coke_edge.train.data.flips import flip_pairs_by_name

ANCHORS: dict[str, str] = {
    "aeroplane": "right_wing tail rudder_upper noselanding left_wing rudder_lower right_elevator "
    "left_elevator",
    "bicycle": "left_front_wheel left_back_wheel seat_back right_front_wheel left_pedal_center head_center "
    "left_handle right_pedal_center right_handle right_back_wheel seat_front",
    "boat": "head head_left head_down head_right tail tail_left tail_right",
    "bottle": "body body_right body_left bottom_right bottom mouth bottom_left",
    "bus": "body_back_left_lower body_back_left_upper body_back_right_lower body_back_right_upper "
    "body_front_left_upper body_front_right_upper body_front_left_lower body_front_right_lower "
    "left_back_wheel left_front_wheel right_back_wheel right_front_wheel",
    "car": "left_front_wheel left_back_wheel right_front_wheel right_back_wheel upper_left_windshield "
    "upper_right_windshield upper_left_rearwindow upper_right_rearwindow left_front_light "
    "right_front_light left_back_trunk right_back_trunk",
    "chair": "seat_upper_right leg_upper_left seat_lower_left leg_upper_right back_upper_left "
    "leg_lower_left seat_upper_left leg_lower_right seat_lower_right back_upper_right",
    "diningtable": "top_upper_right top_right top_left leg_upper_left top_lower_left top_lower_right "
    "top_down leg_upper_right top_upper_left leg_lower_left leg_lower_right top_up",
    "motorbike": "back_seat front_seat head_center headlight_center left_back_wheel left_front_wheel "
    "left_handle_center right_back_wheel right_front_wheel right_handle_center",
    "sofa": "front_bottom_right top_right_corner top_left_corner front_bottom_left seat_bottom_right "
    "seat_bottom_left right_bottom_back seat_top_right left_bottom_back seat_top_left",
    "train": "mid2_left_top head_left_top head_right_bottom mid2_right_bottom mid1_left_bottom "
    "mid1_right_top tail_right_bottom tail_right_top tail_left_top head_right_top head_left_bottom "
    "mid2_left_bottom tail_left_bottom head_top mid1_left_top mid2_right_top mid1_right_bottom",
    "tvmonitor": "front_bottom_right back_top_left front_top_left front_bottom_left back_bottom_left "
    "front_top_right back_top_right back_bottom_right",
}

LINES: dict[str, tuple[str, ...]] = {
    "aeroplane": (
        "noselanding left_wing tail right_wing noselanding",
        "left_elevator rudder_lower right_elevator",
        "tail rudder_lower rudder_upper",
    ),
    "bicycle": (
        "left_handle head_center right_handle",
        "left_front_wheel head_center right_front_wheel",
        "head_center seat_front seat_back",
        "left_back_wheel seat_back right_back_wheel",
        "left_pedal_center seat_front right_pedal_center",
    ),
    "boat": ("head_down head", "head_left head head_right", "head_left tail_left tail tail_right head_right"),
    "bottle": (
        "mouth body bottom",
        "body_left body body_right bottom_right bottom bottom_left body_left",
    ),
    "bus": (
        "body_front_left_lower body_front_left_upper body_front_right_upper body_front_right_lower "
        "body_front_left_lower left_front_wheel left_back_wheel body_back_left_lower body_back_left_upper "
        "body_back_right_upper body_back_right_lower body_back_left_lower",
        "body_front_right_lower right_front_wheel right_back_wheel body_back_right_lower",
        "body_front_left_upper body_back_left_upper",
        "body_front_right_upper body_back_right_upper",
    ),
    "car": (
        "left_front_wheel left_front_light upper_left_windshield upper_left_rearwindow left_back_trunk "
        "left_back_wheel left_front_wheel",
        "right_front_wheel right_front_light upper_right_windshield upper_right_rearwindow right_back_trunk "
        "right_back_wheel right_front_wheel",
        "left_front_light right_front_light",
        "upper_left_windshield upper_right_windshield",
        "upper_left_rearwindow upper_right_rearwindow",
        "left_back_trunk right_back_trunk",
    ),
    "chair": (
        "seat_upper_left back_upper_left back_upper_right seat_upper_right",
        "seat_upper_left seat_upper_right seat_lower_right seat_lower_left seat_upper_left leg_upper_left",
        "seat_upper_right leg_upper_right",
        "seat_lower_left leg_lower_left",
        "seat_lower_right leg_lower_right",
    ),
    "diningtable": (
        "top_upper_left top_up top_upper_right top_right top_lower_right top_down top_lower_left top_left "
        "top_upper_left leg_upper_left",
        "top_upper_right leg_upper_right",
        "top_lower_left leg_lower_left",
        "top_lower_right leg_lower_right",
    ),
    "motorbike": (
        "left_handle_center head_center right_handle_center",
        "headlight_center head_center front_seat back_seat",
        "left_front_wheel headlight_center right_front_wheel",
        "left_back_wheel back_seat right_back_wheel",
    ),
    "sofa": (
        "front_bottom_left left_bottom_back top_left_corner top_right_corner right_bottom_back "
        "front_bottom_right front_bottom_left seat_bottom_left seat_top_left top_left_corner",
        "front_bottom_right seat_bottom_right seat_top_right top_right_corner",
        "seat_bottom_left seat_bottom_right",
        "seat_top_left seat_top_right",
    ),
    "train": (
        "head_left_top head_top head_right_top head_right_bottom head_left_bottom head_left_top "
        "mid1_left_top mid2_left_top tail_left_top tail_right_top mid2_right_top mid1_right_top "
        "head_right_top",
        "head_left_bottom mid1_left_bottom mid2_left_bottom tail_left_bottom tail_left_top",
        "head_right_bottom mid1_right_bottom mid2_right_bottom tail_right_bottom tail_right_top",
        "tail_left_bottom tail_right_bottom",
    ),
    "tvmonitor": (
        "front_top_left front_top_right front_bottom_right front_bottom_left front_top_left back_top_left "
        "back_top_right back_bottom_right back_bottom_left back_top_left",
        "front_top_right back_top_right",
        "front_bottom_right back_bottom_right",
        "front_bottom_left back_bottom_left",
    ),
}


def keypoints_of(category: str) -> Keypoints2D:
    """Names, lines and flip pairs of a category's anchors."""
    names = tuple(ANCHORS[category].split())
    return Keypoints2D(names, edges_of(LINES[category], names), flip_pairs_by_name(names))


def edges_of(lines: Sequence[str], names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """The lines as pairs of indices into `names`; those to a name that is not there are left out."""
    index = {name: k for k, name in enumerate(names)}
    steps = {step for path in lines for step in pairwise(path.split())}
    return tuple(sorted((index[a], index[b]) for a, b in steps if a in index and b in index))
