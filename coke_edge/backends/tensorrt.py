"""TensorRT, or TensorRT for RTX, on an NVIDIA GPU: the frame goes up, a few hundred bytes come back.

An engine that the cache lacks is built when the backend is opened, with a line that says why; `coke-edge build` does
that beforehand. Where the bundle holds kernels for the GPU they cut the crops and compute the head; where it does not,
OpenCV cuts and the engine holds the head in standard operators, which `description` and the log say.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import weakref
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from coke_edge.bundle import KERNELS, Bundle
from coke_edge.engine import cache
from coke_edge.engine.context import Engine
from coke_edge.engine.crops import WARP, Crops, HostCrops, KernelCrops
from coke_edge.engine.heads import EngineHead, Head, KernelHead, PluginHead
from coke_edge.engine.network import IMAGE
from coke_edge.engine.obtain import machine, opened, wanted
from coke_edge.engine.provider import AUTO, Provider, open_provider
from coke_edge.engine.session import Session
from coke_edge.engine.sidecar import Sidecar
from coke_edge.engine.spec import COMMAND, EngineSpec, choose
from coke_edge.errors import BackendError
from coke_edge.geometry import Affine
from coke_edge.kernels.driver import Driver, Gpu, open_driver
from coke_edge.kernels.launch import Kernels
from coke_edge.kernels.reference import Peaks
from coke_edge.kernels.targets import KernelError

logger = logging.getLogger(__name__)


class TensorRtBackend:
    """An engine of a bundle, with what is before and after it on the GPU. Threads take turns."""

    def __init__(
        self, session: Session, driver: Driver, spec: EngineSpec, description: str, free_before: int
    ) -> None:
        """`free_before` is the driver's `free_memory` before anything was loaded."""
        self.name = f"tensorrt, {spec.precision}"
        self.precision: str = spec.precision
        self.description = description
        self._session, self._driver, self._batch = session, driver, spec.batch
        self._free_before = free_before
        self._turn = threading.Lock()
        # Also when it is forgotten or Python ends: CUDA's own objects do not come down in a good order.
        self._give_back = weakref.finalize(self, give_back, session, driver)

    def __call__(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> Peaks:
        """See `Backend`. More crops than the engine's largest batch run in several, too few are filled up."""
        with self._ours():
            return joined([self._session(frame, some) for some in self._batches(crops)], len(crops))

    def stages(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> tuple[Peaks, dict[str, float]]:
        """See `Staged`: "upload", "warp" (where OpenCV cuts, on the CPU), "backbone" and "head", "download".

        The GPU's parts are told by events inside the CUDA graph that does the work. With the head inside the engine,
        "network" is both. Batches of several runs give the sums of their parts.
        """
        with self._ours():
            runs = [self._session.stages(frame, some) for some in self._batches(crops)]
        parts = {stage: sum(run[stage] for _, run in runs) for stage in runs[0][1]}
        return joined([peaks for peaks, _ in runs], len(crops)), parts

    def gpu_bytes(self) -> int:
        """By how many bytes the GPU's free memory has shrunk since the backend was opened, CUDA's own context apart.

        Weights, scratch memory, kernels, recordings: whatever this process took, and what others took or gave back
        meanwhile. On a Jetson it is one memory with the CPU's.
        """
        with self._ours():
            return self._free_before - self._driver.free_memory()

    @contextlib.contextmanager
    def _ours(self) -> Iterator[None]:
        """One thread at a time, while the GPU was not given back."""
        with told(), self._turn:
            if not self._give_back.alive:
                raise BackendError("this backend was closed: open another")
            yield

    def _batches(self, crops: Sequence[Affine]) -> list[Sequence[Affine]]:
        """Runs that the engine takes; the last one is filled up with its last crop."""
        largest = self._batch.largest
        found = [crops[start : start + largest] for start in range(0, len(crops), largest)]
        missing = self._batch.smallest - len(found[-1])
        found[-1] = [*found[-1], *[crops[-1]] * missing]
        return found

    def close(self) -> None:
        """Give the GPU back; a second call does nothing."""
        with told(), self._turn:
            self._give_back()


def joined(runs: Sequence[Peaks], objects: int) -> Peaks:
    """The peaks of all runs, without those that filled up."""
    if len(runs) == 1 and len(runs[0].index) == objects:
        return runs[0]
    return Peaks(*(np.concatenate(parts)[:objects] for parts in zip(*runs, strict=True)))


def give_back(session: Session, driver: Driver) -> None:
    """Everything that a backend had on the GPU."""
    session.free()
    driver.close()


def load(bundle: Bundle, threads: int, precision: str = AUTO) -> TensorRtBackend:
    """The backend for a graph of a bundle; "auto" takes what was built last for this GPU, or what `choose` says.

    Raises BackendError if TensorRT, a driver package or a GPU is missing, or one of them refuses.
    """
    if threads:
        raise BackendError(
            "the backend tensorrt has no threads to set; leave their number at 0, or take the backend onnxruntime"
        )
    with told():
        driver = open_driver()
        try:
            free_before = driver.free_memory()
            provider, spec, workspace = decide(bundle, driver.gpu, precision)
            want = wanted(bundle, spec, machine(provider, driver.gpu), workspace)
            engine, obtained = opened(provider, bundle, want, notice=logger.warning)
            session, parts = assemble(driver, engine, bundle, spec)
        except BaseException:
            driver.close()
            raise
    description = f"{provider.title}, {spec.precision}, on {driver.gpu.name}; {parts}; {obtained.path}"
    logger.info("%s", description)
    return TensorRtBackend(session, driver, spec, description, free_before)


def decide(bundle: Bundle, gpu: Gpu, precision: str) -> tuple[Provider, EngineSpec, int | None]:
    """Provider, engine and workspace limit: those of the last engine that was built for this GPU and precision."""
    for sidecar in cache.sidecars_of(bundle.sha256):
        if precision in (AUTO, sidecar.spec.precision) and for_gpu(sidecar, gpu):
            spec, _ = choose(bundle, gpu, sidecar.spec.precision, sidecar.spec.head, sidecar.spec.batch)
            return open_provider(sidecar.machine.provider), spec, sidecar.workspace
    spec, reason = choose(bundle, gpu, precision)
    if reason:
        logger.warning("The head runs in standard operators inside the engine, since %s.", reason)
    return open_provider(), spec, None


def for_gpu(sidecar: Sidecar, gpu: Gpu) -> bool:
    """Whether an engine was built for this kind of GPU."""
    built_for = sidecar.machine
    if built_for.capability != gpu.capability:
        return False
    return not built_for.gpu or (built_for.gpu, built_for.processors) == (gpu.name, gpu.processors)


def assemble(driver: Driver, engine: Engine, bundle: Bundle, spec: EngineSpec) -> tuple[Session, str]:
    """The path from frame to peaks, and a description of it. Raises BackendError or KernelError."""
    model, most = bundle.manifest.model, spec.batch.largest
    size = model.input
    image = engine.tensors.get(IMAGE)
    if image is None or (image.dtype, image.shape) != ("uint8", (size.height, size.width, 3)):
        raise BackendError(
            f"the engine does not take uint8 crops of {size.width} × {size.height}: build it again"
        )
    stream = driver.stream()
    artifact = bundle.kernels()
    kernels = (
        Kernels(driver, artifact, lambda binary: bundle.read(KERNELS + binary.file), COMMAND)
        if artifact
        else None
    )
    crops: Crops
    if kernels is None or (reason := lack(kernels, WARP)):
        if kernels:
            logger.warning("OpenCV cuts the crops on the CPU, since %s.", reason)
        crops = HostCrops(driver, size, most)
    else:
        crops = KernelCrops(driver, kernels, size, most, stream)
    head: Head
    if spec.head == "kernels":
        assert kernels is not None  # `choose` saw to it
        head = KernelHead(driver, kernels, engine, bundle, most, stream)
    elif spec.head == "plugin":
        head = PluginHead(driver, engine, most)
    else:
        head = EngineHead(driver, engine, most)
    return Session(driver, stream, engine, crops, head), f"crops by {crops.name}, head by {head.name}"


def lack(kernels: Kernels, name: str) -> str:
    """Why there is no binary of a variant for this GPU; empty if there is one."""
    try:
        kernels.find(name)
    except KernelError as error:
        return str(error)
    return ""


@contextlib.contextmanager
def told() -> Iterator[None]:
    """A KernelError, which comes from below, as the error of a backend."""
    try:
        yield
    except KernelError as error:
        raise BackendError(str(error)) from error
