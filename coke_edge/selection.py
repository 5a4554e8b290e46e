"""Some of a model's keypoints: those of one category, of a model that knows several.

A model of several categories calls its keypoints `car/left_front_wheel`, `bus/left_front_wheel`, …; `car/` chooses the
car's, `car/,bus/` both. Any other beginning of names chooses as well, also a whole name.
"""

from __future__ import annotations

import difflib

import msgspec
import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import BackendError
from coke_edge.kernels.reference import Peaks
from coke_edge.manifest import Keypoints2D, ModelSpec

MOST_LISTED = 20

Indices = NDArray[np.intp]


def choose(layout: Keypoints2D, beginnings: str) -> Indices:
    """Which keypoints have a name that begins with one of `beginnings` (commas between), in the model's order.

    Raises BackendError, with what may have been meant, if one of them begins no name.
    """
    wanted = [part.strip() for part in beginnings.split(",")]
    for part in wanted:
        empty = not part and len(wanted) > 1  # it would choose all
        if empty or not any(name.startswith(part) for name in layout.names):
            raise BackendError(f"no keypoint's name begins with '{part}'{near(layout, part)}")
    return np.flatnonzero([name.startswith(tuple(wanted)) for name in layout.names])


def near(layout: Keypoints2D, part: str) -> str:
    """What may have been meant by a `part` that begins no name, and what there is, as the end of a sentence."""
    categories = list(dict.fromkeys(name[: name.find("/") + 1] or name for name in layout.names))
    alike = difflib.get_close_matches(part, [*categories, *layout.names], n=3)
    meant = f", perhaps {' or '.join(dict.fromkeys(alike))} is meant; choose" if alike else ", choose"
    listed = [*categories[:MOST_LISTED], *["…"] * (len(categories) > MOST_LISTED)]
    return f"{meant} among {', '.join(listed)}"


def narrowed(spec: ModelSpec, chosen: Indices) -> ModelSpec:
    """The specification with these keypoints alone; lines and flip pairs to others are left out."""
    place = {int(old): new for new, old in enumerate(chosen)}

    def kept(pairs: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        return tuple((place[a], place[b]) for a, b in pairs if a in place and b in place)

    old = spec.keypoints
    keypoints = Keypoints2D(tuple(old.names[k] for k in chosen), kept(old.skeleton), kept(old.flip_pairs))
    visibility = spec.visibility
    if visibility is not None:
        bias = tuple(visibility.bias[k] for k in chosen)
        visibility = msgspec.structs.replace(visibility, bias=bias)
    return msgspec.structs.replace(spec, keypoints=keypoints, visibility=visibility)


def maps_of(spec: ModelSpec, chosen: Indices) -> Indices:
    """Which score maps of a model are those of the chosen keypoints."""
    return np.concatenate([chosen, chosen + len(spec.keypoints.names)]) if spec.hidden_maps else chosen


def of_maps(peaks: Peaks, maps: Indices) -> Peaks:
    """The peaks of these score maps."""
    return peaks._replace(**{name: quantity[:, maps] for name, quantity in peaks._asdict().items()})
