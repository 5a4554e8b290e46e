"""The drivers, over a fake libcuda: memory, streams, graphs, launches, errors, and that everything is given back."""

from __future__ import annotations

import gc
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from fake_cuda import COPY_MS, GARBAGE, LAUNCH_MS, FakeCuda, Fault, Launch, cubins, insisted

from coke_edge.kernels import driver as drivers
from coke_edge.kernels.driver import DRIVERS, Driver, Gpu, open_driver
from coke_edge.kernels.targets import KernelError

ADD = cubins.cubin("add", ["*fp32", "i32", "fp32"], block=64)


def add(fake: FakeCuda, launch: Launch) -> None:
    """x[:n] += step"""
    address, n, step = struct.unpack("<Qif", b"".join(launch.parameters))
    fake.array(address, (n,), np.float32)[:] += np.float32(step)


@pytest.fixture(params=list(DRIVERS))
def package(request: pytest.FixtureRequest, fake_cuda: FakeCuda) -> str:
    name = str(request.param)
    if not insisted():
        pytest.importorskip(
            "cuda.bindings" if name == "cuda-python" else name, reason=f"no {name}: make pycuda"
        )
    return name


@pytest.fixture
def driver(package: str, fake_cuda: FakeCuda) -> Iterator[Driver]:
    opened = open_driver(package)
    yield opened
    opened.close()
    assert fake_cuda.depth() == 0


def test_it_says_what_the_gpu_is(package: str, fake_cuda: FakeCuda) -> None:
    fake_cuda.reset(2, "Fake H100", 90, 132, 227 * 1024, 80 << 30, 12060)
    driver = open_driver(package, 1)
    assert driver.name == package
    assert driver.gpu == Gpu("Fake H100", 90, 132, 227 * 1024, 80 << 30, 12060)
    driver.close()


@pytest.mark.parametrize("pinned", [False, True])
def test_bytes_come_back_as_they_went(driver: Driver, pinned: bool) -> None:
    sent = np.random.default_rng(0).integers(0, 256, 3000).astype(np.uint8)
    source, target = (driver.pinned(3000) if pinned else np.empty(3000, np.uint8) for _ in range(2))
    source[:] = sent
    stream, buffer = driver.stream(), driver.allocate(5000)
    driver.upload(buffer.address + 1000, source, stream)
    driver.download(target, buffer.address + 1000, stream)
    driver.synchronize(stream)
    np.testing.assert_array_equal(target, sent)


def test_arrays_of_any_dtype_and_shape_are_copied(driver: Driver) -> None:
    source = np.arange(24, dtype=np.float16).reshape(2, 3, 4)
    target = np.zeros_like(source)
    stream, buffer = driver.stream(), driver.allocate(source.nbytes)
    driver.upload(buffer.address, source, stream)
    driver.download(target, buffer.address, stream)
    driver.synchronize(stream)
    np.testing.assert_array_equal(target, source)


def test_nothing_waits_but_synchronize(driver: Driver, fake_cuda: FakeCuda) -> None:
    source, target = driver.pinned(4), driver.pinned(4)
    source[:], target[:] = 1, 9
    stream, buffer = driver.stream(), driver.allocate(4)
    driver.upload(buffer.address, source, stream)
    driver.download(target, buffer.address, stream)
    source[:] = 2  # read when the stream gets there
    assert target.tolist() == [9] * 4
    assert fake_cuda.memory(buffer.address, 4).tolist() == [GARBAGE] * 4
    driver.synchronize(stream)
    assert target.tolist() == [2] * 4


def test_empty_arrays_and_buffers_are_fine(driver: Driver) -> None:
    stream, buffer = driver.stream(), driver.allocate(0)
    assert buffer.size == 0
    assert buffer.address
    driver.upload(buffer.address, np.empty(0, np.float32), stream)
    driver.download(np.empty((0, 4), np.float32), buffer.address, stream)
    assert driver.pinned(0).size == 0


