"""The Python packages that the runtime is made of, and those that bring a GPU or training."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from coke_edge.doctor.importing import DISTRIBUTIONS
from coke_edge.doctor.machine import Machine

TIMEOUT = 120.0  # seconds; importing everything from a slow card takes a while


@dataclasses.dataclass(frozen=True)
class Package:
    """One package; `version` without `error` means that it can be used."""

    distribution: str | None  # as pip calls it; None where pip knows of none
    version: str | None
    error: str | None  # of the import, its first line
    details: dict[str, Any]  # of cv2: gui, gstreamer, ffmpeg; onnxruntime: providers; tensorrt: cuda

    @property
    def usable(self) -> bool:
        """Whether it is installed and could be imported."""
        return self.error is None


def probe(machine: Machine) -> dict[str, Package]:
    """Every package by the name of its module; the one that ends the process is named, and the rest is tried again."""
    reports: dict[str, dict[str, Any]] = {}
    while remaining := [name for name in DISTRIBUTIONS if name not in reports]:
        output = machine.python_module("coke_edge.doctor.importing", *remaining, timeout=TIMEOUT)
        lines = [json.loads(line) for line in output.stdout.splitlines() if line.startswith('{"package"')]
        finished = {line["package"]: line for line in lines if "error" in line}
        fatal = next((line["package"] for line in lines if line["package"] not in finished), remaining[0])
        reports |= finished
        if fatal not in finished:
            reports[fatal] = {"error": f"importing it ended Python: {output.ending}"}
    return {name: package(reports[name]) for name in DISTRIBUTIONS}


def package(report: dict[str, Any]) -> Package:
    """A package from a line of `importing`."""
    details = dict(report.get("details", {}))
    if "build" in details:
        details |= parse_build(details.pop("build"))
    return Package(report.get("distribution"), report.get("version"), report["error"], details)


def parse_build(text: str) -> dict[str, Any]:
    """Which windows OpenCV opens (None: it is headless) and how it reads videos, by `cv2.getBuildInformation()`."""

    def row(key: str) -> str:
        found = re.search(rf"^[ \t]*{key}:[ \t]*(.*?)[ \t]*$", text, re.MULTILINE)
        return found[1] if found else ""

    gui = row("GUI")
    return {
        "gui": None if gui in ("", "NONE") else gui,
        "gstreamer": row("GStreamer").startswith("YES"),
        "ffmpeg": row("FFMPEG").startswith("YES"),
    }
