"""What an engine is built for: chosen by the user, or from what the bundle and the GPU offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from coke_edge.errors import BackendError
from coke_edge.kernels.artifact import Artifact
from coke_edge.kernels.launch import binary_for
from coke_edge.kernels.plugin_variants import PEAKS, match_plugin_name
from coke_edge.kernels.targets import KernelError
from coke_edge.kernels.variants import match_name, peaks_name

if TYPE_CHECKING:
    from coke_edge.bundle import Bundle
    from coke_edge.kernels.driver import Gpu

AUTO = "auto"
Precision = Literal["fp16", "fp32", "int8", "fp8"]
Head = Literal["kernels", "standard", "plugin"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
HEADS: tuple[Head, ...] = get_args(Head)
LAYOUT = "nhwc"  # in which engines give the features
OLDEST_FP8 = 89  # compute capability
LARGEST_BATCH = 8  # of the profile, unless the user says otherwise
COMMAND = "coke-edge export CHECKPOINT --targets {targets}"  # what adds kernels to a bundle
PLUGIN_COMMAND = f"{COMMAND} --plugin"  # and the plugin's


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers of crops that an engine takes at a time, and the one that it is tuned for."""

    smallest: int = 1
    typical: int = 1
    largest: int = LARGEST_BATCH

    def __post_init__(self) -> None:
        """Raises ValueError unless 1 ≤ smallest ≤ typical ≤ largest."""
        if not 1 <= self.smallest <= self.typical <= self.largest:
            raise ValueError(
                f"a batch is SMALLEST,TYPICAL,LARGEST with 1 ≤ SMALLEST ≤ TYPICAL ≤ LARGEST, not "
                f"{self.smallest},{self.typical},{self.largest}"
            )


class EngineSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An engine of a bundle, apart from the machine that it is for."""

    precision: Precision  # of the graph that it is built from
    head: Head  # kernels: the engine ends at the features; standard: it holds the whole graph; plugin: kernels in it
    batch: Batch = Batch()

    @property
    def graph(self) -> str:
        """The entry of the bundle that holds the graph."""
        return f"model.{self.precision}.onnx"

    @property
    def features(self) -> str:
        """Dtype that the kernels are given, a name in variants.DTYPES: fp32 stays, everything else is fp16."""
        return "fp32" if self.precision == "fp32" else "fp16"


def choose(
    bundle: Bundle, target: Gpu | int, precision: str = AUTO, head: str = AUTO, batch: Batch | None = None
) -> tuple[EngineSpec, str]:
    """The spec for a bundle on a GPU, or on any GPU of a compute capability (89 is 8.9).

    auto is fp16 where the bundle has it, else fp32; and the head in kernels where the bundle has them for the GPU.
    Beside it, why auto did not choose the kernels, one clause; empty if it did or was not asked.
    The head is a plugin only if asked for. Raises BackendError for a precision that the bundle or the GPU lacks, or
    kernels that the bundle lacks.
    """
    has = [p for p in PRECISIONS if f"model.{p}.onnx" in bundle.manifest.entries]
    if precision not in (AUTO, *PRECISIONS):
        raise BackendError(
            f"there is no precision {precision!r}; choose from {', '.join((AUTO, *PRECISIONS))}"
        )
    chosen = has[0] if precision == AUTO else msgspec.convert(precision, Precision)
    if chosen not in has:
        raise BackendError(
            f"{bundle.path} has no {chosen} graph, only {', '.join(has)}; "
            f"coke-edge export CHECKPOINT --precision {','.join([*has, chosen])} adds it"
        )
    capability = target if isinstance(target, int) else target.capability
    if chosen == "fp8" and capability < OLDEST_FP8:
        raise BackendError(
            f"a GPU of compute capability {capability / 10:.1f} has no fp8 arithmetic, which came with "
            f"{OLDEST_FP8 / 10:.1f}; take fp16 or int8"
        )
    if head not in (AUTO, *HEADS):
        raise BackendError(f"there is no head {head!r}; choose from {', '.join((AUTO, *HEADS))}")
    spec = EngineSpec(chosen, "kernels", batch or Batch())
    standard = msgspec.structs.replace(spec, head="standard")
    if head == "standard":
        return standard, ""
    if head == "plugin":
        if reason := without_plugin(bundle, target, spec.features):
            raise BackendError(
                f"the head cannot be a plugin: {reason}; --head kernels and --head standard need none"
            )
        return msgspec.structs.replace(spec, head="plugin"), ""
    reason = without_kernels(bundle, target, spec.features)
    if reason and head == "kernels":
        raise BackendError(f"the head cannot run in kernels: {reason}; --head standard needs none")
    return (standard if reason else spec), reason


def without_kernels(bundle: Bundle, target: Gpu | int, features: str) -> str:
    """Why the head cannot run in kernels on features of a dtype, one clause; empty if it can."""
    kernels = bundle.kernels()
    if kernels is None:
        return f"{bundle.path} holds no kernels (coke-edge export --targets adds them)"
    try:
        for name in (match_name(features, LAYOUT, soft=True), peaks_name(soft=True)):
            if isinstance(target, int):
                kernels.find(name, target, COMMAND)
            else:
                binary_for(target, kernels, name, COMMAND)
    except KernelError as error:
        return str(error)
    return ""


def without_plugin(bundle: Bundle, target: Gpu | int, features: str) -> str:
    """Why the head cannot be a plugin on features of a dtype, one clause; empty if it can."""
    capability = target if isinstance(target, int) else target.capability
    kernels = bundle.kernels() or Artifact((), {})
    try:
        for name in (match_plugin_name(features), PEAKS):
            kernels.find(name, capability, PLUGIN_COMMAND)
    except KernelError as error:
        return str(error)
    return ""
