"""`docs/results.md` from the committed results of experiments; the words between the tables are results.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from coke_edge.benchmarks.experiments import tables
from coke_edge.benchmarks.experiments.collected import Collection, collect
from coke_edge.benchmarks.experiments.definition import NEUTRAL, Run
from coke_edge.benchmarks.experiments.result import Result
from coke_edge.benchmarks.experiments.targets import targets_part
from coke_edge.benchmarks.report.in_markdown import plain
from coke_edge.benchmarks.table import markdown
from coke_edge.train.recipe import make_recipe

PARTS = {
    "lsp": tables.methods_part,
    "targets": targets_part,
    "lsp-rules": tables.rules_part,
    "lsp-prototypes": tables.prototypes_part,
    "lsp-ablation": tables.ablation_part,
    "parts": tables.parts_part,
    "pascal3d": tables.pascal_part,
}


def document(results: Path, runs: Sequence[Run]) -> str:
    """The page. Raises CokeError for a file in `results` that is no result of an experiment."""
    found = collect(results, runs)
    parts = {name: part(found) for name, part in PARTS.items()}
    parts |= {"runs": runs_part(found, runs), "done": f"{len(found.results)} of {len(runs)} runs are done."}
    return re.sub(r"\{\{([a-z0-9-]+)\}\}", lambda match: parts[match[1]], template())


def template() -> str:
    folder = resources.files("coke_edge.benchmarks.experiments")
    return folder.joinpath("results.md").read_text(encoding="utf-8")


def runs_part(found: Collection, runs: Sequence[Run]) -> str:
    """Which recipe each row has, on which machines and versions the results were made, and what is not shown."""
    lines = [
        *(f"Not shown, being of an earlier definition: {plain(name)}." for name in found.strangers),
        *surroundings(found.results),
    ]
    parts = [
        "\n".join(f"* {line}" for line in lines),
        "<details><summary>Recipes: the keys that differ from the recipe `edge`</summary>",
        recipe_table(runs),
        "</details>",
    ]
    return "\n\n".join(parts)


def surroundings(results: Sequence[Result]) -> list[str]:
    """Machines and versions, each once."""
    machines = dict.fromkeys(
        f"{one.machine['cpu']}, {one.machine['cores']} cores"
        + (f", {one.machine['gpu']}" if one.machine.get("gpu") else "")
        for one in results
    )
    versions = dict.fromkeys(
        ", ".join(f"{k} {v}" for k, v in sorted(one.versions.items())) for one in results
    )
    return [
        *(f"Machine: {plain(text)}." for text in machines),
        *(f"Versions: {plain(text)}." for text in versions),
    ]


def recipe_table(runs: Sequence[Run]) -> str:
    """One line for each row; one for all rows of a group that have the same keys, as the classes of a data set have."""
    rows: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        names = rows.setdefault((run.group, keys_of(run)), [])
        if run.name not in names:
            names.append(run.name)
    lines = [[f"`{group}/{together(names)}`", plain(keys)] for (group, keys), names in rows.items()]
    return markdown(["row", "keys"], lines)


def together(names: Sequence[str]) -> str:
    """A name, or a pattern for several: what they end in alike."""
    if len(names) == 1:
        return names[0]
    first = names[0]
    endings = (first[start:] for start in range(len(first) + 1))
    return "*" + next(ending for ending in endings if all(name.endswith(ending) for name in names))


def keys_of(run: Run) -> str:
    """Keys and values that are not those of `edge`; the seed is every row's own."""
    edge: dict[str, Any] = {name: getattr(make_recipe("edge"), name) for name in run.training.recipe}
    different = {
        name: value
        for name, value in run.training.recipe.items()
        if name not in (*NEUTRAL, "seed") and value != edge[name]
    }
    return ", ".join(f"{name}: {value}" for name, value in different.items())
