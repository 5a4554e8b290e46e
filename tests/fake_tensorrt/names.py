"""The lists of names in `api/`, and which are in all of them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

API = Path(__file__).parent / "api"


@cache
def versions() -> dict[str, dict[str, frozenset[str]]]:
    """Version → class → its public attributes; "" is the module."""
    return {
        path.stem: {owner: frozenset(names.split()) for owner, names in json.loads(path.read_text()).items()}
        for path in sorted(API.glob("*.json"))
    }


@cache
def common() -> dict[str, frozenset[str]]:
    """Class → attributes that it has in every version."""
    lists = list(versions().values())
    owners = set.intersection(*(set(one) for one in lists))
    return {owner: frozenset.intersection(*(one[owner] for one in lists)) for owner in owners}
