"""Kernels to machine code ahead of time, for named GPUs, on a machine that has none.

Each target is compiled in a process of its own: a target that the compiler does not know may end it, and a
process that runs Triton's interpreter cannot compile. The same sources and compiler give the same bytes.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import hashlib
import importlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import machine_code, ptx, targets
from .artifact import Artifact, Binary, Parameter, parse, to_json, write
from .plugin_variants import SHARED_MEMORY, plugin_variants
from .targets import KernelError, Target
from .variants import Variant, variants

PTX_TYPES = {"i32": "u32", "i64": "u64", "fp32": "f32"}  # pointers are u64


def build(
    names: Sequence[str],
    folder: Path,
    channels: int = 128,
    dtypes: Sequence[str] = ("fp16",),
    jobs: int | None = None,
    done: Callable[[str], None] = lambda name: None,
    plugin: bool = False,
) -> Artifact:
    """Compile every kernel for the named targets into `folder`; `done` is called with each finished target.

    With `plugin` also those that TensorRT takes into an engine (`plugin_variants.py`). `channels` and `dtypes` (fp16,
    bf16, fp32) are those of the features. `jobs` targets are compiled at a time (one per CPU if None). Raises
    KernelError for an unknown target or dtype, and with the compiler's last error if one cannot be compiled; `folder`
    is touched only when all were.
    """
    wanted = list(dict.fromkeys(targets.named(name) for name in names))
    if not wanted:
        raise KernelError(f"name at least one target: {', '.join(targets.TARGETS)}")
    for target in wanted:
        check_compiler(target)  # both refuse before anything is compiled
        variants(target, channels, dtypes)
    with tempfile.TemporaryDirectory() as temporary:

        def compile_one(target: Target) -> Artifact:
            result = compile_apart(target, channels, dtypes, Path(temporary) / target.name, plugin)
            done(target.name)
            return result

        with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
            results = list(pool.map(compile_one, wanted))
        artifact = Artifact(tuple(b for result in results for b in result.binaries), results[0].versions)
        contents = {b.file: (Path(temporary) / b.target / b.file).read_bytes() for b in artifact.binaries}
    write(folder, artifact, contents)
    return artifact


def compile_apart(
    target: Target, channels: int, dtypes: Sequence[str], folder: Path, plugin: bool = False
) -> Artifact:
    """`compile_target` in a process of its own. Raises KernelError if that fails or dies."""
    folder.mkdir()
    surroundings = {
        **{k: v for k, v in os.environ.items() if not k.startswith("TRITON_") or "PTXAS" in k},
        "TRITON_CACHE_DIR": str(folder / "cache"),  # fresh: nothing that an earlier compiler left
        "TRITON_DISABLE_LINE_INFO": "1",  # the paths of this machine stay out, and a third of the size is enough
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    arguments = [target.name, str(channels), ",".join(dtypes), str(folder), "plugin" if plugin else ""]
    command = [sys.executable, "-m", __name__, *arguments]
    found = subprocess.run(command, capture_output=True, text=True, env=surroundings)
    if found.returncode != 0:
        lines = found.stderr.strip().splitlines() or [f"it ended with {found.returncode} and no message"]
        errors = [line for line in lines if "error" in line.lower()]
        raise KernelError(f"the kernels cannot be compiled for {target.name}: {(errors or lines)[-1]}")
    return parse(found.stdout)


def check_compiler(target: Target) -> None:
    """Raise KernelError if the Triton that is installed is too old for a target."""
    import triton

    major, minor = (int(number) for number in triton.__version__.split(".")[:2])
    if (major, minor) < target.triton:
        needed = ".".join(map(str, target.triton))
        raise KernelError(f"{target.name} needs triton {needed} or later, this is {triton.__version__}")


def compile_target(
    target: Target, channels: int, dtypes: Sequence[str], folder: Path, plugin: bool = False
) -> Artifact:
    """Compile every variant for one target, binaries into `folder`."""
    import triton

    check_compiler(target)
    wanted = variants(target, channels, dtypes)
    if plugin:
        wanted += plugin_variants(target, channels, dtypes)
    binaries = tuple(compile_variant(variant, target, folder) for variant in wanted)
    return Artifact(binaries, {"triton": triton.__version__})


def compile_variant(variant: Variant, target: Target, folder: Path) -> Binary:
    """Compile one variant and look at what came out."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function = getattr(importlib.import_module(f".{variant.kernel}", __package__), variant.kernel)
    places = {name: place for place, name in enumerate(function.arg_names)}
    signature = {name: variant.signature.get(name, "constexpr") for name in function.arg_names}
    promises = {(places[name],): [["tt.divisibility", n]] for name, n in variant.multiples.items()}
    options = {"num_warps": variant.warps, "num_stages": variant.stages, "enable_fp_fusion": True}
    compiled = triton.compile(
        ASTSource(function, signature, variant.constants, promises),
        target=GPUTarget("cuda", target.capability, 32),
        options={**options, "ptx_version": variant.ptx} if variant.ptx else options,
    )
    parameters = tuple(
        Parameter(name, kind, variant.multiples.get(name, 1))
        for name, kind in signature.items()
        if kind != "constexpr"
    )
    slots = scratch_slots(variant.name, parameters, compiled)
    cubin = folder / f"{target.name}-{variant.name}.cubin"
    cubin.write_bytes(compiled.asm["cubin"])
    file = cubin
    if variant.ptx:
        file, slots = cubin.with_suffix(".ptx"), 0
        file.write_text(ptx.with_first_parameters(compiled.asm["ptx"], len(parameters)))
        assemble(file, cubin, target)
        check_shared_memory(variant.name, compiled.metadata.shared)
    resources = machine_code.resources(cubin)
    code = machine_code.instructions(cubin)
    content = file.read_bytes()
    return Binary(
        name=variant.name,
        target=target.name,
        capability=target.capability,
        file=file.name,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        symbol=compiled.metadata.name,
        parameters=parameters,
        scratch_slots=slots,
        block=32 * variant.warps,
        shared_memory=compiled.metadata.shared,
        registers=resources["REG"],
        spills=sum(code[name] for name in machine_code.SPILLS),
        stack=resources["STACK"],
        tensor_instructions={name: code[name] for name in machine_code.TENSOR_OPS if code[name]},
        constants=variant.constants,
        abi=0 if variant.ptx else machine_code.abi(content),
        assembler=assembler(target),
        ptx=variant.ptx,
    )


