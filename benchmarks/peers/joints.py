"""Which joints are compared, and where each network has them.

What LSP has and the networks have not (neck, head top), and what they have and LSP has not (face, hands, feet), is left
out of the comparison: 12 joints are common.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coke_edge.benchmarks.peers.peer import Float
from coke_edge.errors import DataError
from coke_edge.train.data.body import ARMS, LEGS

COMMON = (*LEGS, *ARMS)


def common(found: Float, joints: Sequence[str]) -> Float:
    """Of keypoints [..., K, 2] with these K names the 12 common joints [..., 12, 2], in the order of `COMMON`.

    Raises DataError if the names lack one of them.
    """
    missing = [name for name in COMMON if name not in joints]
    if missing:
        raise DataError(
            f"the race is about people: a network with the joint {missing[0]} is needed, not one that finds "
            f"{', '.join(joints[:3])}, …"
        )
    return np.asarray(found)[..., [joints.index(name) for name in COMMON], :]
