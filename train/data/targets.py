"""Which annotated keypoints a network is trained to find: those that the data set's measure counts.

Most measures count visible keypoints alone. There a hidden one is no target: it teaches what absence looks like (the
null class, the clutter bank, and the place of what is hidden, in maps of its own). MPII's counts every annotated
joint, so there a joint that the person's own body or another one hides is to be found as well, from what is around
it: it is a target like a visible one. What an occluder covers that training pastes on is hidden in all data sets, as
no measure counts it among the visible ones.

None of this is what P(visible) means. It is fitted afterwards (train/visibility.py), to the flags as they are
annotated: visible is what can be seen in the image, whether or not the rest is to be found too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coke_edge.train.data.sample import HIDDEN, VISIBLE


def target_flags(visibility: NDArray[np.uint8], counts_hidden: bool) -> NDArray[np.uint8]:
    """A copy of the annotated flags [K] in which HIDDEN is VISIBLE if the measure counts hidden keypoints."""
    found_too = (visibility == HIDDEN) & counts_hidden
    return np.where(found_too, VISIBLE, visibility).astype(np.uint8)
