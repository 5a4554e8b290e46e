from __future__ import annotations

from pathlib import Path

import pytest
from fake_cuda import cubins

from coke_edge.bundle import KERNELS, Bundle, write_bundle
from coke_edge.engine.spec import Batch, EngineSpec, choose
from coke_edge.errors import BackendError
from coke_edge.kernels.driver import Gpu
from coke_edge.manifest import Manifest

ORIN = Gpu("Fake Orin", 87, 14, 163 * 1024, 8 << 30, 13000)
H100 = Gpu("Fake H100", 90, 132, 227 * 1024, 80 << 30, 12060)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, manifest: Manifest, entries: dict[str, bytes]) -> Bundle:
    """The colour model with every graph, and kernels for an Orin and an H100."""
    folder = tmp_path_factory.mktemp("spec")
    cubins.build(folder / "kernels", ["orin", "h100"])
    graph = entries["model.fp32.onnx"]
    more = {f"model.{precision}.onnx": graph for precision in ("fp16", "int8", "fp8")}
    more |= {KERNELS + file.name: file.read_bytes() for file in (folder / "kernels").iterdir()}
    write_bundle(folder / "all.coke", manifest, {**entries, **more})
    return Bundle(folder / "all.coke")


def test_auto_is_fp16_with_kernels_where_there_are_some(bundle: Bundle, colours: Bundle) -> None:
    assert choose(bundle, ORIN) == (EngineSpec("fp16", "kernels"), "")
    spec, reason = choose(colours, ORIN)
    assert spec == EngineSpec("fp32", "standard")
    assert "holds no kernels" in reason


def test_the_precision_decides_which_kernels_are_needed(bundle: Bundle) -> None:
    assert choose(bundle, ORIN, "int8")[0].head == "kernels"
    spec, reason = choose(bundle, ORIN, "fp32")  # the bundle's kernels take fp16 features
    assert spec.head == "standard"
    assert "match-fp32-nhwc-soft" in reason


def test_a_gpu_that_the_kernels_do_not_serve(bundle: Bundle) -> None:
    a100 = Gpu("Fake A100", 80, 108, 163 * 1024, 40 << 30, 13000)
    assert choose(bundle, a100)[0].head == "standard"
    assert "CUDA 13 driver" in choose(bundle, H100)[1], "cubins of ABI 8 under a CUDA 12 driver"
    assert choose(bundle, 90) == (EngineSpec("fp16", "kernels"), ""), "by compute capability alone"
    assert "8.9" in choose(bundle, 89)[1]


def test_what_is_asked_for_is_had_or_refused(bundle: Bundle, colours: Bundle) -> None:
    assert choose(bundle, ORIN, head="standard") == (EngineSpec("fp16", "standard"), "")
    batch = Batch(1, 2, 4)
    assert choose(bundle, ORIN, "int8", "kernels", batch)[0] == EngineSpec("int8", "kernels", batch)
    with pytest.raises(BackendError, match="--head standard needs none"):
        choose(colours, ORIN, head="kernels")
    with pytest.raises(BackendError, match=r"no fp16 graph, only fp32; .*--precision fp32,fp16"):
        choose(colours, ORIN, "fp16")
    with pytest.raises(BackendError, match=r"8\.7 has no fp8 arithmetic"):
        choose(bundle, ORIN, "fp8")
    with pytest.raises(BackendError, match="no precision 'half'"):
        choose(bundle, ORIN, "half")
    with pytest.raises(BackendError, match="no head 'torch'"):
        choose(bundle, ORIN, head="torch")


@pytest.mark.parametrize("sizes", [(0, 1, 1), (2, 1, 4), (1, 5, 4)])
def test_a_batch_ascends(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="SMALLEST,TYPICAL,LARGEST"):
        Batch(*sizes)


def test_the_dtype_of_the_features() -> None:
    features = {p: EngineSpec(p, "kernels").features for p in ("fp32", "fp16", "int8", "fp8")}
    assert features == {"fp32": "fp32", "fp16": "fp16", "int8": "fp16", "fp8": "fp16"}


def test_a_path_is_named_in_the_reason(colours: Bundle) -> None:
    assert str(Path(colours.path)) in choose(colours, ORIN)[1]
