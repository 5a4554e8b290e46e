"""A checkpoint by our kernels, in Triton's interpreter, against the same checkpoint by torch on the CPU."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import torch

from coke_edge.backends import Staged
from coke_edge.detector import Detector
from coke_edge.errors import BackendError
from coke_edge.geometry import Affine, box_to_crop
from coke_edge.kernels.torch_pipeline import STAGES
from coke_edge.train import accelerator
from coke_edge.train.accelerator import chosen, open_backend, precisions, resolve
from coke_edge.train.evaluate import open_model
from coke_edge.train.fused_backend import FusedBackend
from coke_edge.train.methods import create_model
from coke_edge.train.model import CokeModel
from coke_edge.train.recipe import make_recipe
from coke_edge.train.torch_backend import TorchBackend

WIDTH, HEIGHT = 64, 32  # as small as the backbone takes, but not square
FRAME = np.random.default_rng(0).integers(0, 256, (90, 140, 3), dtype=np.uint8)
pytestmark = pytest.mark.usefixtures("one_thread")

# By whole pixels, partly beyond the border: no two ways to interpolate differ.
SHIFTS = [np.array([[1.0, 0, -dx], [0, 1.0, -dy]]) for dx, dy in ((-7, 70),)]


@pytest.fixture(scope="module")
def trained(world) -> SimpleNamespace:
    """A small model with random weights and a bank of clutter."""
    torch.manual_seed(0)
    model = create_model(make_recipe("tiny", pretrained="none"), 4).eval().requires_grad_(False)
    assert isinstance(model, CokeModel)
    for module in model.modules():  # statistics that folding has to get right
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    channels = model.recipe.channels
    model.clutter_bank.push(torch.nn.functional.normalize(torch.randn(50, channels), dim=1))
    mean, std = (tuple(float(v) for v in values) for values in (model.mean, model.std))
    size = msgspec.structs.replace(world.spec.input, width=WIDTH, height=HEIGHT, mean=mean, std=std)
    head = dataclasses.replace(world.spec.head, rule="log_odds", peaks=2)
    spec = msgspec.structs.replace(world.spec, input=size, head=head, hidden_maps=model.hidden_maps)
    return SimpleNamespace(model=model, spec=spec)


def agree(found, expected, tolerance: float) -> None:
    """Peaks of the same scores, in the same cells but where two score alike."""
    scores, others = (peaks.neighbourhood[..., 1, 1] for peaks in (found, expected))
    np.testing.assert_array_equal(np.isfinite(scores), np.isfinite(others))  # a map may have one peak alone
    difference = np.abs(np.subtract(scores, others, out=np.zeros_like(scores), where=np.isfinite(scores)))
    assert difference.max() < tolerance
    same = found.index == expected.index
    assert same.mean() > 0.8
    for name in ("similarity", "clutter", "soft_clutter"):
        ours, theirs = getattr(found, name)[same], getattr(expected, name)[same]
        np.testing.assert_allclose(ours, theirs, atol=tolerance)


def test_it_gives_what_torch_gives_on_the_cpu(trained):
    backend = FusedBackend(trained.model, trained.spec, "fp32", "cpu")
    assert (backend.name, backend.precision) == ("torch on cpu, fp32", "fp32")
    assert isinstance(backend, Staged)
    found = backend(FRAME, SHIFTS)
    assert found.index.shape == (1, 8, 2)  # of four keypoints, visible and hidden
    agree(found, TorchBackend(trained)(FRAME, SHIFTS), 1e-4)
    kept = [values.copy() for values in found]

    keypoints, parts = Detector.from_backend(trained.spec, backend).stages(FRAME, [(10, 5, 80, 60)])
    assert len(keypoints) == 1
    assert list(parts) == [*STAGES, "decode"]
    assert min(parts.values()) >= 0
    assert min(parts["warp"], parts["backbone"], parts["head"]) > 0
    for values, copy in zip(found, kept, strict=True):
        np.testing.assert_array_equal(values, copy)  # the next call does not write into it


def test_half_precision_rounds_and_leaves_the_model_alone(trained):
    before = {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}
    crops: list[Affine] = [box_to_crop((10, 5, 80, 60), WIDTH, HEIGHT)]  # pixels a grey level apart
    found, parts = FusedBackend(trained.model, trained.spec, "fp16", "cpu").stages(FRAME, crops)
    agree(found, TorchBackend(trained)(FRAME, crops), 0.03)
    assert tuple(parts) == STAGES
    assert all(torch.equal(before[name], tensor) for name, tensor in trained.model.state_dict().items())


def test_the_cpu_backend_tells_its_stages(trained):
    backend = TorchBackend(trained)
    found, parts = backend.stages(FRAME, SHIFTS)
    for ours, theirs in zip(found, backend(FRAME, SHIFTS), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert list(parts) == ["warp", "network"]


def test_where_a_checkpoint_runs(trained, monkeypatch, tmp_path):
    assert isinstance(open_backend(trained, *chosen()), TorchBackend)
    assert precisions() == ("fp32",)
    for wrong, message in ((("auto", "cuda"), "torch sees no NVIDIA GPU here: take --accelerator cpu"),
                           (("auto", "tpu"), "--accelerator is one of auto, cpu, cuda, not 'tpu'"),
                           (("fp16", "cpu"), "runs in fp32 on the CPU, not in fp16: export it with")):  # fmt: skip
        with pytest.raises(BackendError, match=message):
            chosen(*wrong)
        with pytest.raises(BackendError, match=message):
            open_model(str(tmp_path), "torch", *wrong)
    with pytest.raises(BackendError, match=r"person\.coke is a bundle, whose backend is its accelerator"):
        open_model("person.coke", accelerator="cuda")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (resolve(), resolve("cpu"), precisions()) == ("cuda", "cpu", ("fp32", "fp16", "bf16"))
    assert chosen("fp16") == ("fp16", "cuda")
    monkeypatch.setattr(accelerator.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match="the kernels need Triton"):
        open_backend(trained, "fp32", "cuda")
    baseline = SimpleNamespace(model=torch.nn.Identity(), spec=trained.spec)
    with pytest.raises(
        BackendError, match="the kernels serve the method coke alone: run this checkpoint in fp32"
    ):
        open_backend(baseline, "fp16", "cuda")