def assemble(text: Path, cubin: Path, target: Target) -> None:
    """PTX to a cubin, as a driver makes one of it. Raises KernelError if it cannot be done."""
    from triton.backends.nvidia.compiler import get_ptxas, sm_arch_from_capability

    try:
        machine_code.run(
            get_ptxas(target.capability).path,
            f"--gpu-name={sm_arch_from_capability(target.capability)}",
            str(text),
            "-o",
            str(cubin),
        )
    except subprocess.CalledProcessError as error:
        raise KernelError(f"{text.name} cannot be assembled: {error.stderr.strip()}") from error


def check_shared_memory(name: str, size: int) -> None:
    """Raise KernelError for more than a plugin's launch may have."""
    if size > SHARED_MEMORY:
        raise KernelError(
            f"{name} takes {size:,} bytes of shared memory, a plugin may have {SHARED_MEMORY:,}"
        )


def scratch_slots(name: str, parameters: Sequence[Parameter], compiled: Any) -> int:
    """How many pointers Triton put behind the parameters; all of them must be unused, so that 0 will do.

    Raises KernelError if the PTX does not take what the manifest is about to say.
    """
    found = machine_code.parameters(compiled.asm["ptx"])
    expected = [PTX_TYPES.get(parameter.type, "u64") for parameter in parameters]
    bits = [kind.replace("s", "u").replace("b", "u") for kind in found]
    slots = bits[len(expected) :]
    if bits[: len(expected)] != expected or any(kind != "u64" for kind in slots):
        raise KernelError(f"{name} takes {found} in the PTX, not {expected} and scratch pointers")
    sizes = {
        key: getattr(compiled.metadata, key, 0) for key in ("global_scratch_size", "profile_scratch_size")
    }
    if any(sizes.values()):
        raise KernelError(f"{name} wants scratch memory, which the launch does not give: {sizes}")
    return len(slots)


def assembler(target: Target) -> str:
    """The version of the ptxas that Triton takes for a target."""
    from triton.backends.nvidia.compiler import get_ptxas

    text = machine_code.run(get_ptxas(target.capability).path, "--version")
    found = re.search(r"V(\d+\.\d+\.\d+)", text)
    return found.group(1) if found else text.strip()


def main(name: str, channels: str, dtypes: str, folder: str, plugin: str) -> None:
    """One target, as `compile_apart` asks for it; its manifest goes to stdout."""
    target = targets.named(name)
    print(to_json(compile_target(target, int(channels), dtypes.split(","), Path(folder), bool(plugin))))


if __name__ == "__main__":
    main(*sys.argv[1:])