@pytest.mark.parametrize(
    "values",
    [
        (2**63 + 5, -1, -(2**63), 0.1),
        (2**64 - 1, 2**31 - 1, 2**63 - 1, -1e30),
        (0, -(2**31), 2**31 + 7, float("inf")),
    ],
)
def test_arguments_arrive_as_they_were_given(
    driver: Driver, fake_cuda: FakeCuda, values: tuple[Any, ...]
) -> None:
    types = [
        "*fp16",
        "i32",
        "i64",
        "fp32",
        "i32",
        "*u8",
    ]  # with a gap before the i64, and one before the last pointer
    cubin = cubins.cubin("mixed", types, block=128)
    fake_cuda.kernel(cubin, lambda fake, launch: None)
    function, stream = driver.load(cubin, "mixed", 256), driver.stream()
    driver.launch(function, (3, 2, 1), 128, 256, stream, types, [*values, 7, 0])
    driver.synchronize(stream)
    (launch,) = fake_cuda.launches
    expected = [struct.pack(f"<{kind}", value) for kind, value in zip("QiqfiQ", [*values, 7, 0], strict=True)]
    assert list(launch.parameters) == expected
    assert (launch.symbol, launch.grid, launch.block) == ("mixed", (3, 2, 1), (128, 1, 1))
    assert (launch.shared_memory, launch.stream) == (256, stream)


def test_a_function_may_be_launched_with_other_values_and_no_arguments_at_all(
    driver: Driver, fake_cuda: FakeCuda
) -> None:
    cubin = cubins.cubin("nothing", [])
    fake_cuda.kernel(cubin, lambda fake, launch: None)
    function, stream = driver.load(cubin, "nothing", 0), driver.stream()
    for _ in range(2):
        driver.launch(function, (1, 1, 1), 32, 0, stream, [], [])
    driver.synchronize(stream)
    assert len(fake_cuda.launches) == 2


