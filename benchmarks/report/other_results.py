"""Results of the head's benchmark and of the GPU check as parts of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coke_edge.benchmarks import head
from coke_edge.benchmarks.gpu_check.report import STATUSES, told, tune_table
from coke_edge.benchmarks.gpu_check.rows import CUT, FAILED, SKIPPED
from coke_edge.benchmarks.report.in_markdown import fenced, plain
from coke_edge.benchmarks.table import markdown

Document = Mapping[str, Any]


def is_head(document: Document) -> bool:
    """Whether `coke_edge.benchmarks.head` wrote it."""
    return "sizes" in document and "versions" in document


def is_gpu_check(document: Document) -> bool:
    """Whether `coke_edge.benchmarks.gpu_check` wrote it."""
    return "sections" in document and "failed" in document


def head_part(document: Document, link: str) -> str:
    """Machine, command and tables."""
    host = document.get("host", {})
    gpu = document.get("gpu", {})
    names = [gpu.get("name"), host.get("cpu")]
    machine = ", ".join(plain(str(name)) for name in names if name) or "a machine without a name"
    if "cores" in host:
        machine += f", {host['cores']} cores"
    options = " --device cpu" + f" --threads {document['threads']}" if "threads" in document else ""
    command = f"python -m coke_edge.benchmarks.head{options} --out out/head.json"
    dtypes = dict.fromkeys(str(row.get("dtype")) for row in document["sizes"] if row.get("dtype"))
    about = [f"{link}: {machine}", plain(str(host["system"])) if "system" in host else ""]
    about += [f"{document['threads']} threads" if "threads" in document else "", ", ".join(dtypes)]
    if host.get("load"):
        about.append(f"load before the run {', '.join(str(value) for value in host['load'])}")
    versions = ", ".join(f"{plain(k)} {plain(str(v))}" for k, v in document["versions"].items())
    return "\n\n".join(
        [
            "; ".join(part for part in about if part) + ".",
            head.tables(dict(document)),
            "To reproduce each row:",
            fenced(command),
            f"Versions: {versions}.",
        ]
    )


def gpu_check_part(document: Document, link: str) -> str:
    """What was checked, what was not well, and the head's benchmark on that GPU."""
    sections: dict[str, Any] = document["sections"]
    found = [row.get("found", {}) for row in rows_of(sections, "environment") if row["name"] == "gpu"]
    gpu = found[0] if found else {}
    outcome = "Something failed." if document["failed"] else "Nothing failed."
    parts = [f"{link}: {plain(str(gpu.get('name', 'no GPU')))}. {outcome}", summary(sections)]
    lines = [
        [name, plain(row["name"]), row["status"], plain(told(row))]
        for name in sections
        for row in rows_of(sections, name)
        if row["status"] in (FAILED, SKIPPED, CUT)
    ]
    if lines:
        parts.append(markdown(["section", "what", "status", "why"], lines))
    surroundings = [[plain(row["name"]), plain(told(row))] for row in rows_of(sections, "environment")]
    if surroundings:
        parts.append(markdown(["what", "found"], surroundings))
    if document.get("head"):
        parts += ["The head:", head.tables(dict(document["head"]))]
    if rows_of(sections, "tune"):
        parts += ["Tuning:", tune_table(rows_of(sections, "tune"))]
    return "\n\n".join([*parts, "To reproduce:", fenced("make gpu-check")])


def summary(sections: Mapping[str, Any]) -> str:
    """Rows by section and status."""
    lines = [
        [plain(name), *(f"{sum(row['status'] == s for row in rows_of(sections, name))}" for s in STATUSES)]
        for name in sections
    ]
    return markdown(["section", *STATUSES], lines)


def rows_of(sections: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return list(sections.get(name, {}).get("rows", []))
