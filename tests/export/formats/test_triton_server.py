"""The model repository, read with the server's own definition of its configuration."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import text_format

from coke_edge.bundle import Bundle
from coke_edge.errors import ExportError
from coke_edge.export.formats import triton_server
from coke_edge.export.formats.triton_server import ACCELERATOR, write_triton_server

KINDS = {
    onnx.TensorProto.UINT8: "TYPE_UINT8",
    onnx.TensorProto.INT32: "TYPE_INT32",
    onnx.TensorProto.FLOAT: "TYPE_FP32",
}


@pytest.fixture(scope="module")
def definition() -> Any:
    """`model_config.proto` of Triton Inference Server, as its client library ships it (without loading gRPC)."""
    found = importlib.util.find_spec("tritonclient")
    assert found is not None
    assert found.origin is not None
    path = Path(found.origin).parent / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(definition: Any, text: str) -> Any:
    return text_format.Parse(text, definition.ModelConfig())


@pytest.mark.parametrize("peaks", [1, 3])
def test_the_configuration_says_what_the_graph_is(
    make_bundle: Any, definition: Any, out: Path, peaks: int
) -> None:
    folder = write_triton_server(make_bundle(peaks=peaks), out, max_batch=4)
    assert folder == out / "ears"
    config = read(definition, (folder / "config.pbtxt").read_text())
    assert (config.name, config.backend, config.max_batch_size) == (folder.name, "onnxruntime", 4)
    assert config.HasField("dynamic_batching")
    assert (folder / "1" / config.default_model_filename).is_file()
    graph = onnx.load(folder / "1" / "model.onnx").graph
    for tensors, values in ((config.input, graph.input), (config.output, graph.output)):
        assert [tensor.name for tensor in tensors] == [value.name for value in values]
        for tensor, value in zip(tensors, values, strict=True):
            batch, *dims = value.type.tensor_type.shape.dim
            assert batch.dim_param
            assert list(tensor.dims) == [dim.dim_value for dim in dims]
            assert definition.DataType.Name(tensor.data_type) == KINDS[value.type.tensor_type.elem_type]
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": np.zeros((4, *config.input[0].dims), np.uint8)})
    assert [list(array.shape[1:]) for array in found] == [list(tensor.dims) for tensor in config.output]
    # A label per value, or none: the classification extension counts values.
    labels = (folder / "keypoints.txt").read_text().splitlines()
    assert labels == ["nose", "left ear", "right ear"]
    labelled = {tensor.name: tensor.label_filename for tensor in config.output if tensor.label_filename}
    assert labelled == ({"similarity": "keypoints.txt"} if peaks == 1 else {})


def test_the_accelerator_can_be_uncommented(definition: Any) -> None:
    prose, _, block = ACCELERATOR.partition("uncomment:\n")
    assert all(line.startswith("#") for line in prose.strip().splitlines())
    config = read(definition, re.sub(r"^# ", "", block, flags=re.MULTILINE))
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert accelerator.parameters["precision_mode"] == "FP32"


def test_the_same_bundle_gives_the_same_folder(bundle: Bundle, out: Path) -> None:
    def contents() -> dict[str, bytes]:
        return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}

    write_triton_server(bundle, out)
    first = contents()
    assert set(first) == {
        f"ears/{name}" for name in ("config.pbtxt", "keypoints.txt", "ears.json", "1/model.onnx")
    }
    write_triton_server(bundle, out)
    assert contents() == first


def test_other_models_of_the_repository_stay(bundle: Bundle, make_bundle: Any, out: Path) -> None:
    write_triton_server(bundle, out)
    write_triton_server(make_bundle(name="other"), out)
    assert sorted(path.name for path in out.iterdir()) == ["ears", "other"]


@pytest.mark.parametrize("foreign", ["config.pbtxt", "2/model.onnx", "1/model.plan"])
def test_a_folder_that_somebody_else_wrote_or_changed_is_left_alone(
    bundle: Bundle, out: Path, foreign: str
) -> None:
    folder = write_triton_server(bundle, out)
    (folder / foreign).parent.mkdir(exist_ok=True)
    (folder / foreign).write_text('name: "theirs"\n')
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(ExportError, match="was not written by this export, or was changed since"):
        write_triton_server(bundle, out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_file_in_the_way(bundle: Bundle, out: Path) -> None:
    out.mkdir(parents=True)
    (out / "ears").write_text("mine")
    with pytest.raises(ExportError, match="was not written by this export"):
        write_triton_server(bundle, out)
    assert (out / "ears").read_text() == "mine"


def test_stopped_half_way_nothing_is_left_or_lost(
    bundle: Bundle, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_triton_server(bundle, out)
    kept = (folder / "config.pbtxt").read_bytes()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(triton_server, "replacing", stop)
    with pytest.raises(KeyboardInterrupt):
        write_triton_server(bundle, out)
    monkeypatch.undo()
    calls: list[Path] = []
    rename = Path.rename

    def rename_once(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_once)
    with pytest.raises(KeyboardInterrupt):
        write_triton_server(bundle, out)
    assert len(calls) == 3  # the old one away, the new one refused, the old one back
    assert [path.name for path in out.iterdir()] == ["ears"]
    assert (folder / "config.pbtxt").read_bytes() == kept


@pytest.mark.parametrize("name", ["my model", "../ears", "a/b", "", ".hidden", 'x"', "ohr\n"])
def test_a_name_that_is_none_for_a_folder(make_bundle: Any, out: Path, name: str) -> None:
    with pytest.raises(ExportError, match="is no name for Triton Inference Server"):
        write_triton_server(make_bundle(name=name), out)
    assert not out.exists()


def test_a_place_that_cannot_be_written(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot write"):
        write_triton_server(bundle, tmp_path / "file")
