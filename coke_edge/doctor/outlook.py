"""What will run where: a bundle on a machine, backend by backend."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from coke_edge.doctor import remedy
from coke_edge.doctor.finding import Finding

if TYPE_CHECKING:
    from coke_edge.bundle import Bundle
    from coke_edge.doctor.machine import Machine
    from coke_edge.doctor.report import Facts
    from coke_edge.kernels.artifact import Artifact

READY, BUILD, MISSING = "ready", "build", "missing"  # build: all is there but the engine
NEEDED = ("msgspec", "numpy", "safetensors", "cv2")  # by every backend


@dataclasses.dataclass(frozen=True)
class BackendOutlook:
    """One backend: whether it can run the bundle, and what it would need."""

    backend: str
    status: str  # ready, build, missing
    device: str | None
    precision: str | None  # that it takes if nobody asks for another
    precisions: tuple[str, ...]  # that the bundle has for it
    note: str | None
    missing: tuple[Finding, ...]


@dataclasses.dataclass(frozen=True)
class BundleOutlook:
    """One bundle on all backends."""

    bundle: str  # as the user named it
    name: str | None  # its own
    targets: tuple[str, ...]  # that it has kernels for
    runs: bool  # on some backend, now or once its engine is built
    error: str | None  # why it could not be looked into
    backends: tuple[BackendOutlook, ...]


def unopened(argument: str, facts: Facts) -> BundleOutlook | None:
    """The outlook where packages are broken without which no bundle can be opened and run; None if none is."""
    missing = tuple(broken(name, facts) for name in NEEDED if not facts.packages[name].usable)
    if not missing:
        return None
    backend = BackendOutlook("onnxruntime", MISSING, None, None, (), None, missing)
    return BundleOutlook(
        argument, None, (), False, "packages are broken that every backend needs", (backend,)
    )


def look_at(argument: str, bundle: Bundle, machine: Machine, facts: Facts) -> BundleOutlook:
    """The outlook of an opened bundle. Raises BundleError if the manifest of its kernels is broken."""
    kernels = bundle.kernels()
    backends = (onnxruntime(bundle, facts), tensorrt(argument, bundle, machine, facts))
    return BundleOutlook(
        bundle=argument,
        name=bundle.manifest.name,
        targets=tuple(kernels.targets()) if kernels else (),
        runs=any(backend.status != MISSING for backend in backends),
        error=None,
        backends=backends,
    )


def broken(name: str, facts: Facts) -> Finding:
    """A package that cannot be imported, and the command that installs it anew."""
    from coke_edge.doctor.importing import DISTRIBUTIONS

    found = facts.packages[name]
    distribution = found.distribution or DISTRIBUTIONS[name][0]
    return Finding(f"cannot import {name} ({found.error})", remedy.package(distribution, found.version))


def onnxruntime(bundle: Bundle, facts: Facts) -> BackendOutlook:
    """ONNX Runtime, which runs on the CPU wherever its package loads."""
    from coke_edge.backends.onnxruntime import GRAPHS

    missing = () if facts.packages["onnxruntime"].usable else (broken("onnxruntime", facts),)
    return BackendOutlook(
        backend="onnxruntime",
        status=MISSING if missing else READY,
        device=f"CPU: {facts.system.cpu}",
        precision="fp32",
        precisions=tuple(name for name, entry in GRAPHS.items() if entry in bundle.manifest.entries),
        note=None,
        missing=missing,
    )


def tensorrt(argument: str, bundle: Bundle, machine: Machine, facts: Facts) -> BackendOutlook:
    """TensorRT, which needs a GPU, its own package and one that launches our kernels."""
    from coke_edge.doctor.engine import expect
    from coke_edge.engine.spec import PRECISIONS

    precisions = tuple(name for name in PRECISIONS if f"model.{name}.onnx" in bundle.manifest.entries)
    if not facts.gpu.devices:
        note = f"{remedy.on_a_gpu_machine(argument)}; {kernels_in_words(bundle.kernels())}"
        return BackendOutlook("tensorrt", MISSING, None, None, precisions, note, facts.gpu.findings)
    device = facts.gpu.devices[0]
    missing = tuple(missing_packages(machine, facts))
    engine = expect(bundle, facts)
    status = MISSING if missing else BUILD if engine.absence else READY
    yet_to_be_built = f"its engine is yet to be built: {engine.absence}"
    return BackendOutlook(
        backend="tensorrt",
        status=status,
        device=f"GPU: {device.name}, compute capability {device.capability / 10:.1f}",
        precision=engine.precision,
        precisions=precisions,
        note=f"{engine.note}; {yet_to_be_built}" if status == BUILD else engine.note,
        missing=missing,
    )


def missing_packages(machine: Machine, facts: Facts) -> list[Finding]:
    """TensorRT, and pycuda or cuda-python, where a GPU is there."""
    from coke_edge.doctor.engine import providers

    found = wrong_cuda(facts)
    package = facts.packages["tensorrt"]
    if not providers(facts) and package.usable:
        what = f"TensorRT {package.version} is too old: coke-edge needs 10.3 or later (JetPack 6.1)"
        found.append(Finding(what, remedy.newer_tensorrt(facts.jetson)))
    elif not providers(facts):
        what = f"TensorRT is missing ({package.error})"
        found.append(Finding(what, remedy.tensorrt(machine, facts.jetson, facts.gpu)))
    launchers = {"pycuda": "pycuda.driver", "cuda-python": "cuda.bindings.driver"}
    if not any(facts.packages[module].usable for module in launchers.values()):
        errors = [f"{name}: {facts.packages[module].error}" for name, module in launchers.items()]
        what = f"neither pycuda nor cuda-python can be imported ({'; '.join(errors)})"
        found.append(Finding(what, remedy.launch_package(facts.jetson, facts.gpu)))
    return found


def wrong_cuda(facts: Facts) -> list[Finding]:
    """TensorRT from pip that is built for a newer CUDA than the driver's."""
    from coke_edge.doctor.engine import providers
    from coke_edge.engine.provider import MODULES

    name = next(iter(providers(facts)), None)
    built_for = facts.packages[MODULES[name]].details.get("cuda") if name else None
    if name is None or built_for is None or built_for <= remedy.cuda_major(facts.gpu):
        return []
    what = f"{name} is the build for CUDA {built_for}, the driver is of CUDA {facts.gpu.cuda}"
    return [Finding(what, remedy.other_tensorrt(name, facts.gpu))]


def kernels_in_words(kernels: Artifact | None) -> str:
    """Which GPUs a bundle has kernels for."""
    if kernels is None:
        return "the bundle has kernels for no GPU, so the head would run inside the engine"
    return f"the bundle has kernels for {', '.join(kernels.targets())}"
