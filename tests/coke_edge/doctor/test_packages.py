from __future__ import annotations

import json
from collections.abc import Sequence

import cv2
import pytest

from coke_edge.doctor.importing import DISTRIBUTIONS
from coke_edge.doctor.machine import Machine, Output
from coke_edge.doctor.packages import parse_build, probe


def test_every_package_is_reported(recorded) -> None:
    packages = probe(recorded("desktop"))
    assert list(packages) == list(DISTRIBUTIONS)
    assert packages["tensorrt_rtx"].usable
    assert not packages["pycuda.driver"].usable
    assert packages["cv2"].details == {"gui": None, "gstreamer": False, "ffmpeg": True}
    assert packages["onnxruntime"].details == {"providers": ["CPUExecutionProvider"]}


def test_a_fatal_package_is_named_and_the_others_are_tried_again(tmp_path) -> None:
    def run(arguments: Sequence[str], timeout: float) -> Output:
        lines = []
        for name in arguments[3:]:
            lines.append({"package": name})
            if name in ("tensorrt", "pycuda.driver"):
                return Output(-11, "\n".join(map(json.dumps, lines)))
            lines.append({"package": name, "version": "1", "error": None})
        return Output(0, "\n".join(map(json.dumps, lines)))

    packages = probe(Machine(root=tmp_path, run=run))
    broken = {name: package.error for name, package in packages.items() if not package.usable}
    assert broken == dict.fromkeys(
        ("tensorrt", "pycuda.driver"), "importing it ended Python: crashed with signal 11"
    )


def test_a_python_that_says_nothing_at_all_ends(tmp_path) -> None:
    packages = probe(Machine(root=tmp_path, run=lambda arguments, timeout: Output(1, stderr="no module\n")))
    assert {package.error for package in packages.values()} == {"importing it ended Python: no module"}


@pytest.mark.parametrize(
    ("gui", "gstreamer", "expected"),
    [("NONE", "NO", (None, False)), ("GTK3", "YES (1.20.3)", ("GTK3", True)), ("", "", (None, False))],
)
def test_build_information(gui: str, gstreamer: str, expected: tuple[str | None, bool]) -> None:
    text = f"  GUI:                           {gui}\n    GTK+:   YES\n  Video I/O:\n    GStreamer:   {gstreamer}\n"
    parsed = parse_build(text)
    assert (parsed["gui"], parsed["gstreamer"]) == expected
    assert parsed["ffmpeg"] is False


def test_the_build_information_of_the_opencv_that_is_here() -> None:
    assert parse_build(cv2.getBuildInformation())["ffmpeg"] is True
