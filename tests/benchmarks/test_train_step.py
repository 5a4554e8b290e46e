"""The benchmark of a training step: it does what the trainer does, in turns, and keeps what it saw."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import torch

from coke_edge.benchmarks import train_step
from coke_edge.benchmarks.train_step_forms import FORMS, PHASES, Form, TrainStep, random_batch
from coke_edge.train.recipe import Recipe, make_recipe


@pytest.fixture
def recipe() -> Recipe:
    return make_recipe(
        "edge", backbone="test_efficientnet", pretrained="none", width=64, height=64, channels=16, context=1,
        batch_size=4, clutter_size=64, clip=0.0,
    )  # fmt: skip


@pytest.mark.parametrize("method", ["coke", "heatmap"])
def test_the_gradients_in_two_parts_are_those_of_the_whole(method, recipe: Recipe) -> None:
    batch, device = random_batch(recipe, 5), torch.device("cpu")
    step, whole = (TrainStep(Form(method), batch, recipe, device) for _ in range(2))
    whole.model(batch).total.backward()
    assert set(step()) == set(PHASES)
    expected = {name: p.grad for name, p in whole.model.named_parameters() if p.grad is not None}
    found = {name: p.grad for name, p in step.model.named_parameters() if p.grad is not None}
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        assert gradient is not None
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_forms_are_what_their_names_say(recipe: Recipe) -> None:
    assert len({form.name for form in FORMS}) == len(FORMS)
    assert set(train_step.REFERENCE.values()) <= {form.name for form in FORMS}
    batch, device = random_batch(recipe, 5), torch.device("cpu")
    for channels_last in (True, False):
        step = TrainStep(Form(channels_last=channels_last), batch, recipe, device)
        features = step.model.features(batch.image)
        assert features.is_contiguous(memory_format=torch.channels_last) == channels_last
        assert int(step.model.clutter_bank.filled) == 64  # full, as in all but the first epoch
    assert TrainStep(Form("heatmap", precision="bf16"), batch, recipe, device).recipe.precision == "bf16"


def test_forms_take_turns_and_one_that_fails_stops_none() -> None:
    order: list[str] = []

    def step(name: str):
        def one() -> dict[str, float]:
            order.append(name)
            if name == "broken":
                raise RuntimeError("no compiler\nat all")
            return {"network": 60.0, "head": 20.0, "network backward": 100.0, "update": 20.0}

        return one

    names = ("coke fp32 channels-last", "broken", "heatmap fp32 channels-last")
    ready, failed = train_step.warmed_up({name: step(name) for name in names})
    samples = train_step.take_turns(ready, rounds=3, seconds=60)
    assert order == [names[0]] * 2 + ["broken"] + [names[2]] * 2 + [names[0], names[2]] * 3
    assert failed == {"broken": "RuntimeError: no compiler"}
    result = train_step.document(samples, failed, 16)
    form = result["forms"]["coke fp32 channels-last"]
    assert form["images_per_second"] == pytest.approx(80.0)  # 16 in 200 ms
    assert form["head_share"] == pytest.approx(0.1)
    assert len(form["samples_ms"]) == 3
    text = train_step.table(result)
    assert "| coke fp32 channels-last | 80.0 | 200 | 1.00 × | 20.0 | 10.0 % |" in text
    assert "| broken | failed: RuntimeError: no compiler |" in text


def test_the_command_writes_every_sample(tmp_path: Path, capsys) -> None:
    keys = {"backbone": "test_efficientnet", "pretrained": "none", "width": 64, "height": 64, "batch_size": 2}
    (tmp_path / "small.yaml").write_bytes(msgspec.yaml.encode(keys))
    out = tmp_path / "result.json"
    options = [
        "--device",
        "cpu",
        "--recipe",
        str(tmp_path / "small.yaml"),
        "--out",
        str(out),
        "--rounds",
        "2",
    ]
    assert train_step.main([*options, "--only", "heatmap fp32 contiguous"]) == 0
    result = json.loads(out.read_text())
    assert set(result["forms"]) == {"heatmap fp32 contiguous"}
    assert all(len(form["samples_ms"]) == 2 for form in result["forms"].values())
    assert result["recipe"]["batch_size"] == 2
    assert str(tmp_path) not in out.read_text()
    assert train_step.main([*options, "--only", "nonsense"]) == 2
    assert "no form fits nonsense" in capsys.readouterr().err


def test_the_notes_hold_the_table_of_the_committed_result() -> None:
    folder = Path(__file__).parents[2] / "benchmarks"
    notes = (folder / "NOTES-training.md").read_text()
    for path in (folder / "results" / "training").glob("*.json"):
        assert f"results/training/{path.name}" in notes
        assert train_step.table(json.loads(path.read_text())) in notes
