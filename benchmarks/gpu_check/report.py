"""The report of a check: one JSON and one markdown file, whole after every row."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from coke_edge.benchmarks import head
from coke_edge.benchmarks.gpu_check import bench_table
from coke_edge.benchmarks.gpu_check.rows import CUT, FAILED, MEASURED, PASSED, SKIPPED, Row
from coke_edge.benchmarks.gpu_check.speed import CEILINGS
from coke_edge.benchmarks.table import markdown, milliseconds
from coke_edge.files import replacing

JSON, MARKDOWN, LOG, TILES = "gpu-check.json", "gpu-check.md", "gpu-check.log", "tiles.json"
BENCH = "bench.json"
STATUSES = (PASSED, FAILED, SKIPPED, MEASURED)
NOTE_LENGTH = 300  # characters of what a row says in the table


class Report:
    """Rows by section, in the order in which the sections were announced; sections may run side by side."""

    def __init__(self, folder: Path, sections: list[str]) -> None:
        """Makes the folder. Raises CokeError if it cannot be written to."""
        self.folder = folder
        self._rows: dict[str, list[Row]] = {name: [] for name in sections}
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()
        self.write()

    @property
    def log(self) -> Path:
        return self.folder / LOG

    def add(self, section: str, row: Row) -> None:
        """Keep a row, on the disk too."""
        with self._lock:
            self._rows[section].append(row)
            self.write()

    def done(self, section: str, seconds: float) -> None:
        """Keep how long a section took."""
        with self._lock:
            self._seconds[section] = seconds
            self.write()

    def rows(self, section: str) -> list[Row]:
        return self._rows[section]

    @property
    def failed(self) -> bool:
        return any(row["status"] == FAILED for rows in self._rows.values() for row in rows)

    def document(self) -> dict[str, Any]:
        """All of it, for JSON; the benchmark's part is what `benchmarks.head` writes, too."""
        sections = {
            name: {"seconds": self._seconds.get(name), "rows": rows} for name, rows in self._rows.items()
        }
        return {"failed": self.failed, "sections": sections, "head": self.head()}

    def head(self) -> dict[str, Any] | None:
        """The benchmark's result, once it has one."""
        measured = [row for row in self._rows.get("speed", []) if row["status"] == MEASURED]
        plain = [
            {k: v for k, v in row.items() if not (row["name"] == CEILINGS and k in ("name", "status"))}
            for row in measured
        ]
        return head.document(plain) if any("forms" in row for row in plain) else None

    def bench(self) -> dict[str, Any] | None:
        """What `coke-edge bench` would have written of the way from frame to peaks, once it is complete."""
        return bench_table.result(self._rows.get("bench", []))

    def write(self) -> None:
        """All files, each replaced at once."""
        texts = {JSON: json.dumps(self.document(), indent=1) + "\n", MARKDOWN: self.markdown() + "\n"}
        if result := self.bench():
            texts[BENCH] = json.dumps(result, indent=1) + "\n"
        if tiles := [row["tile"] for row in self._rows.get("tune", []) if "tile" in row]:
            texts[TILES] = json.dumps({"tiles": tiles}, indent=1) + "\n"
        for name, text in texts.items():
            with replacing(self.folder / name) as file:
                file.write(text.encode())

    def markdown(self) -> str:
        """Sections in numbers, everything that is not well, the surroundings, then the benchmark."""
        parts = ["# GPU check", self.summary()]
        if notes := self.notes():
            parts += ["## Failed, skipped, cut short", notes]
        parts += ["## Surroundings", self.surroundings()]
        if result := self.head():
            parts += ["## Benchmark", head.tables(result)]
        if whole := self.bench():
            parts += ["## From frame to peaks", bench_table.table(whole)]
        if tuned := self._rows.get("tune"):
            parts += ["## Tuning", tune_table(tuned)]
        return "\n\n".join(parts)

    def summary(self) -> str:
        lines = []
        for name, rows in self._rows.items():
            counts = [sum(row["status"] == status for row in rows) for status in STATUSES]
            largest = [row["error"] for row in rows if isinstance(row.get("error"), float)]
            took = self._seconds.get(name)
            lines.append(
                [
                    name,
                    *(str(count) for count in counts),
                    f"{max(largest):.2g}" if largest else "",
                    "" if took is None else f"{took:.0f} s",
                ]
            )
        return markdown(["section", *STATUSES, "largest error", "took"], lines)

    def notes(self) -> str:
        """Rows that failed, were skipped, or tell of an end before its time; empty if there are none."""
        lines = [
            [name, row["name"], row["status"], told(row)]
            for name, rows in self._rows.items()
            for row in rows
            if row["status"] in (FAILED, SKIPPED, CUT)
        ]
        return markdown(["section", "what", "status", "why"], lines) if lines else ""

    def surroundings(self) -> str:
        lines = [[row["name"], told(row)] for row in self._rows.get("environment", [])]
        return markdown(["what", "found"], lines)


def told(row: Row) -> str:
    """What a row says beside its name and status, in one line."""
    values = {key: value for key, value in row.items() if key not in ("name", "status")}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= value if isinstance(value, dict) else {key: value}
    return ", ".join(f"{key} {value}" for key, value in flat.items())[:NOTE_LENGTH]


def tune_table(rows: list[Row]) -> str:
    """The best tile of each size beside the default."""
    lines = [
        [
            row["name"],
            row.get("best", ""),
            milliseconds(row.get("best_ms")),
            milliseconds(row.get("default_ms")),
        ]
        for row in rows
        if row["status"] == MEASURED
    ]
    return markdown(["size", "best tile", "its time", "time of the default"], lines)
