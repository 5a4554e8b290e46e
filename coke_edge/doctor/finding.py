"""What a probe has to say to the user."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is missing, wrong or worth knowing."""

    what: str  # one clause or sentence
    command: str | None = None  # that mends it; None: nothing that can be typed does
