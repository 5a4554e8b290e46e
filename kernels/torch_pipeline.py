"""From a frame to peaks in torch: the crop kernel, any network, the head's kernels.

    frame, affines → upload → warp → backbone → head → download → peaks

On a GPU everything runs on one stream. The first frame of a size, with a number of crops, runs as it is, which compiles
kernels and lets libraries choose theirs; from the second on the three middle parts are CUDA graphs, replayed one after
the other. Graphs of their own let plain events stand between them: a call whose stages are timed is the same call.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import dataclasses
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .packed import unpack
from .reference import Peaks
from .targets import KernelError
from .torch_staging import AFFINE, Key, Staging

STAGES = ("upload", "warp", "backbone", "head", "download")
RECORDINGS = 8  # kept; the one that was used longest ago goes first


class Parts(NamedTuple):
    """What runs on the device. Results of the same inputs' shapes have the same shapes."""

    # From a frame uint8 [H, W, 3] and affines float32 [B, 2, 3], crop to frame.
    warp: Callable[[Tensor, Tensor], Tensor]
    backbone: Callable[[Tensor], Tensor]  # crops → features
    head: Callable[[Tensor], Tensor]  # features → packed peaks, int32 [B, K, M, 13]


@dataclasses.dataclass
class Run:
    """The tensors of one key, and the graphs that write them once there are some."""

    frame: Tensor  # views of what is staged
    affines: Tensor
    crops: Tensor | None = None
    features: Tensor | None = None
    packed: Tensor | None = None
    graphs: tuple[Callable[[], object], ...] = ()

    def words(self) -> Tensor:
        """The packed peaks, after a run."""
        assert self.packed is not None
        return self.packed


class Laps:
    """Marks before every stage and after the last: events on a stream, or the host's clock where there is none."""

    staged = 0.0  # time.perf_counter() when the host's part was done

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        count = len(STAGES) + 1
        self._times = [0.0] * count
        self._events: list[Any] = [torch.cuda.Event(enable_timing=True) for _ in range(count) if stream]

    def mark(self, place: int) -> None:
        if self._stream:
            self._events[place].record(self._stream)
        else:
            self._times[place] = time.perf_counter()

    def milliseconds(self) -> list[float]:
        """From each mark to the next, once the stream is synchronised."""
        if self._stream:
            return [float(a.elapsed_time(b)) for a, b in zip(self._events, self._events[1:], strict=False)]
        return [1e3 * (b - a) for a, b in zip(self._times, self._times[1:], strict=False)]


class TorchPipeline:
    """Frames of any size to peaks, for one network. Not for two threads at once."""

    def __init__(self, parts: Parts, device: str | torch.device = "cuda") -> None:
        """The parts run on `device`; on a CPU there is nothing to record or to copy."""
        self._parts, self._device = parts, torch.device(device)
        self._cuda = self._device.type == "cuda"
        self._runs: OrderedDict[Key, Run] = OrderedDict()
        self._staging = Staging(0, 0, self._device)
        self._stream: Any = torch.cuda.Stream(self._device) if self._cuda else None
        self._laps = Laps(self._stream)

    def __call__(self, frame: NDArray[np.uint8], affines: ArrayLike) -> Peaks:
        """Peaks of B ≥ 1 regions of a frame [H, W, 3] BGR; affines [B, 2, 3] take a crop's pixels to the frame's.

        Raises KernelError for what the kernels do not take.
        """
        return unpack(self._words(frame, affines, None))

    def stages(self, frame: NDArray[np.uint8], affines: ArrayLike) -> tuple[Peaks, dict[str, float]]:
        """What a call gives, and the milliseconds of its STAGES.

        On a GPU they are its own, between events on its stream; the host's copy of the frame to page-locked memory
        counts to "upload", and taking the peaks out of their words to "download".
        """
        laps, start = self._laps, time.perf_counter()
        words = self._words(frame, affines, laps)
        ended = time.perf_counter()
        peaks = unpack(words)
        parts = dict(zip(STAGES, laps.milliseconds(), strict=True))
        parts["upload"] += 1e3 * (laps.staged - start)
        parts["download"] += 1e3 * (time.perf_counter() - ended)
        return peaks, parts

    @torch.inference_mode()
    def _words(self, frame: NDArray[np.uint8], affines: ArrayLike, laps: Laps | None) -> NDArray[np.int32]:
        """Packed peaks [B, K, M, 13], with marks around the stages if they are timed."""
        inverses = np.asarray(affines, np.float32)
        check(frame, inverses)
        key = Key(len(inverses), *frame.shape[:2])
        if not self._staging.holds(key):
            self._runs.clear()
            self._staging = self._staging.grown(key)
        self._staging.put(frame, inverses)
        if laps:
            laps.staged = time.perf_counter()
        with self._working():
            run = self._run(key)
            found: list[Tensor] = []
            stages = (
                lambda: self._staging.upload(key),
                *(run.graphs or self._pieces(run)),
                lambda: found.append(self._staging.download(run.words())),
            )
            for place, stage in enumerate(stages):
                if laps:
                    laps.mark(place)
                stage()
            if laps:
                laps.mark(len(stages))
        if self._cuda:
            self._stream.synchronize()
        self._keep(key, run)
        return np.array(found[0].numpy())

    def _run(self, key: Key) -> Run:
        """The tensors of a key; recorded if it is not the first time."""
        run = self._runs.get(key)
        if run is None:
            return Run(*self._staging.device_views(key))
        if self._cuda and not run.graphs:
            self._record(run)
        return run

    def _pieces(self, run: Run) -> tuple[Callable[[], object], ...]:
        def warp() -> None:
            run.crops = self._parts.warp(run.frame, run.affines)

        def backbone() -> None:
            assert run.crops is not None
            with exact():
                run.features = self._parts.backbone(run.crops)

        def head() -> None:
            assert run.features is not None
            run.packed = self._parts.head(run.features)

        return warp, backbone, head

    def _record(self, run: Run) -> None:
        """A graph of each piece. They share their memory, as they are replayed in this order."""
        graphs: list[Any] = []
        pool = torch.cuda.graph_pool_handle()
        for work in self._pieces(run):
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool, stream=self._stream):
                work()
            graphs.append(graph)
        run.graphs = tuple(graph.replay for graph in graphs)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """On the stream, where there is one."""
        if not self._cuda:
            yield
            return
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            yield

    def _keep(self, key: Key, run: Run) -> None:
        self._runs[key] = run
        self._runs.move_to_end(key)
        while len(self._runs) > RECORDINGS:
            self._runs.popitem(last=False)


def free_memory(device: str | torch.device) -> int:
    """Bytes of a GPU that nobody uses, of any process; 0 for a CPU."""
    device = torch.device(device)
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 0


@contextmanager
def exact() -> Iterator[None]:
    """Convolutions by the fastest kernels for their sizes, but none that round float32 to TF32."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
        yield


def check(frame: NDArray[np.uint8], inverses: Sequence[Any] | NDArray[np.float32]) -> None:
    """Raises KernelError unless it is a frame, and affines for it."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise KernelError(f"a frame must be uint8 [H, W, 3], not {frame.dtype} {list(frame.shape)}")
    shape = np.shape(inverses)
    if len(shape) != 3 or shape[1:] != AFFINE or shape[0] < 1 or not np.isfinite(inverses).all():
        raise KernelError(f"affines must be finite, [B, 2, 3] of one crop or more, not {list(shape)}")
