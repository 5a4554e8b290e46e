"""The device path over the fake driver and the fake TensorRT: build, cache, addresses, enqueue, kernels, results."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fake_cuda import COPY_MS, LAUNCH_MS, cubins, numpy_kernels
from numpy.typing import NDArray

import coke_edge
from coke_edge.backends import Staged, automatic, onnxruntime, open_backend, tensorrt
from coke_edge.backends.tensorrt import TensorRtBackend
from coke_edge.benchmarks.gpu_check.shared_peaks import shared_peaks
from coke_edge.bundle import KERNELS, REQUIRED, Bundle, write_bundle
from coke_edge.decode import decode
from coke_edge.detector import Detector
from coke_edge.engine import cache
from coke_edge.engine.obtain import machine, obtain, wanted
from coke_edge.engine.provider import open_provider
from coke_edge.engine.spec import Batch, choose
from coke_edge.errors import BackendError
from coke_edge.export.precision.fp16 import to_fp16
from coke_edge.geometry import Affine, box_to_crop
from coke_edge.kernels.artifact import Artifact
from coke_edge.kernels.reference import Peaks
from coke_edge.preprocess import crop
from coke_edge.stream.images import read_image

Frame = NDArray[np.uint8]
FP16 = 1e-3  # of a similarity: the banks are rounded to 11 bits


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, dict[str, bytes]]:
    """Kernels for an Orin, and the entries of a bundle that holds them."""
    folder = tmp_path_factory.mktemp("kernels")
    artifact = cubins.build(folder, ["orin"])
    return artifact, {KERNELS + file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The demo model with its fp32 graph alone."""
    demo = Bundle("demo")
    path = tmp_path_factory.mktemp("bundle") / "plain.coke"
    write_bundle(path, demo.manifest, {name: demo.read(name) for name in REQUIRED})
    return Bundle(path)


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory, kernels: tuple[Artifact, dict[str, bytes]]) -> Bundle:
    """The demo model with an fp16 graph and kernels."""
    demo = Bundle("demo")
    entries = {name: demo.read(name) for name in REQUIRED}
    entries["model.fp16.onnx"] = to_fp16(
        onnx.load_from_string(demo.read("model.fp32.onnx"))
    ).SerializeToString()
    path = tmp_path_factory.mktemp("bundle") / "person.coke"
    write_bundle(path, demo.manifest, {**entries, **kernels[1]})
    return Bundle(path)


@pytest.fixture(scope="module")
def frame() -> Frame:
    return read_image(Path(coke_edge.__file__).parent / "assets" / "demo.jpg")


