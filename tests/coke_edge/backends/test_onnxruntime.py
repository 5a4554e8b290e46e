from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from coke_edge.backends import open_backend
from coke_edge.bundle import Bundle, write_bundle
from coke_edge.detector import Detector
from coke_edge.errors import BackendError
from coke_edge.geometry import box_to_crop, frame_box
from coke_edge.kernels.reference import match
from coke_edge.manifest import Manifest
from coke_edge.preprocess import crop


def test_peaks_are_those_of_the_definition(bundle_path: Path) -> None:
    bundle = Bundle(bundle_path)
    model = bundle.manifest.model
    frame = np.random.default_rng(0).integers(0, 256, (130, 170, 3), np.uint8)
    crops = [box_to_crop(frame_box(170, 130), 96, 64), box_to_crop((10, 10, 100, 90), 96, 64)]
    peaks = open_backend(bundle, "onnxruntime", threads=1)(frame, crops)
    images = np.stack([crop(frame, affine, model.input) for affine in crops]).astype(np.float32)
    pooled = images.reshape(2, 8, 8, 12, 8, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2)
    banks = bundle.banks()
    expected = match(pooled, banks["prototypes"], banks["clutter"], model.head)
    assert np.array_equal(peaks.index, expected.index)
    for found, wanted in zip(peaks[1:], expected[1:], strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_auto_and_unknown_names(bundle_path: Path) -> None:
    bundle = Bundle(bundle_path)
    assert open_backend(bundle).name == "onnxruntime"
    with pytest.raises(BackendError, match="choose from auto, onnxruntime"):
        open_backend(bundle, "magic")
    with pytest.raises(BackendError, match="threads"):
        open_backend(bundle, threads=-1)


def test_onnxruntime_that_is_not_installed(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match="pip install onnxruntime"):
        open_backend(Bundle(bundle_path))


def test_a_graph_that_is_none(tmp_path: Path, manifest: Manifest, entries: dict[str, bytes]) -> None:
    path = tmp_path / "x.coke"
    write_bundle(path, manifest, entries | {"model.fp32.onnx": b"no graph"})
    with pytest.raises(BackendError, match=r"refuses model\.fp32\.onnx") as caught:
        open_backend(Bundle(path))
    assert "\n" not in str(caught.value)


def test_a_graph_unlike_its_manifest(tmp_path: Path, manifest: Manifest, entries: dict[str, bytes]) -> None:
    size = msgspec.structs.replace(manifest.model.input, width=104)
    other = msgspec.structs.replace(manifest, model=msgspec.structs.replace(manifest.model, input=size))
    path = tmp_path / "x.coke"
    write_bundle(path, other, entries)
    with pytest.raises(BackendError, match=r"image of the graph .* export it again"):
        open_backend(Bundle(path))


def test_auto_is_the_exact_one(tmp_path: Path, manifest: Manifest, entries: dict[str, bytes]) -> None:
    path = tmp_path / "x.coke"
    graph = entries["model.fp32.onnx"]
    write_bundle(path, manifest, entries | {"model.uint8.onnx": b"no graph", "model.fp16.onnx": graph})
    bundle = Bundle(path)
    assert open_backend(bundle, "onnxruntime").name == "onnxruntime"
    assert open_backend(bundle, "onnxruntime", precision="fp32").name == "onnxruntime"
    assert open_backend(bundle, "onnxruntime", precision="fp16").name == "onnxruntime, fp16"
    with pytest.raises(BackendError, match=r"refuses model\.uint8\.onnx"):
        open_backend(bundle, "onnxruntime", precision="int8")


def test_int8_is_the_graph_for_cpus(tmp_path: Path, manifest: Manifest, entries: dict[str, bytes]) -> None:
    path = tmp_path / "x.coke"
    graph = entries["model.fp32.onnx"]
    write_bundle(path, manifest, entries | {"model.uint8.onnx": graph, "model.int8.onnx": b"for GPUs"})
    detector = Detector(path, "onnxruntime", precision="int8")
    assert detector.backend.name == "onnxruntime, int8"


def test_a_precision_that_is_not_there(
    bundle_path: Path, tmp_path: Path, manifest: Manifest, entries: dict[str, bytes]
) -> None:
    with pytest.raises(BackendError, match=r"no int8 graph for CPUs, only fp32; .* --precision fp32,int8"):
        open_backend(Bundle(bundle_path), "onnxruntime", precision="int8")
    path = tmp_path / "x.coke"
    write_bundle(path, manifest, entries | {"model.int8.onnx": b"for GPUs"})
    with pytest.raises(BackendError, match="no int8 graph for CPUs, only fp32"):
        open_backend(Bundle(path), "onnxruntime", precision="int8")
    with pytest.raises(BackendError, match="onnxruntime runs fp32, fp16, int8 on the CPU, not fp8"):
        open_backend(Bundle(path), "onnxruntime", precision="fp8")
