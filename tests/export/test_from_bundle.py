"""A bundle taken apart: the same network, banks and words, ready to be exported again."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.numpy import save

from coke_edge.bundle import BANKS, Bundle, write_bundle
from coke_edge.errors import CokeError, ExportError
from coke_edge.export.crops import folder_crops
from coke_edge.export.export import export_bundle
from coke_edge.export.from_bundle import checkpoint_of
from coke_edge.manifest import Manifest
from coke_edge.stream.images import read_image
from coke_edge.train.checkpoint import Checkpoint

GRAPH = "model.fp32.onnx"


@pytest.fixture(scope="module", params=[False, True], ids=["", "placing"])
def checkpoint(request: pytest.FixtureRequest, checkpoint: Checkpoint, placing: Checkpoint) -> Checkpoint:
    """Without and with prototypes of hidden keypoints."""
    return placing if request.param else checkpoint


@pytest.fixture(scope="module")
def bundle(checkpoint: Checkpoint, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Of four clutter rows with counts: as a compressed bank is."""
    out = tmp_path_factory.mktemp("bundle") / "ears.coke"
    export_bundle(checkpoint, out, folder_crops(pictures, checkpoint.spec.input, 10), clutter=4)
    return Bundle(out)


def changed(bundle: Bundle, out: Path, manifest: Manifest | None = None, **entries: bytes) -> Bundle:
    """The bundle with other contents, intact as a file."""
    names = {"graph": GRAPH, "banks": BANKS}
    kept = {name: bundle.read(name) for name in bundle.manifest.entries}
    kept |= {names[key]: data for key, data in entries.items()}
    write_bundle(out, manifest or bundle.manifest, kept)
    return Bundle(out)


def test_it_is_the_network_that_was_exported(checkpoint: Checkpoint, bundle: Bundle, pictures: Path) -> None:
    again = checkpoint_of(bundle)
    assert again.spec == bundle.manifest.model
    assert again.training["pck"] == {"0.2": 61.5}
    assert "recipe" not in again.training
    assert again.recipe.channels == checkpoint.recipe.channels
    assert not again.model.training
    torch.testing.assert_close(again.model.all_prototypes, checkpoint.model.all_prototypes)
    image = torch.from_numpy(read_image(next(pictures.glob("*.png")))[None, :64, :96].copy())
    expected = checkpoint.model.features(image)
    torch.testing.assert_close(
        again.model.features(image), expected, rtol=0.0, atol=1e-4 * float(expected.abs().max())
    )


def test_a_row_of_clutter_stands_as_often_as_it_was_counted(bundle: Bundle) -> None:
    banks = bundle.banks()
    rows, counts = np.unique(checkpoint_of(bundle).model.clutter.numpy(), axis=0, return_counts=True)
    order = np.lexsort(banks["clutter"].T[::-1])
    np.testing.assert_array_equal(rows, banks["clutter"][order])
    np.testing.assert_array_equal(counts, banks["counts"][order])


def test_exported_again_it_finds_the_same(bundle: Bundle, pictures: Path, tmp_path: Path) -> None:
    again = checkpoint_of(bundle)
    out = tmp_path / "again.coke"
    export_bundle(again, out, folder_crops(pictures, again.spec.input, 10), clutter="all")
    one, two = bundle.manifest, Bundle(out).manifest
    assert two.model == one.model
    assert two.training == one.training
    graphs = [onnx.load_from_string(b.read(GRAPH)).graph for b in (bundle, Bundle(out))]
    first, second = ({i.name: numpy_helper.to_array(i) for i in g.initializer} for g in graphs)
    assert first.keys() - second.keys() <= {"bank.counts"}
    for name in first.keys() & second.keys() - {"bank.clutter"}:
        np.testing.assert_allclose(second[name], first[name], rtol=1e-4, atol=1e-6)


def test_a_graph_of_another_network_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    banks = bundle.banks()
    turned = banks | {"prototypes": banks["prototypes"][::-1].copy()}
    with pytest.raises(ExportError, match="cannot be taken apart again: export its checkpoint"):
        checkpoint_of(changed(bundle, tmp_path / "turned.coke", banks=save(turned)))


def test_a_graph_that_lacks_a_layer_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    model = onnx.load_from_string(bundle.read(GRAPH))
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1] == "neck.project.weight":
            node.input[1] = "other.weight"
    for initialiser in model.graph.initializer:
        if initialiser.name == "neck.project.weight":
            initialiser.name = "other.weight"
    with pytest.raises(ExportError, match="cannot be taken apart again"):
        checkpoint_of(changed(bundle, tmp_path / "other.coke", graph=model.SerializeToString()))


def test_more_clutter_than_its_recipe_has_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    banks = bundle.banks()
    more = banks | {"counts": banks["counts"] + 20}
    with pytest.raises(ExportError, match="more clutter than its recipe"):
        checkpoint_of(changed(bundle, tmp_path / "more.coke", banks=save(more)))


def test_a_bundle_without_a_recipe_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    manifest = msgspec.structs.replace(bundle.manifest, training={})
    with pytest.raises(CokeError, match="does not say by which recipe"):
        checkpoint_of(changed(bundle, tmp_path / "none.coke", manifest))