@pytest.fixture(params=["pycuda", "cuda-python"])
def package(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The driver package; the test is skipped where it is not installed."""
    name: str = request.param
    pytest.importorskip(
        {"pycuda": "pycuda", "cuda-python": "cuda.bindings"}[name], reason=f"{name} is not installed"
    )
    real = tensorrt.open_driver
    monkeypatch.setattr(tensorrt, "open_driver", lambda: real(name))
    return name


@contextmanager
def opened(bundle: Bundle, precision: str = "auto") -> Iterator[TensorRtBackend]:
    backend = tensorrt.load(bundle, 0, precision)
    try:
        yield backend
    finally:
        backend.close()
        backend.close()


def on_cpu(bundle: Bundle, precision: str = "fp32") -> Any:
    return onnxruntime.load(bundle, 1, precision)


def affines(frame: Frame, count: int) -> list[Affine]:
    """Boxes over the frame, some over its border."""
    height, width = frame.shape[:2]
    boxes = [
        (i * width / 16 - 20, i * 9, width * (0.5 + i / 20), height * (0.7 + i / 16)) for i in range(count)
    ]
    size = Bundle("demo").manifest.model.input
    return [box_to_crop(box, size.width, size.height) for box in boxes]


def pixel_exact(monkeypatch: pytest.MonkeyPatch, artifact: Artifact, fake_cuda: Any, bundle: Bundle) -> None:
    """Let the warp kernel give OpenCV's very pixels: what is left to differ is then the head alone."""
    spec = bundle.manifest.model.input

    def warp(call: Any) -> None:
        height, width, count = call["height"], call["width"], call.launch.grid[1]
        pixels = call.array("frame", height * call["pitch"]).reshape(height, width, 3)
        matrices = call.array("affines", count, 2, 3).astype(np.float64)
        out = call.array("crops", count, spec.height, spec.width, 3)
        for place, inverse in zip(out, matrices, strict=True):
            whole = np.linalg.inv(np.vstack([inverse, [0, 0, 1]]))
            place[:] = crop(pixels, whole[:2], spec)

    monkeypatch.setattr(numpy_kernels, "warp", warp)
    numpy_kernels.install(fake_cuda, artifact)


def agree(found: Peaks, expected: Peaks, tolerance: float) -> None:
    """The same cells but where two score alike, and the same quantities there."""
    best = np.abs(found.similarity - expected.similarity)[..., 0]
    assert np.isfinite(best).all()
    assert best.max() < tolerance
    both = shared_peaks(found, expected, tolerance)
    assert both.unexplained == 0
    assert len(both.crop) > 0.98 * found.index.size
    for name in ("similarity", "clutter", "soft_clutter", "neighbourhood"):
        ours, theirs = both.of_one(getattr(found, name)), both.of_other(getattr(expected, name))
        np.testing.assert_allclose(ours, theirs, atol=tolerance)


def test_kernels_on_the_features(
    fake_cuda: Any, fake_tensorrt: Any, package: str, person: Bundle, kernels: Any, frame: Frame,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    pixel_exact(monkeypatch, kernels[0], fake_cuda, person)
    with opened(person) as backend:
        assert "crops by kernel warp-u8, head by kernel match-fp16-nhwc-soft" in backend.description
        assert "TensorRT 10.3.0, fp16, on Fake Orin" in backend.description
        crops = affines(frame, 3)
        expected = on_cpu(person, "fp16")(frame, crops)
        for _ in range(3):  # as it is, recorded, replayed
            fake_cuda.launches.clear()
            agree(backend(frame, crops), expected, FP16)
            assert [launch.symbol for launch in fake_cuda.launches] == [
                "warp",
                "fake_engine",
                "match",
                "peaks",
            ]
    assert [
        record.getMessage().split(" ")[0] for record in caplog.records if record.levelno >= logging.WARNING
    ] == ["Building"]
    del backend
    assert fake_cuda.alive() == {}
    assert fake_cuda.leaked() == {}


def test_the_kernels_own_crops_are_within_a_grey_level(
    fake_cuda: Any, fake_tensorrt: Any, person: Bundle, kernels: Any, frame: Frame
) -> None:
    """Where that makes another peak of nearly the same score the better one, the scores alone are held together."""
    numpy_kernels.install(fake_cuda, kernels[0])
    spec = person.manifest.model
    whole = (0, 0, frame.shape[1], frame.shape[0])
    with opened(person) as backend:
        ours = Detector.from_backend(spec, backend).peaks(frame, whole)
    theirs = Detector.from_backend(spec, on_cpu(person)).peaks(frame, whole)
    assert np.abs(ours.similarity[..., 0] - theirs.similarity[..., 0]).max() < 0.005
    same = (ours.index == theirs.index).all(axis=-1)[0].reshape(2, 14)  # where seen and where hidden
    assert (same.sum(axis=1) >= 10).all(), "of 14"
    found, expected = (decode(peaks, [np.eye(2, 3)], spec)[0] for peaks in (ours, theirs))
    for one, other, alike in zip(
        (found.xy, found.hidden_xy), (expected.xy, expected.hidden_xy), same, strict=True
    ):
        assert np.abs(one - other)[alike].max() < spec.stride / 4, "OpenCV samples at multiples of 1/32"
    assert np.abs(found.visible - expected.visible)[same.all(axis=0)].max() < 0.05


def test_standard_head_inside_the_engine(
    fake_cuda: Any,
    fake_tensorrt: Any,
    package: str,
    plain: Bundle,
    frame: Frame,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with opened(plain) as backend:
        assert "crops by OpenCV on the CPU, head by standard operators in the engine" in backend.description
        crops = affines(frame, 2)
        for _ in range(3):
            for found, expected in zip(backend(frame, crops), on_cpu(plain)(frame, crops), strict=True):
                np.testing.assert_array_equal(found, expected)
    assert "The head runs in standard operators inside the engine, since" in caplog.text
    assert "holds no kernels" in caplog.text


def test_kernels_that_are_for_another_gpu(
    fake_cuda: Any, fake_tensorrt: Any, person: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    fake_cuda.reset(name="Fake A100", capability=80)
    with opened(person) as backend:
        assert "crops by OpenCV on the CPU, head by standard operators" in backend.description
    assert caplog.text.count("nothing to launch on Fake A100") == 2
    assert "OpenCV cuts the crops on the CPU, since" in caplog.text
    assert caplog.text.count("build with coke-edge export CHECKPOINT --targets ") == 2, (
        "that adds them to a bundle"
    )


def test_crops_by_a_kernel_also_before_a_standard_head(
    fake_cuda: Any,
    fake_tensorrt: Any,
    person: Bundle,
    kernels: Any,
    frame: Frame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixel_exact(monkeypatch, kernels[0], fake_cuda, person)
    with opened(person, "fp32") as backend:  # the bundle's kernels take fp16 features
        assert "crops by kernel warp-u8, head by standard operators" in backend.description
        crops = affines(frame, 2)
        agree(backend(frame, crops), on_cpu(person)(frame, crops), 1e-4)


@pytest.fixture
def small(fake_cuda: Any, fake_tensorrt: Any, bundle_path: Path) -> Iterator[tuple[TensorRtBackend, Any]]:
    """The colour model with an engine for up to four crops, and the CPU's answer."""
    bundle = Bundle(bundle_path)
    build_for(bundle, Batch(1, 2, 4))
    with opened(bundle) as backend:
        yield backend, on_cpu(bundle)


def build_for(bundle: Bundle, batch: Batch) -> None:
    """What `coke-edge build --batch` does."""
    provider = open_provider("tensorrt")
    driver = tensorrt.open_driver()
    spec, _ = choose(bundle, driver.gpu, batch=batch)
    obtain(provider, bundle, wanted(bundle, spec, machine(provider, driver.gpu)), notice=lambda text: None)
    driver.close()


Paint = Callable[..., Frame]


def same(found: Peaks, expected: Peaks) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_frames_of_changing_size_and_batch(small: tuple[TensorRtBackend, Any], paint: Paint) -> None:
    backend, cpu = small
    random = np.random.default_rng(0)
    sizes = [(200, 160), (96, 64), (200, 160), (3000, 1200), (200, 160), (31, 17)]
    for width, height in sizes * 2:
        frame = random.integers(0, 256, (height, width, 3), np.uint8)
        for count in (1, 3, 1, 4):
            crops = [box_to_crop((i, 0, width, height), 96, 64) for i in range(count)]
            same(backend(frame, crops), cpu(frame, crops))


def test_more_boxes_than_the_engine_takes(small: tuple[TensorRtBackend, Any], paint: Paint) -> None:
    backend, cpu = small
    frame = paint(200, 160, {0: (45.0, 60.0)})
    crops = [box_to_crop((i, i, 100 + i, 90 + i), 96, 64) for i in range(11)]
    same(backend(frame, crops), cpu(frame, crops))


def test_fewer_boxes_than_the_engine_takes(
    fake_cuda: Any, fake_tensorrt: Any, bundle_path: Path, paint: Paint
) -> None:
    bundle = Bundle(bundle_path)
    build_for(bundle, Batch(3, 3, 4))
    frame = paint(200, 160, {0: (45.0, 60.0)})
    with opened(bundle) as backend:
        for count in (1, 2, 3, 5):
            crops = [box_to_crop((i, i, 100 + i, 90 + i), 96, 64) for i in range(count)]
            same(backend(frame, crops), on_cpu(bundle)(frame, crops))


def test_results_do_not_change_with_the_next_frame(small: tuple[TensorRtBackend, Any], paint: Paint) -> None:
    backend, _ = small
    crops = [box_to_crop((0, 0, 200, 160), 96, 64)]
    first = backend(paint(200, 160, {0: (45.0, 60.0)}), crops)
    kept = [values.copy() for values in first]
    for x in (60.0, 80.0, 100.0):
        backend(paint(200, 160, {0: (x, 90.0)}), crops)
    same(first, Peaks(*kept))


def test_frames_that_outgrow_their_room(
    fake_cuda: Any,
    fake_tensorrt: Any,
    person: Bundle,
    kernels: Any,
    frame: Frame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from coke_edge.engine import crops as module

    pixel_exact(monkeypatch, kernels[0], fake_cuda, person)
    monkeypatch.setattr(module, "FULL_HD", 100)
    half = np.ascontiguousarray(frame[: frame.shape[0] // 2])
    expected = {id(image): on_cpu(person, "fp16")(image, affines(image, 1)) for image in (half, frame)}
    with opened(person) as backend:
        for image in (half, half, frame, half, frame, frame):
            agree(backend(image, affines(image, 1)), expected[id(image)], FP16)
        fake_cuda.fail("cuMemAlloc", "UNKNOWN")
        huge = np.concatenate([frame, frame])
        with pytest.raises(BackendError, match="cannot allocate"):
            backend(huge, affines(huge, 1))
        for image in (half, frame):
            agree(backend(image, affines(image, 1)), expected[id(image)], FP16)


def test_recordings_are_made_at_the_second_frame_and_given_back(
    fake_cuda: Any, small: tuple[TensorRtBackend, Any], paint: Paint
) -> None:
    backend, _ = small
    frame = paint(200, 160, {0: (45.0, 60.0)})
    crop_of = box_to_crop((0, 0, 200, 160), 96, 64)
    backend(frame, [crop_of])
    assert "graph_execs" not in fake_cuda.alive()
    for _ in range(5):
        backend(frame, [crop_of])
        assert fake_cuda.alive()["graph_execs"] == 1
    backend.close()
    assert "graph_execs" not in fake_cuda.alive()


def test_stages_are_those_of_the_gpu_and_add_up(
    fake_cuda: Any, fake_tensorrt: Any, package: str, person: Bundle, kernels: Any, frame: Frame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pixel_exact(monkeypatch, kernels[0], fake_cuda, person)
    crops = affines(frame, 2)
    with opened(person) as backend:
        assert isinstance(backend, Staged)
        expected = backend(frame, crops)
        for _ in range(3):  # as it is, recorded, replayed
            start = time.perf_counter()
            peaks, parts = backend.stages(frame, crops)
            host = 1e3 * (time.perf_counter() - start)
            same(peaks, expected)
            assert list(parts) == ["upload", "warp", "backbone", "head", "download"]
            gpu = {"warp": LAUNCH_MS, "backbone": LAUNCH_MS, "head": 2 * LAUNCH_MS}
            assert {stage: parts[stage] for stage in gpu} == pytest.approx(gpu)
            # Beside the copy, the host's own part: to page-locked memory, and peaks out of their words.
            assert COPY_MS <= parts["upload"] < COPY_MS + host
            assert COPY_MS <= parts["download"] < COPY_MS + host
        same(backend(frame, crops), expected)  # recorded
        same(backend(frame, crops), expected)
        alive = fake_cuda.alive()
        assert (alive["graph_execs"], alive["events"]) == (2, 6), "what is not timed has no events"
    del backend
    assert fake_cuda.alive() == fake_cuda.leaked() == {}


def test_stages_with_the_head_in_the_engine(
    fake_cuda: Any, fake_tensorrt: Any, plain: Bundle, frame: Frame
) -> None:
    with opened(plain) as backend:
        for _ in range(2):
            _, parts = backend.stages(frame, affines(frame, 1))
            assert list(parts) == ["warp", "upload", "network", "download"]
            assert parts["warp"] > 0, "OpenCV's, on the CPU"
            assert (parts["upload"], parts["network"]) == pytest.approx((COPY_MS, LAUNCH_MS))
            assert parts["download"] > 5 * COPY_MS


def test_stages_of_several_runs_are_added_up(small: tuple[TensorRtBackend, Any], paint: Paint) -> None:
    backend, cpu = small
    frame = paint(200, 160, {0: (45.0, 60.0)})
    crops = [box_to_crop((i, i, 100 + i, 90 + i), 96, 64) for i in range(11)]
    for _ in range(2):
        peaks, parts = backend.stages(frame, crops)
        same(peaks, cpu(frame, crops))
        assert parts["network"] == pytest.approx(3 * LAUNCH_MS)


@pytest.mark.parametrize(
    ("function", "tried"),
    [
        ("cuEventCreate", "make an event"),
        ("cuEventRecordWithFlags", "record an event"),
        ("cuEventSynchronize", "wait for an event"),
        ("cuEventElapsedTime", "read two events"),
    ],
)
def test_events_that_fail_are_an_error_of_the_backend(
    fake_cuda: Any, small: tuple[TensorRtBackend, Any], paint: Paint, function: str, tried: str
) -> None:
    backend, cpu = small
    frame, crops = paint(200, 160, {0: (45.0, 60.0)}), [box_to_crop((0, 0, 200, 160), 96, 64)]
    fake_cuda.fail(function, "UNKNOWN")
    with pytest.raises(BackendError, match=rf"^cannot {tried}: CUDA_ERROR_UNKNOWN$"):
        backend.stages(frame, crops)
    same(backend.stages(frame, crops)[0], cpu(frame, crops))


def test_the_memory_that_it_took(fake_cuda: Any, small: tuple[TensorRtBackend, Any], paint: Paint) -> None:
    backend, _ = small
    before = backend.gpu_bytes()
    assert before >= 1000 + 4 * 64 * 96 * 3, "scratch memory, and crops"
    backend(paint(200, 160, {}), [box_to_crop((0, 0, 200, 160), 96, 64)])
    assert backend.gpu_bytes() >= before
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.gpu_bytes()


@pytest.mark.parametrize(
    "function", ["cuStreamBeginCapture_v2", "cuMemcpyDtoHAsync_v2", "cuGraphInstantiateWithFlags"]
)
def test_what_cannot_be_recorded_runs_as_it_is(
    fake_cuda: Any,
    small: tuple[TensorRtBackend, Any],
    paint: Paint,
    caplog: pytest.LogCaptureFixture,
    function: str,
) -> None:
    backend, on_cpu = small
    frame, crops = paint(200, 160, {0: (45.0, 60.0)}), [box_to_crop((0, 0, 200, 160), 96, 64)]
    expected = on_cpu(frame, crops)
    agree(backend(frame, crops), expected, 1e-6)
    fake_cuda.fail(function, "UNKNOWN")
    for _ in range(3):
        agree(backend(frame, crops), expected, 1e-6)
    said = [record for record in caplog.records if "without a CUDA graph" in record.getMessage()]
    assert len(said) == 1, "it is tried once"
    assert "UNKNOWN" in said[0].getMessage()
    assert "graph_execs" not in fake_cuda.alive()


def test_auto_means_tensorrt_once_an_engine_was_built(
    fake_cuda: Any, fake_tensorrt: Any, bundle_path: Path, paint: Paint
) -> None:
    bundle = Bundle(bundle_path)
    assert automatic(bundle) == "onnxruntime"
    with opened(bundle):
        pass
    assert automatic(bundle) == "tensorrt"
    backend = open_backend(bundle)
    assert isinstance(backend, TensorRtBackend)
    backend.close()
    fake_cuda.disable()
    with pytest.raises(BackendError, match="GPU"):
        open_backend(bundle)
    assert open_backend(bundle, "onnxruntime").name == "onnxruntime"


def test_what_was_built_last_is_what_auto_opens(
    fake_cuda: Any, fake_tensorrt: Any, person: Bundle, kernels: Any
) -> None:
    numpy_kernels.install(fake_cuda, kernels[0])
    with opened(person, "fp32"):
        pass
    with opened(person) as backend:
        assert ", fp32, " in backend.description
    assert len(cache.sidecars_of(person.sha256)) == 1
    with opened(person, "fp16"):
        pass
    with opened(person) as backend:
        assert ", fp16, " in backend.description


def test_each_refusal_is_a_sentence(fake_cuda: Any, fake_tensorrt: Any, bundle_path: Path) -> None:
    bundle = Bundle(bundle_path)
    with pytest.raises(BackendError, match="has no threads to set"):
        tensorrt.load(bundle, 2)
    with pytest.raises(BackendError, match="no fp16 graph"):
        tensorrt.load(bundle, 0, "fp16")
    fake_cuda.fail("cuMemHostAlloc", "OUT_OF_MEMORY")
    with pytest.raises(BackendError, match="OUT_OF_MEMORY"):
        tensorrt.load(bundle, 0)
    fake_tensorrt._state.unsupported.add("AveragePool")
    with pytest.raises(BackendError, match=r"\(AveragePool\) is an operator that it does not support"):
        tensorrt.load(bundle, 0, "fp32") if not cache.sidecars_of(bundle.sha256) else build_anew(bundle)
    fake_cuda.reset(devices=0)
    with pytest.raises(BackendError, match="GPU"):
        tensorrt.load(bundle, 0)


def build_anew(bundle: Bundle) -> None:
    """Open it without the engine that the cache has."""
    for path in cache.folder().iterdir():
        path.unlink()
    tensorrt.load(bundle, 0)


def test_a_backend_that_is_forgotten_gives_the_gpu_back(
    fake_cuda: Any, fake_tensorrt: Any, bundle_path: Path, paint: Paint
) -> None:
    backend = tensorrt.load(Bundle(bundle_path), 0)
    crops = [box_to_crop((0, 0, 200, 160), 96, 64)]
    for _ in range(3):
        backend(paint(200, 160, {}), crops)
    del backend
    gc.collect()
    assert fake_cuda.alive() == {}
    closed = tensorrt.load(Bundle(bundle_path), 0)
    closed.close()
    with pytest.raises(BackendError, match="closed: open another"):
        closed(paint(200, 160, {}), crops)


def test_a_failing_launch_is_an_error_of_the_backend(
    fake_cuda: Any, small: tuple[TensorRtBackend, Any], paint: Paint
) -> None:
    backend, _ = small
    fake_cuda.fail("cuStreamSynchronize", "LAUNCH_FAILED")
    with pytest.raises(BackendError, match="LAUNCH_FAILED"):
        backend(paint(200, 160, {}), [box_to_crop((0, 0, 200, 160), 96, 64)])
