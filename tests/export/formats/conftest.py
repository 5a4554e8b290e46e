"""Bundles of the small random network, with and without calibration and lower peaks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import msgspec
import onnx
import onnx_ir as ir
import pytest
import safetensors.numpy

from coke_edge.bundle import Bundle, write_bundle
from coke_edge.export import graph
from coke_edge.export.banks import Banks
from coke_edge.export.clutter import compress
from coke_edge.manifest import Manifest, VisibilitySpec
from coke_edge.train.checkpoint import Checkpoint

MakeBundle = Callable[..., Bundle]


@pytest.fixture(scope="session")
def make_bundle(
    checkpoint: Checkpoint, exported_bytes: bytes, tmp_path_factory: pytest.TempPathFactory
) -> MakeBundle:
    """Function (name, peaks, calibrated, rule, clutter rows) → bundle."""

    def make(
        name: str = "ears", peaks: int = 1, calibrated: bool = True, rule: str = "log_odds", rows: int = 24
    ) -> Bundle:
        spec = msgspec.structs.replace(
            checkpoint.spec,
            head=dataclasses.replace(checkpoint.spec.head, peaks=peaks, rule=rule),
            visibility=VisibilitySpec(6.0, -2.0, 3.0, (0.5, 0.0, -0.5)) if calibrated else None,
        )
        banks = Banks.of(checkpoint.model)
        banks = banks if rows == len(banks.clutter) else compress(banks, rows)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                graph, "export_features", lambda *_: ir.from_proto(onnx.load_from_string(exported_bytes))
            )
            data = graph.serialise(graph.build_graph(checkpoint.model, spec, banks))
        path = tmp_path_factory.mktemp("bundle") / "made.coke"
        entries = {"model.fp32.onnx": data, "banks.safetensors": safetensors.numpy.save(banks.arrays())}
        write_bundle(path, Manifest(name, spec, {}), entries)
        return Bundle(path)

    return make


@pytest.fixture(scope="session")
def bundle(make_bundle: MakeBundle) -> Bundle:
    """One peak, calibrated."""
    return make_bundle()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder to write into that does not exist yet."""
    return tmp_path / "new" / "folder"
