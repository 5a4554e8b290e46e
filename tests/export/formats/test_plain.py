"""A plain ONNX file that can be used by what its sidecar says alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest

from coke_edge.bundle import DEMO, Bundle
from coke_edge.detector import Detector
from coke_edge.errors import BundleError, ExportError
from coke_edge.export.formats.plain import write_onnx

PICTURE = "demo.jpg"  # in the package, beside the demo model


def use(description: dict[str, Any], folder: Path, frame: Any, box: Any) -> Any:
    """Keypoints [K, 3] in the frame: no line of this project, only what the JSON says."""
    size = description["input"]
    if box is None:
        height, width = frame.shape[:2]
        (x0, y0, x1, y1), margin = (-0.5, -0.5, width - 0.5, height - 0.5), 1.0
    else:
        (x0, y0, x1, y1), margin = box, size["box_margin"]
    scale = min(size["width"] / (x1 - x0), size["height"] / (y1 - y0)) / margin
    shift_x = (size["width"] - 1) / 2 - scale * (x0 + x1) / 2
    shift_y = (size["height"] - 1) / 2 - scale * (y0 + y1) / 2
    crop = cv2.warpAffine(
        frame,
        np.array([[scale, 0, shift_x], [0, scale, shift_y]]),
        (size["width"], size["height"]),
        flags=cv2.INTER_LINEAR,
        borderValue=size["border"],
    )
    session = onnxruntime.InferenceSession(
        folder / description["model"]["file"], providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(["keypoints"], {size["name"]: crop[None]})
    x, y, visible = found[0].T
    return np.stack([(x - shift_x) / scale, (y - shift_y) / scale, visible], axis=1)


@pytest.mark.parametrize("box", [None, (0.0, 63.0, 331.0, 511.0)])
def test_the_demo_by_its_sidecar_alone(tmp_path: Path, box: Any) -> None:
    """A real photo: places within 1e-3 crop pixels of the detector's."""
    frame = cv2.imread(str(Path(str(Bundle(DEMO).path)).with_name(PICTURE)))
    graph, description = write_onnx(Bundle(DEMO), tmp_path / "person.onnx")
    content = json.loads(description.read_text())
    actual, expected = use(content, tmp_path, frame, box), Detector(DEMO)(frame, box)
    assert tuple(content["keypoints"]["names"]) == expected.names
    scale = np.ptp(expected.box[::2]) / content["input"]["width"]  # frame pixels per crop pixel, at most
    np.testing.assert_allclose(actual[:, :2], expected.xy, rtol=0, atol=1e-3 * max(scale, 1))
    np.testing.assert_allclose(actual[:, 2], expected.visible, rtol=0, atol=1e-5)
    assert content["model"]["sha256"] == hashlib.sha256(graph.read_bytes()).hexdigest()


def test_what_is_written(bundle: Bundle, out: Path) -> None:
    paths = write_onnx(bundle, out / "ears.onnx")
    assert paths == [out / "ears.onnx", out / "ears.json"]
    assert sorted(out.iterdir()) == sorted(paths)
    content = json.loads(paths[1].read_text())
    assert content["input"]["shape"] == ["batch", 64, 96, 3]
    assert content["input"]["border"] == [120, 110, 100]
    assert content["model"]["bundle_sha256"] == bundle.sha256
    session = onnxruntime.InferenceSession(paths[0], providers=["CPUExecutionProvider"])
    described = {name: (output["dtype"], output["shape"]) for name, output in content["outputs"].items()}
    kinds = {"tensor(float)": "float32", "tensor(int32)": "int32"}
    assert described == {node.name: (kinds[node.type], node.shape) for node in session.get_outputs()}
    assert list(described) == [node.name for node in session.get_outputs()]
    assert not session.get_modelmeta().custom_metadata_map


def test_an_uncalibrated_model_says_so(make_bundle: Any, out: Path) -> None:
    _, description = write_onnx(make_bundle(calibrated=False), out / "ears.onnx")
    assert "not calibrated" in json.loads(description.read_text())["outputs"]["keypoints"]["values"][2]


def test_the_same_bundle_gives_the_same_bytes(bundle: Bundle, out: Path) -> None:
    first = [path.read_bytes() for path in write_onnx(bundle, out / "ears.onnx")]
    again = [
        path.read_bytes() for path in write_onnx(bundle, out / "ears.onnx")
    ]  # over those of the first time
    assert first == again


@pytest.mark.parametrize("name", ["ears.onnx", "ears.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\x08\x0ano graph of ours"])
def test_a_file_of_somebody_else_is_left_alone(
    bundle: Bundle, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ExportError, match=f"{name} is there and was not written by this export"):
        write_onnx(bundle, tmp_path / "ears.onnx")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == content


def test_bad_requests(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"name a file that ends in \.onnx"):
        write_onnx(bundle, tmp_path / "ears")
    with pytest.raises(BundleError, match=r"no model\.int8\.onnx"):
        write_onnx(bundle, tmp_path / "ears.onnx", "int8")
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot write"):
        write_onnx(bundle, tmp_path / "file" / "ears.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ExportError, match="it is a folder"):
        write_onnx(bundle, tmp_path / "folder.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.onnx"]
