"""The plugins' kernels in the GPU check, over the fake driver: it takes cubins, so PTX is one here."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest
from fake_cuda import cubins
from fake_tensorrt import plugin_kernels

from coke_edge.benchmarks.gpu_check import binaries, launched
from coke_edge.kernels import artifact
from coke_edge.kernels.artifact import Artifact
from coke_edge.kernels.driver import open_driver


def as_cubins(fake: Any, folder: Path) -> None:
    """Kernels for plugins of an Orin, each in a file that the fake driver loads."""
    made, contents = [], {}
    for binary in plugin_kernels.build(folder, dtypes=["fp16", "fp32"]).binaries:
        if binary.ptx:
            types = [parameter.type for parameter in binary.parameters]
            content = cubins.cubin(binary.symbol, types, binary.block, salt=binary.name)
            digest = hashlib.sha256(content).hexdigest()
            binary = dataclasses.replace(binary, sha256=digest, size=len(content))
            fake.kernel(content, lambda fake, launch, binary=binary: plugin_kernels.run(fake, launch, binary))
            made.append(binary)
            contents[binary.file] = content
    artifact.write(folder, Artifact(tuple(made), {}), contents)


@pytest.mark.parametrize("spoil", [0, 1])
def test_the_plugins_are_launched_and_judged(
    fake_cuda: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: int
) -> None:
    run = plugin_kernels.numpy_kernels.peaks

    def peaks(call: Any) -> None:
        run(call)
        words = call.array("packed", 1)
        words += spoil

    monkeypatch.setattr(plugin_kernels.numpy_kernels, "peaks", peaks)
    monkeypatch.setattr(launched, "SHAPES", ((3, 5, 8, 7, 65), (2, 5, 8, 3, 0)))
    as_cubins(fake_cuda, tmp_path)
    driver = open_driver("cuda-python")
    rows = list(binaries.of_folder(driver, tmp_path, "given"))
    driver.close()
    assert [row["name"].split()[1] for row in rows] == ["plugin-match-fp16", "plugin-match-fp32"]
    assert {row["status"] for row in rows} == {"failed" if spoil else "passed"}
    assert fake_cuda.alive() == {}
