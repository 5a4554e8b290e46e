"""Our kernels for plugins: PTX without code, and what they do, in numpy, on the fake driver's memory."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fake_cuda import cubins, numpy_kernels
from fake_cuda.library import Fault, Launch

from coke_edge.kernels import artifact, targets
from coke_edge.kernels.artifact import Artifact, Binary, Parameter
from coke_edge.kernels.plugin_variants import plugin_variants
from coke_edge.kernels.variants import Variant


def build(
    folder: Path, names: Sequence[str] = ("orin",), channels: int = 128, dtypes: Sequence[str] = ("fp16",)
) -> Artifact:
    """What `coke-edge kernels build --plugin` would write, without compiling anything."""
    others = cubins.build(folder, names, channels)
    contents = {binary.file: (folder / binary.file).read_bytes() for binary in others.binaries}
    binaries = list(others.binaries)
    for name in names:
        target = targets.named(name)
        for variant in plugin_variants(target, channels, dtypes):
            binary, content = fake_binary(variant, target)
            binaries.append(binary)
            contents[binary.file] = content
    made = Artifact(tuple(binaries), others.versions)
    artifact.write(folder, made, contents)
    return made


def fake_binary(variant: Variant, target: targets.Target) -> tuple[Binary, bytes]:
    """A variant's entry in the manifest, and its PTX."""
    parameters = tuple(
        Parameter(name, kind, variant.multiples.get(name, 1)) for name, kind in variant.signature.items()
    )
    content = text(variant, target).encode()
    return Binary(
        name=variant.name,
        target=target.name,
        capability=target.capability,
        file=f"{target.name}-{variant.name}.ptx",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        symbol=variant.kernel,
        parameters=parameters,
        scratch_slots=0,
        block=32 * variant.warps,
        shared_memory=25088 if "match" in variant.name else 128,
        registers=64,
        spills=0,
        stack=0,
        tensor_instructions={},
        constants=variant.constants,
        abi=0,
        assembler="none",
        ptx=variant.ptx,
    ), content


def text(variant: Variant, target: targets.Target) -> str:
    """PTX of an entry that does nothing."""
    kinds = ["u32" if kind == "i32" else "u64" for kind in variant.signature.values()]
    listed = ",\n".join(f"\t.param .{kind} {variant.kernel}_param_{i}" for i, kind in enumerate(kinds))
    return (
        f"// {variant.name}\n.version {variant.ptx / 10}\n.target sm_{target.capability}\n.address_size 64\n"
        f".visible .entry {variant.kernel}(\n{listed}\n)\n.reqntid {32 * variant.warps}\n{{\n\tret;\n}}\n"
    )


def install(module: Any, made: Artifact) -> None:
    """Let the plugins of a folder compute in a fake `tensorrt`, whether they were compiled or only written."""
    for binary in made.binaries:
        if binary.ptx:
            module._state.plugin_kernels[binary.sha256] = lambda fake, launch, binary=binary: run(
                fake, launch, binary
            )


def run(fake: Any, launch: Launch, binary: Binary) -> None:
    """Launch one. Raises Fault for a misused pointer, ValueError for a broken promise."""
    values = dict(binary.constants)
    for parameter, word in zip(binary.parameters, launch.parameters, strict=True):
        value = int.from_bytes(word, "little", signed=parameter.type == "i32")
        if value % parameter.multiple_of:
            raise ValueError(
                f"{binary.name}: {parameter.name} = {value} is no multiple of {parameter.multiple_of}"
            )
        values[parameter.name] = value
    if (launch.shared_memory, launch.block) != (binary.shared_memory, (binary.block, 1, 1)):
        raise Fault(
            f"{binary.name} was launched with {launch.shared_memory} bytes and {launch.block} threads"
        )
    call = numpy_kernels.Call(fake, launch, binary, values)
    tau, inverse, weight = call.array("settings", 3).tolist()
    if binary.symbol == "plugin_match":
        more = {
            "image_stride": values["CHANNELS"] * values["cells"],
            "channel_stride": values["cells"],
            "cell_stride": 1,
            "inverse_temperature": inverse,
        }
        kernel = numpy_kernels.match
    else:
        more, kernel = {"temperature": tau, "weight": weight}, numpy_kernels.peaks
    kernel(dataclasses.replace(call, values={**values, **more, "SOFT": True}))
