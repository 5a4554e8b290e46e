"""Some of a model's keypoints: those of one category, of a model that knows several.

A model of several categories calls its keypoints `car/left_front_wheel`, `bus/left_front_wheel`, …; `car/` chooses the
car's. Any other beginning of names chooses as well.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import BackendError
from coke_edge.kernels.reference import Peaks
from coke_edge.manifest import Keypoints2D, ModelSpec

Indices = NDArray[np.intp]


def choose(layout: Keypoints2D, prefix: str) -> Indices:
    """Which keypoints have a name that begins with `prefix`, in their order. Raises BackendError if none has."""
    chosen = np.flatnonzero([name.startswith(prefix) for name in layout.names])
    if len(chosen) == 0:
        beginnings = dict.fromkeys(name[: name.find("/") + 1] or name for name in layout.names)
        raise BackendError(f"no keypoint's name begins with '{prefix}', choose among {', '.join(beginnings)}")
    return chosen


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


def of_chosen(peaks: Peaks, chosen: Indices) -> Peaks:
    """The peaks of these keypoints."""
    return peaks._replace(**{name: quantity[:, chosen] for name, quantity in peaks._asdict().items()})
