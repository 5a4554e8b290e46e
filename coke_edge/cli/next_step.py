"""The line that ends a command: what to type next."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def say(console: Console, text: str) -> None:
    """Print text as it is: a path with brackets is no markup, and a long one is not broken."""
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def next_step(console: Console, *arguments: object) -> None:
    """Print `coke-edge` with these arguments, quoted so that a shell takes them as they are."""
    say(console, f"Next: {shlex.join(['coke-edge', *map(str, arguments)])}")
