"""The line that ends a command can be typed as it stands."""

from __future__ import annotations

import io
import shlex

from rich.console import Console

from coke_edge.cli.next_step import next_step


def test_a_shell_takes_the_arguments_as_they_are() -> None:
    arguments = [
        "eval",
        "my [b] model.coke",
        "--data",
        "pascal3d:it's here?category=car&source=all",
        "x" * 90,
    ]
    out = io.StringIO()
    next_step(Console(file=out, width=80), *arguments)
    [line] = out.getvalue().splitlines()
    assert shlex.split(line) == ["Next:", "coke-edge", *arguments]
