from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from coke_edge.doctor.trial import detect, numbers
from coke_edge.errors import BundleError


def test_distances_are_in_pixels_of_the_crop(bundle_path: Path, spec) -> None:
    found = detect(str(bundle_path), "onnxruntime", "fp32")
    assert found["names"] == ["blue", "green", "red"]
    xy = np.array(found["xy"], dtype=float)
    size = spec.input
    # The colour model finds something in any picture; all of it within one crop of 96 by 64.
    assert (np.ptp(xy, axis=0) <= (size.width, size.height)).all()
    assert np.isfinite(np.array(found["similarity"], dtype=float)).all()


def test_nan_is_none() -> None:
    assert numbers(np.array([[1.0, np.nan], [2.0, 3.0]])) == [[1.0, None], [2.0, 3.0]]


def test_a_missing_bundle() -> None:
    with pytest.raises(BundleError):
        detect("none.coke", "onnxruntime", "fp32")


def test_the_process_prints_one_object(bundle_path: Path) -> None:
    def run(*arguments: str) -> dict[str, object]:
        command = [sys.executable, "-m", "coke_edge.doctor.trial", *arguments]
        printed: dict[str, object] = json.loads(
            subprocess.run(command, capture_output=True, text=True, check=True).stdout
        )
        return printed

    assert run(str(bundle_path), "onnxruntime", "fp32").keys() == {
        "names",
        "xy",
        "similarity",
        "clutter",
        "visible",
    }
    assert "there is no backend 'magic'" in str(run(str(bundle_path), "magic", "fp32")["error"])
