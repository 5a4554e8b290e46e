"""The head's part of a graph, from calls in turns."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import onnxruntime
import pytest

from coke_edge.backends.onnxruntime import INPUT, graph_entry
from coke_edge.benchmarks import head_share
from coke_edge.bundle import Bundle


def test_without_head_the_graph_ends_at_the_features() -> None:
    bundle = Bundle("demo")
    model, graph = bundle.manifest.model, head_share.without_head(bundle.read(graph_entry(bundle, "fp32")))
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (features,) = session.run(
        None, {INPUT: np.zeros((1, model.input.height, model.input.width, 3), np.uint8)}
    )
    height, width = model.input.height // model.stride, model.input.width // model.stride
    assert features.ndim == 4
    assert features.shape[2:] == (height, width)


def test_a_graph_with_another_head_is_refused() -> None:
    value = onnx.helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, [1])
    other = onnx.helper.make_model(onnx.helper.make_graph([], "none", [value], [value]))
    with pytest.raises(ValueError, match="no node coke::Match"):
        head_share.without_head(other.SerializeToString())


def test_the_part_is_that_of_the_turns() -> None:
    moods = np.random.default_rng(0).uniform(5, 15, 200)  # of the machine: both calls of a turn share one
    part, low, high = head_share.head_of(np.stack([1.05 * moods, moods], axis=1))
    assert low <= part <= high
    assert part == pytest.approx(0.05 / 1.05, rel=0.05)


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["head_share", "demo", "--rounds", "3"])
    head_share.main()
    assert "% of the whole" in capsys.readouterr().out
