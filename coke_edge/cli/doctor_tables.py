"""What `coke-edge doctor` found, in tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from coke_edge.cli.next_step import say
from coke_edge.cli.tables import number

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from coke_edge.doctor.difference import Difference
    from coke_edge.doctor.finding import Finding
    from coke_edge.doctor.outlook import BundleOutlook
    from coke_edge.doctor.packages import Package
    from coke_edge.doctor.report import Facts, Report
    from coke_edge.doctor.selftest import Selftest

EXTRAS = {"train": ("torch", "timm"), "export": ("onnx",)}
STATUS = {"ready": "ready", "build": "engine to be built", "missing": "missing"}
READERS = {"ffmpeg": "FFmpeg", "gstreamer": "GStreamer"}
GB = 1e9


def show(console: Console, report: Report) -> None:
    """The report for people."""
    console.print(machine_table(report.facts))
    for finding in notes(report.facts):
        tell(console, finding)
    for bundle in report.bundles:
        console.print()
        show_bundle(console, bundle)
    for test in report.selftest or ():
        console.print()
        show_selftest(console, test)


def machine_table(facts: Facts) -> Table:
    """What is there, a row for each kind of thing."""
    from rich.markup import escape
    from rich.table import Table

    grid = Table(show_header=False)
    for key, value in rows(facts):
        grid.add_row(escape(key), escape(value))
    return grid


def rows(facts: Facts) -> Iterator[tuple[str, str]]:
    """The table's rows as text."""
    system, gpu, jetson = facts.system, facts.gpu, facts.jetson
    places = [
        f"in a {system.container} container" if system.container else "",
        "in Windows (WSL)" if system.wsl else "",
    ]
    yield (
        "system",
        ", ".join(filter(None, [system.os, f"Linux {system.kernel}", system.architecture, *places])),
    )
    if jetson is not None:
        yield "Jetson", f"{jetson.model}, JetPack {jetson.jetpack or '?'}, Jetson Linux {jetson.linux or '?'}"
        clocks = {True: "locked", False: "follow the load", None: "unknown"}[jetson.clocks_locked]
        yield "power", f"mode {jetson.power_mode or 'unknown'}, clocks {clocks}"
    environment = "no virtual environment" if system.environment == "none" else system.environment
    yield "Python", f"{system.python}, {environment}"
    dot = "with" if system.int8_dot_product else "without"
    instructions = " ".join(system.instructions) or "no vector instructions known to us"
    yield "CPU", f"{system.cpu}, {number(system.cores, 'core')}, {instructions} ({dot} int8 dot products)"
    yield "memory", f"{system.memory / GB:.1f} GB, {system.memory_available / GB:.1f} GB available"
    yield "cache", f"{system.cache}, {system.cache_free / GB:.1f} GB free on its disk"
    for device in gpu.devices:
        yield (
            "GPU",
            f"{device.name}, compute capability {device.capability / 10:.1f}, {device.memory / GB:.1f} GB",
        )
    if not gpu.devices:
        yield "GPU", "; ".join(finding.what for finding in gpu.findings)
    yield (
        "CUDA",
        f"driver {gpu.driver or '–'}, of CUDA {gpu.cuda or '–'}; toolkit (nvcc) {gpu.toolkit or '–'}",
    )
    yield "TensorRT", versions(facts, {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt-rtx"})
    yield (
        "CUDA in Python",
        versions(facts, {"pycuda.driver": "pycuda", "cuda.bindings.driver": "cuda-python"}),
    )
    yield "OpenCV", opencv_in_words(facts.packages["cv2"])
    yield "ONNX Runtime", onnxruntime_in_words(facts.packages["onnxruntime"])
    for extra, modules in EXTRAS.items():
        yield f"extra {extra}", versions(facts, {module: module for module in modules})
    yield "cameras", "\n".join(f"{c.node}: {c.name} ({c.kind})" for c in facts.cameras.found) or "none"


def versions(facts: Facts, names: dict[str, str]) -> str:
    """Module → name, each with its version or a dash; one that is there and cannot be imported says why."""
    return "\n".join(f"{name} {version(facts.packages[module])}" for module, name in names.items())


def version(package: Package) -> str:
    """The version, a dash, or the version and why it cannot be imported."""
    if package.usable:
        return package.version or "?"
    return f"{package.version}, but: {package.error}" if package.version else "–"


def opencv_in_words(package: Package) -> str:
    """Version, windows, and what opens videos."""
    if not package.usable:
        return version(package)
    parts = package.details
    windows = f"windows by {parts['gui']}" if parts.get("gui") else "headless"
    readers = [f"{'with' if parts.get(key) else 'without'} {name}" for key, name in READERS.items()]
    return ", ".join([version(package), windows, *readers])


def onnxruntime_in_words(package: Package) -> str:
    """Version and providers."""
    providers = [name.removesuffix("ExecutionProvider") for name in package.details.get("providers", ())]
    return f"{version(package)}, providers {', '.join(providers)}" if package.usable else version(package)


def notes(facts: Facts) -> list[Finding]:
    """The findings about the machine; those about the GPU and packages stand at the bundles that need them."""
    board = facts.jetson.findings if facts.jetson else ()
    return [*board, *facts.cameras.findings]


def tell(console: Console, finding: Finding, prefix: str = "") -> None:
    """A finding on a line, its command on one of its own, to be copied."""
    say(console, f"• {prefix}{finding.what}")
    if finding.command:
        say(console, f"    {finding.command}")


def show_bundle(console: Console, bundle: BundleOutlook) -> None:
    """What will run where, and for each missing piece the command that brings it."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"What runs {bundle.bundle}", style="bold"), title_justify="left")
    for column in ("backend", "status", "precision", "where"):
        table.add_column(column)
    for backend in bundle.backends:
        cells = (backend.backend, STATUS[backend.status], backend.precision or "–", backend.device or "–")
        table.add_row(*map(Text, cells))
    console.print(table)
    if bundle.error:
        say(console, f"The bundle could not be opened: {bundle.error}.")
    for backend in bundle.backends:
        for finding in backend.missing:
            tell(console, finding, f"{backend.backend}: ")
        if backend.note:
            say(console, f"• {backend.backend}: {backend.note}")


def show_selftest(console: Console, test: Selftest) -> None:
    """The trials, and what is wrong with them."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"Selftest of {test.bundle}", style="bold"), title_justify="left")
    for column in ("backend", "verdict", "px median, mean, max", "responses", "elsewhere"):
        table.add_column(column)
    for trial in test.trials:
        cells = (f"{trial.backend} {trial.precision}", trial.verdict, *figures(trial.difference))
        table.add_row(*map(Text, cells))
    console.print(table)
    if len(test.trials) == 1:
        say(console, "It is alone here: there is nothing to compare it with.")
    else:
        say(console, "Distances in crop pixels from the reference, on the picture in the package.")
    for trial in test.trials:
        if trial.reason:
            say(console, f"• {trial.backend} {trial.precision}: {trial.reason}")


def figures(difference: Difference | None) -> list[str]:
    """The numbers of a trial, or dashes."""
    if difference is None:
        return ["–"] * 3
    pixels = ", ".join(f"{value:.3f}" for value in (difference.median, difference.mean, difference.max))
    return [pixels, f"{difference.response_max:.4f}", f"{difference.elsewhere} of {difference.keypoints}"]
