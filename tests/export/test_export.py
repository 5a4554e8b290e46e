"""A checkpoint to a bundle, or to nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest

from coke_edge.bundle import Bundle
from coke_edge.detector import Detector
from coke_edge.errors import ExportError
from coke_edge.export import export as module
from coke_edge.export.crops import folder_crops
from coke_edge.export.export import export_bundle
from coke_edge.kernels import artifact
from coke_edge.manifest import EvidenceSpec, VisibilitySpec
from coke_edge.stream.images import read_image
from coke_edge.train.checkpoint import Checkpoint
from coke_edge.train.torch_backend import TorchBackend


@pytest.fixture(scope="module")
def bundle(checkpoint: Checkpoint, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "ears.coke"
    export_bundle(checkpoint, out, folder_crops(pictures, checkpoint.spec.input, 10), clutter="all")
    return out


def test_the_bundle_detects_what_torch_detects(checkpoint: Checkpoint, bundle: Path, pictures: Path) -> None:
    exported = Detector(bundle)
    torch = Detector.from_backend(checkpoint.spec, TorchBackend(checkpoint))
    for path in sorted(pictures.glob("*.png")):
        frame = read_image(path)
        for box in (None, (10, 5, 90, 70)):
            actual, expected = exported(frame, box), torch(frame, box)
            np.testing.assert_allclose(actual.xy, expected.xy, atol=0.05)
            np.testing.assert_allclose(actual.similarity, expected.similarity, atol=1e-5)


def test_hidden_keypoints_are_placed_as_torch_places_them(
    placing: Checkpoint, exported_once: None, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "placing.coke"
    crops = list(folder_crops(pictures, placing.spec.input, 10))
    verdicts = export_bundle(placing, out, crops, clutter="all", precisions=["fp16"]).verdicts
    assert all(verdict.passed for verdict in verdicts.values())
    assert Bundle(out).manifest.model.hidden_maps
    assert Bundle(out).banks()["prototypes"].shape == (6, 16)
    exported, torch = Detector(out), Detector.from_backend(placing.spec, TorchBackend(placing))
    judged = []
    for path in sorted(pictures.glob("*.png")):
        actual, expected = exported(read_image(path)), torch(read_image(path))
        assert actual.xy.shape == actual.hidden_xy.shape == (3, 2)
        np.testing.assert_allclose(actual.xy, expected.xy, atol=0.05)
        np.testing.assert_allclose(actual.hidden_xy, expected.hidden_xy, atol=0.05)
        np.testing.assert_allclose(actual.visible, expected.visible, atol=1e-5)
        judged += expected.hidden.tolist()
    assert 0 < sum(judged) < len(judged)  # both states were seen


def test_what_is_in_the_bundle(checkpoint: Checkpoint, bundle: Path) -> None:
    opened = Bundle(bundle)
    manifest = opened.manifest
    assert set(manifest.entries) == {"model.fp32.onnx", "banks.safetensors", "MODEL_CARD.md"}
    assert manifest.name == "ears"
    assert manifest.model == checkpoint.spec
    assert manifest.gate["fp32"]["passed"] is True
    assert manifest.gate["fp32"]["images"] == 10
    assert manifest.gate["fp32"]["pixels"]["max"] <= manifest.gate["fp32"]["limits"]["pixels"] == 0.05
    assert {"coke-edge", "torch", "onnx", "onnxscript", "onnxruntime"} <= set(manifest.versions)
    assert manifest.training["pck"] == {"0.2": 61.5}
    np.testing.assert_array_equal(opened.banks()["clutter"], checkpoint.model.clutter.numpy())


def test_no_folder_of_the_machine_is_in_the_bundle(bundle: Path, pictures: Path) -> None:
    data = bundle.read_bytes()
    for folder in ("/home/someone", str(pictures), str(Path(module.__file__).parents[1])):
        assert folder.encode() not in data
    assert Bundle(bundle).manifest.training["data"] == "lsp:lsp"


def test_same_inputs_same_bytes(checkpoint: Checkpoint, bundle: Path, pictures: Path, tmp_path: Path) -> None:
    again = tmp_path / "ears.coke"
    export_bundle(checkpoint, again, folder_crops(pictures, checkpoint.spec.input, 10), clutter="all")
    assert again.read_bytes() == bundle.read_bytes()


def test_more_peaks(checkpoint: Checkpoint, exported_once: None, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.coke"
    exported = export_bundle(
        checkpoint, out, folder_crops(pictures, checkpoint.spec.input, 3), peaks=4, clutter="all"
    )
    verdicts = exported.verdicts
    assert verdicts["fp32"].peaks > verdicts["fp32"].keypoints
    found = Detector(out)(np.zeros((64, 96, 3), np.uint8))
    assert found.alternatives is not None
    assert found.alternatives.shape == (3, 4, 2)


def test_fewer_peaks_than_the_probability_reads(
    checkpoint: Checkpoint, exported_once: None, pictures: Path, tmp_path: Path
) -> None:
    visibility = VisibilitySpec(4.0, -3.0, -2.0, (0.1, 0.2, 0.3), EvidenceSpec(1.0, 4, 0.07))
    head = dataclasses.replace(checkpoint.spec.head, peaks=4)
    spec = msgspec.structs.replace(checkpoint.spec, visibility=visibility, head=head)
    calibrated = dataclasses.replace(checkpoint, spec=spec)
    crops = folder_crops(pictures, spec.input, 3)
    with pytest.raises(ExportError, match="reads 4 peaks"):
        export_bundle(calibrated, tmp_path / "m.coke", crops, peaks=3, clutter="all")
    assert not (tmp_path / "m.coke").exists()
    verdicts = export_bundle(calibrated, tmp_path / "m.coke", crops, clutter="all").verdicts
    assert verdicts["fp32"].passed


def test_a_smaller_bank_brings_its_own_visibility(
    checkpoint: Checkpoint, exported_once: None, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m.coke"
    visibility = VisibilitySpec(4.0, -3.0, -2.0, (0.1, 0.2, 0.3))
    spec = msgspec.structs.replace(checkpoint.spec, visibility=visibility)
    calibrated = dataclasses.replace(checkpoint, spec=spec)
    exported = export_bundle(calibrated, out, folder_crops(pictures, spec.input, 10), clutter=8)
    opened = Bundle(out)
    banks = opened.banks()
    assert banks["clutter"].shape == (8, 16)
    assert banks["counts"].sum() == 24
    assert opened.manifest.clutter["rows"] == opened.manifest.clutter["tried"][0]["rows"] == 8
    assert exported.clutter.sentence() in opened.read("MODEL_CARD.md").decode().replace("Clutter", "clutter")
    assert opened.manifest.model.visibility not in (None, visibility)
    assert exported.verdicts["fp32"].passed  # the graph holds the bank that torch was given


def test_kernels_for_the_named_gpus(
    checkpoint: Checkpoint, exported_once: None, pictures: Path, tmp_path: Path
) -> None:
    outs = [tmp_path / name / "m.coke" for name in "ab"]
    for out in outs:
        crops = folder_crops(pictures, checkpoint.spec.input, 2)
        export_bundle(checkpoint, out, crops, precisions=["fp16"], clutter="all", targets=["orin"])
    kernels = Bundle(outs[0]).kernels()
    assert kernels is not None
    assert kernels.targets() == ["orin"]
    names = {binary.name for binary in kernels.binaries}
    assert {"match-fp32-nhwc-soft", "match-fp16-nhwc-soft", "peaks-soft"} <= names
    assert {binary.constants["CHANNELS"] for binary in kernels.binaries if "match" in binary.name} == {16}
    for binary in kernels.binaries:
        artifact.verified(binary, Bundle(outs[0]).read(f"kernels/{binary.file}"))
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_an_unknown_gpu_is_refused_before_the_work(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "build_graph", lambda *_: pytest.fail("the work was begun"))
    with pytest.raises(ExportError, match="there is no target 'orion'; choose from"):
        export_bundle(checkpoint, tmp_path / "x.coke", [], targets=["orion"])
    assert not list(tmp_path.iterdir())


def test_a_wrong_graph_leaves_no_file(
    checkpoint: Checkpoint,
    exported_once: None,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(*arguments: Any) -> onnx.ModelProto:
        graph = build(*arguments)
        (weight,) = (i for i in graph.graph.initializer if i.name == "neck.project.bias")
        values = onnx.numpy_helper.to_array(weight) + 0.05
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        return graph

    build = module.build_graph
    monkeypatch.setattr(module, "build_graph", wrong)
    kept = tmp_path / "kept.coke"
    kept.write_bytes(b"the last good one")
    for out in (tmp_path / "new.coke", kept):
        with pytest.raises(ExportError, match="the fp32 graph is not what torch computes") as caught:
            export_bundle(checkpoint, out, folder_crops(pictures, checkpoint.spec.input, 10))
        assert caught.value.exit_code == 3
        assert any(name in str(caught.value) for name in checkpoint.spec.keypoints.names)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.coke"]
    assert kept.read_bytes() == b"the last good one"


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "build_graph", lambda *_: pytest.fail("the work was begun"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot write"):
        export_bundle(checkpoint, tmp_path / "file" / "x.coke", [])
    with pytest.raises(ExportError, match="it is a folder"):
        export_bundle(checkpoint, tmp_path, [])


@pytest.mark.data
@pytest.mark.slow
def test_the_default_network_on_real_photos(data_root: Path, tmp_path: Path) -> None:
    """tf_efficientnet_lite0 with ImageNet weights at 192×192 on Leeds Sports photos."""
    import torch

    from coke_edge.export.crops import dataset_crops
    from coke_edge.kernels.spec import HeadSpec
    from coke_edge.manifest import InputSpec, ModelSpec
    from coke_edge.train.data import load_dataset
    from coke_edge.train.model import CokeModel
    from coke_edge.train.recipe import Recipe

    torch.manual_seed(0)
    dataset = load_dataset(f"lsp:{data_root / 'lsp'}", "val")
    recipe = Recipe()
    model = CokeModel(recipe, 14).eval().requires_grad_(False)
    model.clutter_bank.push(torch.nn.functional.normalize(torch.randn(2560, 128), dim=1))
    mean, std = tuple(model.mean.tolist()), tuple(model.std.tolist())
    spec = ModelSpec(
        dataset.keypoints,
        InputSpec(192, 192, 1.35, (127, 127, 127), mean, std),
        8,
        HeadSpec("log_odds", 0.07, 0.005),
        hidden_maps=model.hidden_maps,
    )
    verdicts = export_bundle(
        Checkpoint(model, spec, recipe, {}),
        tmp_path / "person.coke",
        dataset_crops(dataset, spec.input, 12),
        clutter="all",
    ).verdicts
    assert verdicts["fp32"].keypoints == 12 * 14
    assert verdicts["fp32"].pixels["max"] < 0.01
