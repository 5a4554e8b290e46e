"""The head as plugins: the real `tensorrt.plugin` over a fake TensorRT, whose engine launches the kernels by itself."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_tensorrt
import msgspec
import numpy as np
import onnx
import pytest
from fake_cuda import insisted, numpy_kernels
from fake_tensorrt import plugin_api, plugin_kernels, plugins
from safetensors.numpy import save
from typer.testing import CliRunner

import coke_edge
from coke_edge.backends import tensorrt
from coke_edge.bundle import BANKS, KERNELS, Bundle, write_bundle
from coke_edge.cli.build import app
from coke_edge.engine import aot_plugin, plugin
from coke_edge.engine.obtain import machine, obtain, wanted
from coke_edge.engine.provider import open_provider
from coke_edge.engine.spec import Batch, EngineSpec, choose
from coke_edge.errors import BackendError
from coke_edge.export.precision.fp16 import to_fp16
from coke_edge.geometry import box_to_crop
from coke_edge.kernels.artifact import Artifact
from coke_edge.kernels.driver import Gpu, open_driver
from coke_edge.kernels.packed import RULES
from coke_edge.kernels.reference import Peaks
from coke_edge.stream.images import read_image

VERSIONS = ["10.16.1", "11.4.0"]  # that take plugins
ORIN = Gpu("Fake Orin", 87, 14, 163 * 1024, 8 << 30, 13000)


@pytest.fixture(params=VERSIONS)
def trt(
    request: pytest.FixtureRequest, fake_cuda: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """`import tensorrt` gives a fake of a version that takes plugins, `tensorrt.plugin` is the real one."""
    source = plugin_api.folder()
    if source is None:
        if insisted():
            raise LookupError("tensorrt-cu13-bindings is not installed: pip install -e '.[dev]'")
        pytest.skip("tensorrt-cu13-bindings, which holds tensorrt.plugin, is not installed")
    module = fake_tensorrt.make(fake_cuda, request.param)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setenv("COKE_EDGE_CACHE", str(tmp_path / "cache"))
    plugins.install(module, source)
    yield module
    plugin_api.unload()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, dict[str, bytes]]:
    """Kernels with those for plugins, and the entries of a bundle that holds them."""
    folder = tmp_path_factory.mktemp("kernels")
    made = plugin_kernels.build(folder, ["orin"], dtypes=["fp16", "fp32"])
    return made, {KERNELS + file.name: file.read_bytes() for file in folder.iterdir()}


def bundle_with(path: Path, entries: dict[str, bytes], **head: Any) -> Bundle:
    """The demo model with more entries and other settings of its head, uncalibrated: it may keep too few peaks."""
    demo = Bundle("demo")
    model = msgspec.structs.replace(demo.manifest.model, visibility=None)
    manifest = msgspec.structs.replace(
        demo.manifest, model=msgspec.structs.replace(model, head=dataclasses.replace(model.head, **head))
    )
    write_bundle(path, manifest, {**{name: demo.read(name) for name in demo.manifest.entries}, **entries})
    return Bundle(path)


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory, artifact: tuple[Artifact, dict[str, bytes]]) -> Bundle:
    """The demo model with an fp16 graph, kernels, and a clutter bank that several programs share."""
    clutter = np.random.default_rng(0).normal(size=(2560, 128)).astype(np.float32)
    clutter /= np.linalg.norm(clutter, axis=1, keepdims=True)
    bank = {"clutter": clutter, "counts": np.ones(len(clutter), np.float32)}
    graph = onnx.load_from_string(Bundle("demo").read("model.fp32.onnx"))
    shapes = [value for value in graph.graph.value_info if value.name.removeprefix("bank.") not in bank]
    del graph.graph.value_info[:]
    graph.graph.value_info.extend(shapes)
    for tensor in graph.graph.initializer:
        if (name := tensor.name.removeprefix("bank.")) in bank:
            tensor.CopyFrom(onnx.numpy_helper.from_array(bank[name], tensor.name))
    entries = {
        **artifact[1],
        BANKS: save({"prototypes": Bundle("demo").banks()["prototypes"], **bank}),
        "model.fp32.onnx": graph.SerializeToString(),
        "model.fp16.onnx": to_fp16(graph).SerializeToString(),
    }
    return bundle_with(tmp_path_factory.mktemp("bundle") / "person.coke", entries)


def frame_and_crops(count: int) -> tuple[Any, list[Any]]:
    frame = read_image(Path(coke_edge.__file__).parent / "assets" / "demo.jpg")
    height, width = frame.shape[:2]
    boxes = [(i * 12 - 20, i * 9, width * (0.5 + i / 20), height * (0.7 + i / 16)) for i in range(count)]
    return frame, [box_to_crop(box, 192, 192) for box in boxes]


def built(module: Any, artifact: Artifact, bundle: Bundle, spec: EngineSpec) -> Any:
    """The engine for the GPU that is here, built into the cache."""
    plugin_kernels.install(module, artifact)
    trt = open_provider("tensorrt")
    driver = open_driver()
    here = machine(trt, driver.gpu)
    driver.close()
    return obtain(trt, bundle, wanted(bundle, spec, here), notice=lambda text: None)


def run(bundle: Bundle, precision: str, counts: list[int]) -> list[Peaks]:
    """Peaks of so many crops of a picture, by the engine that was built last."""
    frame, crops = frame_and_crops(max(counts))
    backend = tensorrt.load(bundle, 0, precision)
    try:
        return [backend(frame, crops[:count]) for count in counts]
    finally:
        backend.close()


def test_from_frame_to_peaks(
    trt: Any, fake_cuda: Any, person: Bundle, artifact: tuple[Artifact, dict[str, bytes]]
) -> None:
    """Plugins give what the kernels behind an engine give, also from a CUDA graph, for every batch."""
    counts = [4, 4, 4, 1]  # as it is, recorded, replayed
    fake_cuda.reset(processors=40)  # two parts of the clutter bank
    numpy_kernels.install(fake_cuda, artifact[0])
    built(trt, artifact[0], person, EngineSpec("fp16", "kernels", Batch(1, 2, 4)))
    expected = run(person, "fp16", counts)
    before = len(fake_cuda.launches)
    spec, reason = choose(person, ORIN, "fp16", "plugin", Batch(1, 2, 4))
    assert (spec.head, reason) == ("plugin", "")
    built(trt, artifact[0], person, spec)
    found = run(person, "fp16", counts)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.index, other.index)
        for name in Peaks._fields[1:]:
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=2e-5)
    symbols = [launch.symbol for launch in fake_cuda.launches[before:]]
    assert symbols.count("plugin_match") == symbols.count("plugin_peaks") == 4
    assert "match" not in symbols
    assert symbols[-2:] == ["plugin_match", "plugin_peaks"]


def test_float32_against_the_standard_operators(
    trt: Any, fake_cuda: Any, person: Bundle, artifact: tuple[Artifact, dict[str, bytes]]
) -> None:
    numpy_kernels.install(fake_cuda, artifact[0])
    built(trt, artifact[0], person, EngineSpec("fp32", "standard", Batch(1, 1, 2)))
    (expected,) = run(person, "fp32", [2])
    built(trt, artifact[0], person, EngineSpec("fp32", "plugin", Batch(1, 1, 2)))
    (found,) = run(person, "fp32", [2])
    np.testing.assert_array_equal(found.index, expected.index)
    for name in Peaks._fields[1:]:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=0, atol=2e-5)


def test_the_launches_are_what_the_kernels_expect(
    trt: Any, fake_cuda: Any, person: Bundle, artifact: tuple[Artifact, dict[str, bytes]]
) -> None:
    fake_cuda.reset(processors=28)
    obtained = built(trt, artifact[0], person, EngineSpec("fp16", "plugin", Batch(1, 1, 4)))
    header = json.loads(obtained.content[len(plugins.MAGIC) :].partition(b"\n")[0])
    match, peaks = header["plugins"]
    model = person.manifest.model
    maps, rows = model.maps, len(person.banks()["clutter"])
    assert maps == 2 * len(model.keypoints.names)  # where each is, and where if it is hidden
    height, width = model.input.height // model.stride, model.input.width // model.stride
    cells, parts = height * width, match["grid"][1] - 1
    assert parts == 3
    assert match["grid"] == [-(-cells // 64), 1 + parts, "batch"]
    assert match["numbers"] == [cells, maps, rows, match["numbers"][3]]
    assert parts == -(-rows // match["numbers"][3])
    assert peaks["grid"] == [maps, "batch", 1]
    assert peaks["numbers"] == [height, width, parts, model.head.peaks, RULES.index(model.head.rule)]
    assert (match["block"], match["shared"]) == ([128, 1, 1], 25088)
    ptx = {binary.symbol: binary for binary in artifact[0].binaries if binary.ptx}
    assert match["ptx"].encode() == artifact[1][KERNELS + "orin-plugin-match-fp16.ptx"]
    assert (match["symbol"], peaks["symbol"]) == tuple(ptx)
    assert [name for name, *_ in header["outputs"]] == ["packed"]
    assert header["outputs"][0][2:] == [3, [-1, maps, model.head.peaks, 13]]


def test_without_clutter_and_with_more_peaks(
    trt: Any, fake_cuda: Any, artifact: tuple[Artifact, dict[str, bytes]], tmp_path: Path
) -> None:
    banks = {
        "prototypes": Bundle("demo").banks()["prototypes"],
        "clutter": np.zeros((0, 128), np.float32),
    }
    bundle = bundle_with(tmp_path / "x.coke", {**artifact[1], BANKS: save(banks)}, rule="margin", peaks=3)
    source = plugin.read_source(bundle, EngineSpec("fp32", "plugin"))
    assert source.rows == 0
    assert source.banks["clutter"].shape == (1, 128)
    assert plugin.cut(source, 1024, 1)[0] == 0
    obtained = built(trt, artifact[0], bundle, EngineSpec("fp32", "plugin", Batch(1, 1, 1)))
    header = json.loads(obtained.content[len(plugins.MAGIC) :].partition(b"\n")[0])
    assert header["plugins"][0]["grid"][1] == 1
    assert header["plugins"][1]["numbers"][2:] == [0, 3, 1]


def test_several_bundles_in_a_process(
    trt: Any, person: Bundle, artifact: tuple[Artifact, dict[str, bytes]], tmp_path: Path
) -> None:
    """A plugin is registered once; a head that launches it in another way has another name for it."""
    entries = {name: person.read(name) for name in person.manifest.entries}
    other = bundle_with(tmp_path / "x.coke", entries, peaks=2)
    names = []
    for bundle, batch in ((person, Batch(1, 1, 2)), (person, Batch(1, 1, 4)), (other, Batch(1, 1, 4))):
        built(trt, artifact[0], bundle, EngineSpec("fp32", "plugin", batch))
        space = sys.modules["tensorrt.plugin"].op.coke  # type: ignore[attr-defined]
        names.append({name for name in vars(space) if name.startswith(("match_", "peaks_"))})
    assert names[0] == names[1]
    assert [name[:6] for name in names[2] - names[1]] == ["peaks_"]


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("tensorrt", "10.3.0", "TensorRT 10.3.0 takes no plugins ahead of time, which came with 10.9"),
        ("tensorrt-rtx", "1.7.1", "TensorRT for RTX 1.7.1 takes no plugins"),
    ],
)
def test_a_tensorrt_without_plugins(fake_tensorrt: Any, name: str, version: str, words: str) -> None:
    found = open_provider("tensorrt")._replace(name=name, version=version)
    with pytest.raises(BackendError, match=words):
        aot_plugin.open_module(found)


def test_nothing_is_left_of_a_build_that_takes_no_plugins(fake_tensorrt: Any, person: Bundle) -> None:
    """JetPack 6."""
    trt = open_provider("tensorrt")
    want = wanted(person, EngineSpec("fp16", "plugin"), machine(trt, ORIN))
    with pytest.raises(BackendError, match="--head kernels and --head standard need none"):
        obtain(trt, person, want, notice=lambda text: None)
    assert not list(want.folder.glob("*.engine*"))


def test_the_command(trt: Any, person: Bundle, artifact: tuple[Artifact, dict[str, bytes]]) -> None:
    plugin_kernels.install(trt, artifact[0])
    result = CliRunner().invoke(app, [str(person.path), "--head", "plugin", "--precision", "fp16"])
    assert result.exit_code == 0, result.output
    assert "fp16, head in kernels inside the engine, 1 to 8 crops at a time" in " ".join(
        result.output.split()
    )
    again = CliRunner().invoke(app, [str(person.path), "--head", "plugin", "--precision", "fp16", "--json"])
    assert json.loads(again.stdout)["built"] is False
    assert json.loads(again.stdout)["spec"]["head"] == "plugin"


def test_a_plugin_that_tensorrt_refuses(
    trt: Any, person: Bundle, artifact: tuple[Artifact, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins.Network, "add_plugin", lambda network, make, aot: None)
    with pytest.raises(BackendError, match="does not take the plugin coke::match"):
        built(trt, artifact[0], person, EngineSpec("fp16", "plugin"))


def test_a_bundle_without_plugins() -> None:
    with pytest.raises(
        BackendError, match=r"head cannot be a plugin: no kernel plugin-match-\w+ .*--targets orin --plugin"
    ):
        choose(Bundle("demo"), ORIN, head="plugin")


def test_an_old_driver(person: Bundle) -> None:
    kernels = person.kernels()
    assert kernels is not None
    binary = dataclasses.replace(kernels.find("plugin-peaks", 87), ptx=87)
    with pytest.raises(
        BackendError, match=r"PTX 8.7, which needs .* CUDA 12.8; Fake Orin has one of CUDA 12.6"
    ):
        plugin.check_driver(binary, dataclasses.replace(ORIN, driver_version=12060))


@pytest.mark.parametrize(
    ("channels", "cells", "words"), [(64, 1024, "compiled for 128 channels"), (128, 1020, "multiple of 8")]
)
def test_features_that_do_not_fit(person: Bundle, channels: int, cells: int, words: str) -> None:
    kernels = person.kernels()
    assert kernels is not None
    with pytest.raises(BackendError, match=words):
        plugin.check_features(kernels.find("plugin-match-fp16", 87), channels, cells)