@pytest.mark.parametrize(
    ("types", "values", "message"),
    [
        (["*fp32", "i32", "fp32"], [0, 1], "takes 3 arguments, not 2"),
        (["*fp32", "i32", "fp32"], [0, 2**31, 0.0], "argument 1 of add cannot be 2147483648: it is i32"),
        (["*fp32", "i32", "fp32"], [-1, 0, 0.0], r"argument 0 of add cannot be -1: it is \*fp32"),
        (["*fp32", "i32", "fp32"], [0, 0, 1e39], r"argument 2 of add cannot be 1e\+39: it is fp32"),
        (["*fp32", "fp64", "fp32"], [0, 0, 0.0], "not fp64"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    driver: Driver, types: list[str], values: list[int | float], message: str
) -> None:
    function, stream = driver.load(ADD, "add", 0), driver.stream()
    with pytest.raises(KernelError, match=message):
        driver.launch(function, (1, 1, 1), 64, 0, stream, types, values)


def test_a_launch_that_the_gpu_refuses_says_so(driver: Driver) -> None:
    function, stream = driver.load(ADD, "add", 0), driver.stream()
    types, values = ["*fp32", "i32", "fp32"], [0, 0, 0.0]
    for grid, block, shared in [((0, 1, 1), 64, 0), ((1, 1, 1), 32, 0), ((1, 1, 1), 64, 49_153)]:
        with pytest.raises(KernelError, match="cannot launch add: CUDA_ERROR_INVALID_VALUE"):
            driver.launch(function, grid, block, shared, stream, types, values)


def test_much_shared_memory_is_opted_in_when_a_kernel_is_loaded(driver: Driver, fake_cuda: FakeCuda) -> None:
    fake_cuda.kernel(ADD, lambda fake, launch: None)
    function, stream = driver.load(ADD, "add", 100_000), driver.stream()
    driver.launch(function, (1, 1, 1), 64, 100_000, stream, ["*fp32", "i32", "fp32"], [0, 0, 0.0])
    driver.synchronize(stream)
    with pytest.raises(
        KernelError, match=r"add needs 200,000 bytes of shared memory, Fake Orin gives a block 166,912"
    ):
        driver.load(ADD, "add", 200_000)


def test_a_graph_replays_with_what_is_in_the_buffers_then(driver: Driver, fake_cuda: FakeCuda) -> None:
    fake_cuda.kernel(ADD, add)
    function, stream, buffer = driver.load(ADD, "add", 0), driver.stream(), driver.allocate(16)
    source, target = driver.pinned(16).view(np.float32), driver.pinned(16).view(np.float32)
    target[:] = 0
    with driver.capture(stream) as graphs:
        driver.upload(buffer.address, source, stream)
        driver.launch(function, (1, 1, 1), 64, 0, stream, ["*fp32", "i32", "fp32"], [buffer.address, 4, 0.5])
        driver.download(target, buffer.address, stream)
    driver.synchronize(stream)
    assert fake_cuda.launches == []
    assert target.tolist() == [0] * 4
    (graph,) = graphs
    for step in range(3):
        source[:] = np.arange(4) * step
        graph.launch(stream)
        driver.synchronize(stream)
        np.testing.assert_array_equal(target, np.arange(4) * step + 0.5)
    graph.free()
    graph.free()
    assert "graph_execs" not in fake_cuda.alive()


def test_what_cannot_be_recorded_says_so_and_the_stream_goes_on(driver: Driver, fake_cuda: FakeCuda) -> None:
    stream = driver.stream()
    with (
        pytest.raises(KernelError, match="in a capture nothing is allocated"),
        driver.capture(stream),
    ):
        driver.allocate(16)
    with (
        pytest.raises(KernelError, match="in a capture nothing is allocated"),
        driver.capture(stream),
    ):
        driver.synchronize(stream)
    with pytest.raises(ZeroDivisionError), driver.capture(stream):
        raise ZeroDivisionError
    driver.synchronize(stream)
    assert not fake_cuda.alive().keys() & {"graphs", "graph_execs"}


def test_a_timer_measures_a_piece_of_a_stream(driver: Driver, fake_cuda: FakeCuda) -> None:
    timer, stream, buffer = driver.timer(), driver.stream(), driver.allocate(4)
    driver.upload(buffer.address, np.zeros(4, np.uint8), stream)
    timer.start(stream)
    for _ in range(3):
        driver.upload(buffer.address, np.zeros(4, np.uint8), stream)
    timer.stop(stream)
    assert timer.milliseconds() == pytest.approx(3 * COPY_MS)
    del timer
    gc.collect()
    assert "events" not in fake_cuda.alive()


def test_a_timer_that_was_not_stopped_says_so(driver: Driver) -> None:
    with pytest.raises(KernelError, match="CUDA_ERROR_INVALID_HANDLE"):
        driver.timer().milliseconds()


def test_events_in_a_graph_are_passed_at_every_launch_of_it(driver: Driver, fake_cuda: FakeCuda) -> None:
    fake_cuda.kernel(ADD, add)
    function, stream, buffer = driver.load(ADD, "add", 0), driver.stream(), driver.allocate(16)
    target = driver.pinned(16)
    first, middle, last = (driver.event() for _ in range(3))
    with driver.capture(stream) as graphs:
        first.record(stream)
        driver.launch(function, (1, 1, 1), 64, 0, stream, ["*fp32", "i32", "fp32"], [buffer.address, 4, 1.0])
        middle.record(stream)
        driver.download(target, buffer.address, stream)
        last.record(stream)
    with pytest.raises(KernelError, match="cannot read two events: CUDA_ERROR_INVALID_HANDLE"):
        last.milliseconds_since(first)  # it was not launched yet
    for _ in range(2):
        graphs[0].launch(stream)
        assert middle.milliseconds_since(first) == pytest.approx(LAUNCH_MS)
        assert last.milliseconds_since(middle) == pytest.approx(COPY_MS)
    first.record(stream)  # outside of a capture again
    last.record(stream)
    assert last.milliseconds_since(first) == 0
    assert fake_cuda.alive()["events"] == 3
    del first, middle, last
    gc.collect()
    assert "events" not in fake_cuda.alive()


@pytest.mark.parametrize("function", ["cuEventCreate", "cuEventRecordWithFlags", "cuEventSynchronize"])
def test_an_event_that_fails_says_what_was_tried(driver: Driver, fake_cuda: FakeCuda, function: str) -> None:
    tried = {"cuEventCreate": "make", "cuEventRecordWithFlags": "record", "cuEventSynchronize": "wait for"}
    fake_cuda.fail(function, "OUT_OF_MEMORY")

    def use() -> None:
        event = driver.event()
        event.record(driver.stream())
        event.milliseconds_since(event)

    message = rf"cannot {tried[function]} an event: CUDA_ERROR_OUT_OF_MEMORY \(close what else uses the GPU"
    with pytest.raises(KernelError, match=message):
        use()
    use()


def test_free_memory_is_what_cuda_says(driver: Driver, fake_cuda: FakeCuda) -> None:
    before = driver.free_memory()
    buffer = driver.allocate(1 << 20)
    assert before - driver.free_memory() == 1 << 20
    buffer.free()
    assert driver.free_memory() == before <= driver.gpu.memory
    fake_cuda.fail("cuMemGetInfo", "UNKNOWN")
    with pytest.raises(KernelError, match="cannot ask for the GPU's memory: CUDA_ERROR_UNKNOWN"):
        driver.free_memory()


def in_thread(call: Callable[[], None]) -> None:
    """Run it in another thread; its exception is raised here."""
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def test_another_thread_may_use_and_close_it(package: str, fake_cuda: FakeCuda) -> None:
    fake_cuda.kernel(ADD, add)
    driver = open_driver(package)
    function, stream, first = driver.load(ADD, "add", 0), driver.stream(), driver.allocate(16)

    def work() -> None:
        second, own = driver.allocate(16), driver.stream()
        target = driver.pinned(16).view(np.float32)
        with driver.capture(own) as graphs:
            driver.launch(function, (1, 1, 1), 64, 0, own, ["*fp32", "i32", "fp32"], [second.address, 4, 1.0])
        driver.upload(second.address, np.zeros(4, np.float32), own)
        graphs[0].launch(own)
        driver.download(target, second.address, own)
        driver.synchronize(own)
        assert target.tolist() == [1] * 4
        timer = driver.timer()
        timer.start(stream)
        timer.stop(stream)
        timer.milliseconds()
        first.free()
        assert fake_cuda.depth() == 0
        driver.close()

    in_thread(work)
    gc.collect()
    assert fake_cuda.alive() == {}
    assert fake_cuda.leaked() == {}


def test_two_threads_at_once(driver: Driver, fake_cuda: FakeCuda) -> None:
    fake_cuda.kernel(ADD, add)
    function = driver.load(ADD, "add", 0)
    totals: list[float] = []

    def work() -> None:
        stream, buffer = driver.stream(), driver.allocate(16)
        x = np.zeros(4, np.float32)
        driver.upload(buffer.address, x, stream)
        for _ in range(50):
            driver.launch(
                function, (1, 1, 1), 64, 0, stream, ["*fp32", "i32", "fp32"], [buffer.address, 4, 1.0]
            )
            driver.synchronize(stream)
        driver.download(x, buffer.address, stream)
        buffer.free()
        totals.extend(x)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert totals == [50] * 12


def test_everything_is_given_back(package: str, fake_cuda: FakeCuda) -> None:
    driver = open_driver(package)
    function, stream = driver.load(ADD, "add", 0), driver.stream()
    freed, kept, timer = driver.allocate(100), driver.allocate(100), driver.timer()
    with driver.capture(stream) as graphs:
        driver.launch(function, (1, 1, 1), 64, 0, stream, ["*fp32", "i32", "fp32"], [kept.address, 0, 0.0])
    pinned = driver.pinned(100)
    freed.free()
    freed.free()
    assert fake_cuda.alive()["allocations"] == 1
    driver.close()
    driver.close()
    kept.free()
    pinned[:] = 1  # an array outlives the driver
    assert fake_cuda.alive() == {"contexts": 1, "pinned": 1}
    del pinned
    gc.collect()
    assert fake_cuda.alive() == {}
    assert fake_cuda.leaked() == {}
    assert fake_cuda.depth() == 0
    for use in (driver.stream, driver.timer, lambda: driver.allocate(1), lambda: graphs[0].launch(stream)):
        with pytest.raises(KernelError, match="closed"):
            use()
    del timer


def test_a_view_keeps_pinned_memory(driver: Driver, fake_cuda: FakeCuda) -> None:
    view = driver.pinned(64).view(np.float32)[4:8]
    gc.collect()
    assert fake_cuda.alive()["pinned"] == 1
    view[:] = 3
    del view
    gc.collect()
    assert "pinned" not in fake_cuda.alive()


def test_drivers_share_the_primary_context(package: str, fake_cuda: FakeCuda) -> None:
    first, second = open_driver(package), open_driver(package)
    assert fake_cuda.alive() == {"contexts": 1}
    first.close()
    second.stream()
    second.close()
    assert fake_cuda.alive() == {}


def test_a_full_gpu_says_what_to_do(driver: Driver, fake_cuda: FakeCuda) -> None:
    message = r"cannot allocate 99,999,999,999 bytes on the GPU: CUDA_ERROR_OUT_OF_MEMORY \(.*smaller batch\)"
    with pytest.raises(KernelError, match=message):
        driver.allocate(99_999_999_999)
    fake_cuda.fail("cuMemHostAlloc", "OUT_OF_MEMORY")
    with pytest.raises(KernelError, match="cannot pin 10 bytes: CUDA_ERROR_OUT_OF_MEMORY"):
        driver.pinned(10)
    driver.allocate(10)


def test_a_failed_kernel_breaks_the_gpu_and_closing_still_works(driver: Driver, fake_cuda: FakeCuda) -> None:
    fake_cuda.kernel(ADD, add)
    function, stream = driver.load(ADD, "add", 0), driver.stream()
    buffer = driver.allocate(16)
    driver.launch(function, (1, 1, 1), 64, 0, stream, ["*fp32", "i32", "fp32"], [buffer.address, 5, 1.0])
    for _ in range(2):
        with pytest.raises(
            KernelError, match=r"CUDA_ERROR_ILLEGAL_ADDRESS \(a kernel failed.*start it again\)"
        ):
            driver.synchronize(stream)
    (error,) = fake_cuda.errors
    assert isinstance(error, Fault)
    fake_cuda.errors.clear()
    driver.close()
    assert fake_cuda.alive() == {}


@pytest.mark.parametrize(
    ("cubin", "symbol", "message"),
    [
        (b"no ELF at all" * 10, "add", "cannot load the kernel add on Fake Orin: CUDA_ERROR_INVALID_IMAGE"),
        (cubins.cubin("add", [], capability=90), "add", "CUDA_ERROR_NO_BINARY_FOR_GPU.*build the kernels"),
        (ADD, "subtract", "cannot find the kernel subtract in its cubin: CUDA_ERROR_NOT_FOUND"),
    ],
)
def test_a_wrong_cubin_is_refused(
    driver: Driver, fake_cuda: FakeCuda, cubin: bytes, symbol: str, message: str
) -> None:
    with pytest.raises(KernelError, match=message):
        driver.load(cubin, symbol, 0)
    driver.close()
    assert fake_cuda.alive() == {}


def test_an_old_driver_refuses_a_cubin_of_a_newer_abi(package: str, fake_cuda: FakeCuda) -> None:
    fake_cuda.reset(driver=12060)
    driver = open_driver(package)
    with pytest.raises(KernelError, match="driver is too old"):
        driver.load(cubins.cubin("add", [], abi=8), "add", 0)
    driver.load(ADD, "add", 0)
    driver.close()


def test_copies_that_are_not_possible_are_refused(driver: Driver) -> None:
    stream, buffer = driver.stream(), driver.allocate(16)
    with pytest.raises(KernelError, match=r"must be C-contiguous$"):
        driver.upload(buffer.address, np.zeros((4, 4), np.uint8).T[:2], stream)
    read_only = np.zeros(4, np.uint8)
    read_only.flags.writeable = False
    with pytest.raises(KernelError, match="C-contiguous and writeable"):
        driver.download(read_only, buffer.address, stream)
    with pytest.raises(KernelError, match="cannot copy 17 bytes to the GPU: CUDA_ERROR_INVALID_VALUE"):
        driver.upload(buffer.address, np.zeros(17, np.uint8), stream)
    with pytest.raises(KernelError, match="cannot copy 1 bytes from the GPU: CUDA_ERROR_INVALID_VALUE"):
        driver.download(np.zeros(1, np.uint8), buffer.address + 16, stream)


def test_a_foreign_stream_is_refused(driver: Driver) -> None:
    for use in (
        driver.synchronize,
        lambda stream: driver.upload(0, np.zeros(1), stream),
        driver.timer().start,
    ):
        with pytest.raises(KernelError, match="0x1234 is no stream of this driver"):
            use(0x1234)


def test_no_gpu_and_no_such_gpu_say_what_to_do(package: str, fake_cuda: FakeCuda) -> None:
    with pytest.raises(KernelError, match="there is no GPU 1, only 0 alone"):
        open_driver(package, 1)
    with pytest.raises(KernelError, match="there is no GPU -1"):
        open_driver(package, -1)
    fake_cuda.disable()
    with pytest.raises(KernelError, match="the NVIDIA driver finds no GPU: see what nvidia-smi says"):
        open_driver(package)


def test_an_open_that_fails_leaves_nothing(package: str, fake_cuda: FakeCuda) -> None:
    fake_cuda.fail("cuDevicePrimaryCtxRetain", "OUT_OF_MEMORY")
    with pytest.raises(KernelError, match="cannot open GPU 0: CUDA_ERROR_OUT_OF_MEMORY"):
        open_driver(package)
    assert fake_cuda.alive() == {}


def test_without_a_driver_on_the_machine_it_says_so(package: str) -> None:
    code = (
        "import ctypes.util, sys\n"
        "if ctypes.util.find_library('cuda'): sys.exit(3)\n"
        "from coke_edge.kernels.driver import open_driver\n"
        f"open_driver({package!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode == 3:
        pytest.skip("this machine has an NVIDIA driver")
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("coke_edge.kernels.targets.KernelError: no NVIDIA driver ("), done.stderr
    assert last.endswith("install it, or take a machine with an NVIDIA GPU")


def test_bindings_newer_than_the_driver_say_which_to_install(
    fake_cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    binding = pytest.importorskip("cuda.bindings.driver")

    def missing(*_: Any) -> None:
        raise RuntimeError('Function "cuEventElapsedTime_v2" not found')

    fake_cuda.reset(driver=12060)
    driver = open_driver("cuda-python")
    monkeypatch.setattr(binding, "cuEventElapsedTime", missing)
    timer, stream = driver.timer(), driver.stream()
    timer.start(stream)
    timer.stop(stream)
    with pytest.raises(
        KernelError,
        match=r"too new for the driver \(.*not found\): install that of its CUDA version, 12.6",
    ):
        timer.milliseconds()
    driver.close()


def test_names_of_packages(fake_cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        KernelError, match="there is no driver package 'torch'; choose from auto, pycuda, cuda-python"
    ):
        open_driver("torch")
    monkeypatch.setattr(drivers, "DRIVERS", {"one": "of_nowhere", "cuda-python": "cuda_python"})
    pytest.importorskip("cuda.bindings")
    opened = open_driver()
    assert opened.name == "cuda-python"
    opened.close()
    monkeypatch.setattr(drivers, "DRIVERS", {"one": "of_nowhere"})
    with pytest.raises(KernelError, match=r"cannot import one \(.*pip install 'coke-edge\[gpu\]'"):
        open_driver()
