"""A bundle of one category of a joint model, against all of the model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest

from coke_edge.bundle import Bundle
from coke_edge.detector import Detector
from coke_edge.errors import BackendError
from coke_edge.export.crops import Crop, dataset_crops
from coke_edge.export.export import export_bundle
from coke_edge.export.narrow import narrow_crop
from coke_edge.manifest import EvidenceSpec, Keypoints2D, VisibilitySpec
from coke_edge.stream.images import read_image
from coke_edge.train.checkpoint import Checkpoint
from coke_edge.train.data.joint import join
from coke_edge.train.data.sample import VISIBLE, KeypointDataset, Sample
from coke_edge.train.torch_backend import TorchBackend

PARTS = {"cup": Keypoints2D(("rim",)), "pot": Keypoints2D(("left_ear", "right_ear"), ((0, 1),), ((0, 1),))}
LAYOUT = join(PARTS)
PIXELS, PROBABILITY = 0.01, 1e-5  # how far the category may be from the same keypoints among all


@pytest.fixture(scope="module", params=[False, True], ids=["", "placing"])
def joint(request: pytest.FixtureRequest, checkpoint: Checkpoint, placing: Checkpoint) -> Checkpoint:
    """The small network, whose keypoints belong to a cup and a pot; with maps of hidden keypoints, too."""
    checkpoint = placing if request.param else checkpoint
    visibility = VisibilitySpec(4.0, -3.0, -2.0, (0.1, 0.2, 0.3))
    if checkpoint.spec.hidden_maps:
        visibility = VisibilitySpec(4.0, -3.0, -2.0, (0.1, 0.2, 0.3), EvidenceSpec(1.0, 2, 0.07, hidden=-1.0))
    spec = msgspec.structs.replace(checkpoint.spec, keypoints=LAYOUT.keypoints, visibility=visibility)
    return dataclasses.replace(checkpoint, spec=spec)


@pytest.fixture(scope="module")
def pots(pictures: Path) -> KeypointDataset:
    """A generated joint data set: every second picture shows a cup, the others a pot."""
    samples = []
    for number, path in enumerate(sorted(pictures.glob("*.png"))):
        category = ("cup", "pot")[number % 2]
        count = len(PARTS[category].names)
        points = np.random.default_rng(number).uniform(10, 70, (count, 2)).astype(np.float32)
        placed = LAYOUT.place(category, points, np.full(count, VISIBLE, np.uint8))
        box = np.array([5, 5, 110, 75], np.float32)
        samples.append(Sample(path, *placed, box, path.stem, {"category": category}))
    return KeypointDataset("pots", "val", LAYOUT.keypoints, samples, "box", marks_hidden=True)


def test_one_category_is_found_as_among_all(
    joint: Checkpoint, pots: KeypointDataset, exported_once: None, tmp_path: Path
) -> None:
    whole, part = tmp_path / "all.coke", tmp_path / "pot.coke"
    crops = list(dataset_crops(pots, joint.spec.input, 10))
    export_bundle(joint, whole, crops, clutter="all")
    exported = export_bundle(joint, part, crops, clutter="all", keypoints="pot/")
    manifest, banks = Bundle(part).manifest, Bundle(part).banks()
    assert manifest.model.keypoints == Keypoints2D(("pot/left_ear", "pot/right_ear"), ((0, 1),), ((0, 1),))
    assert manifest.model.visibility == msgspec.structs.replace(joint.spec.visibility, bias=(0.2, 0.3))
    assert manifest.training["keypoints_kept"] == {"named": "pot/", "count": 2, "of": 3}
    kept = [row for row in range(joint.spec.maps) if row % 3]
    np.testing.assert_array_equal(banks["prototypes"], joint.model.all_prototypes[kept].numpy())
    np.testing.assert_array_equal(banks["clutter"], Bundle(whole).banks()["clutter"])
    pck = exported.verdicts["fp32"].pck
    assert pck is not None
    assert (pck.truth, pck.keypoints) == (
        "annotations",
        10,
    )  # the cups' pictures label none of the pot's keypoints

    among_all, named, alone = Detector(whole), Detector(whole, keypoints="pot/"), Detector(part)
    torch = Detector.from_backend(joint.spec, TorchBackend(joint))
    for sample in pots.samples:
        frame = read_image(sample.image)
        found = alone(frame, sample.box)
        assert found.names == named(frame, sample.box).names == ("pot/left_ear", "pot/right_ear")
        for expected in (among_all(frame, sample.box), torch(frame, sample.box)):
            np.testing.assert_allclose(found.xy, expected.xy[1:], atol=PIXELS)
            np.testing.assert_allclose(found.visible, expected.visible[1:], atol=PROBABILITY)
            np.testing.assert_allclose(found.similarity, expected.similarity[1:], atol=PROBABILITY)


def test_a_smaller_clutter_bank_and_other_precisions_go_with_it(
    joint: Checkpoint, pots: KeypointDataset, exported_once: None, tmp_path: Path
) -> None:
    out = tmp_path / "pot.coke"
    exported = export_bundle(
        joint,
        out,
        dataset_crops(pots, joint.spec.input, 10),
        precisions=["fp16"],
        clutter=8,
        keypoints="pot/right",
    )
    assert exported.verdicts["fp32"].passed
    assert exported.verdicts["fp16"].keypoints <= 10
    assert Bundle(out).banks()["clutter"].shape == (8, 16)
    assert len(Bundle(out).manifest.model.visibility.bias) == 1  # type: ignore[union-attr]


def test_an_unknown_category_is_refused_before_the_work(joint: Checkpoint, tmp_path: Path) -> None:
    crops = (pytest.fail("the work was begun") for _ in range(1))
    with pytest.raises(
        BackendError, match="begins with 'pat/', perhaps pot/ is meant; choose among cup/, pot/"
    ):
        export_bundle(joint, tmp_path / "x.coke", crops, keypoints="pat/")
    assert not list(tmp_path.iterdir())


def test_a_crop_without_a_label_stays_without(pictures: Path) -> None:
    crop = Crop("a.png", np.zeros((4, 4, 3), np.uint8))
    assert narrow_crop(crop, np.array([1])) is crop
