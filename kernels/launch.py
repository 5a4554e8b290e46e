"""Launch of the ahead-of-time kernels, with numpy and a driver alone: the binary for the GPU, every promise checked.

A binary was compiled for one compute capability and on promises: pointers and strides are multiples of 16 bytes,
some arguments are constants. A GPU does not notice a broken promise, it computes something else; so none gets there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import artifact
from .artifact import Artifact, Binary, Parameter
from .driver import Driver, Gpu
from .targets import KernelError

Value = int | float

INTEGER_BITS = {"i32": 32, "i64": 64}
POINTER_BITS = 64
GRID = (2**31 - 1, 65_535, 65_535)  # most programs along each axis
LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
SCRATCH = "*u8"  # the type of a slot that the compiler left; nothing is read from or written to it
CUDA_12_ABI, CUDA_13 = 7, 13_000


class Kernel:
    """A binary on its GPU, called with the names that the arguments have in the kernel's source."""

    def __init__(self, driver: Driver, binary: Binary, function: Any) -> None:
        self.binary = binary
        self._driver = driver
        self._function = function
        self._types = [*(p.type for p in binary.parameters), *[SCRATCH] * binary.scratch_slots]
        self._scratch = [0] * binary.scratch_slots

    def __call__(self, grid: tuple[int, int, int], stream: int, /, **arguments: Value) -> None:
        """Put one launch of `grid` programs on the stream, and return at once.

        Pointers are device addresses. Arguments that were compiled in may be given too: they must be the same.
        Raises KernelError, before anything is launched, for arguments that the binary does not take.
        """
        for size, most in zip(grid, GRID, strict=True):
            if not 1 <= size <= most:
                raise KernelError(
                    f"{self.binary.name} cannot run on a grid of {grid}: the most is {GRID}, the least 1"
                )
        values = [*self.values(arguments), *self._scratch]
        shared = self.binary.shared_memory
        self._driver.launch(self._function, grid, self.binary.block, shared, stream, self._types, values)

    def values(self, arguments: dict[str, Value]) -> list[Value]:
        """The arguments in the binary's order. Raises KernelError as a launch would."""
        binary = self.binary
        names = [parameter.name for parameter in binary.parameters]
        if unknown := arguments.keys() - set(names) - binary.constants.keys():
            raise KernelError(
                f"{binary.name} takes no {', '.join(sorted(unknown))}; its arguments are {', '.join(names)}"
            )
        if missing := [name for name in names if name not in arguments]:
            raise KernelError(f"{binary.name} cannot be launched without {', '.join(missing)}")
        for name in arguments.keys() & binary.constants.keys():
            if arguments[name] != binary.constants[name]:
                raise refusal(
                    binary, name, arguments[name], f"it was compiled for {binary.constants[name]!r}"
                )
        return [checked(binary, parameter, arguments[parameter.name]) for parameter in binary.parameters]


def checked(binary: Binary, parameter: Parameter, value: Any) -> Value:
    """The value as a plain number. Raises KernelError unless its type holds it and its promise is kept."""
    kind = parameter.type
    if kind == "fp32":
        number = float(value) if isinstance(value, int | float | np.number) else math.nan
        if not abs(number) <= LARGEST_FLOAT32:
            raise refusal(binary, parameter.name, value, "it must be a finite number in float32")
        return number
    whole = int(value) if isinstance(value, int | np.integer) and not isinstance(value, bool) else None
    if kind.startswith("*"):
        if whole is None or not 0 <= whole < 2**POINTER_BITS:
            raise refusal(binary, parameter.name, value, "it must be a device address")
    elif whole is None or not -(2 ** (INTEGER_BITS[kind] - 1)) <= whole < 2 ** (INTEGER_BITS[kind] - 1):
        raise refusal(
            binary, parameter.name, value, f"it must be a whole number of {INTEGER_BITS[kind]} bits"
        )
    if whole % parameter.multiple_of:
        what = "an address aligned to" if kind.startswith("*") else "a multiple of"
        unit = " bytes" if kind.startswith("*") else ""
        raise refusal(
            binary, parameter.name, value, f"it was compiled for {what} {parameter.multiple_of}{unit}"
        )
    return whole


def refusal(binary: Binary, name: str, value: Any, promise: str) -> KernelError:
    """The error for an argument."""
    return KernelError(f"{binary.name} cannot be launched with {name} = {value!r}: {promise}")


def binary_for(gpu: Gpu, kernels: Artifact, name: str, command: str = artifact.BUILD) -> Binary:
    """The binary of a variant that this GPU and its driver can run.

    Raises KernelError that names the GPU, what there is and what to do: the command as in `Artifact.find`.
    """
    try:
        binary = kernels.find(name, gpu.capability, command)
    except KernelError as error:
        raise KernelError(f"nothing to launch on {gpu.name}: {error}") from None
    if binary.abi > CUDA_12_ABI and gpu.driver_version < CUDA_13:
        have = f"{gpu.driver_version // 1000}.{gpu.driver_version % 1000 // 10}"
        raise KernelError(
            f"{binary.file} (cubin ABI {binary.abi}, ptxas {binary.assembler}) needs a CUDA 13 driver, {gpu.name} "
            f"has one of CUDA {have}: update the driver, or build the kernels with a ptxas 12 in TRITON_PTXAS_PATH"
        )
    if binary.shared_memory > gpu.shared_memory:
        raise KernelError(
            f"{binary.file} needs {binary.shared_memory:,} bytes of shared memory, {gpu.name} gives a block "
            f"{gpu.shared_memory:,}: build the kernels for fewer channels"
        )
    return binary


class Kernels:
    """The binaries of an artifact on one GPU, each verified and loaded when it is first asked for."""

    def __init__(
        self,
        driver: Driver,
        kernels: Artifact,
        load: Callable[[Binary], bytes],  # the cubin, from wherever the artifact is kept
        command: str = artifact.BUILD,  # what adds a target there; see Artifact.find
    ) -> None:
        self.driver = driver
        self.artifact = kernels
        self._load = load
        self._command = command
        self._loaded: dict[str, Kernel] = {}

    @classmethod
    def of_folder(cls, driver: Driver, folder: Path) -> Kernels:
        """Those that `coke-edge kernels build` wrote. Raises KernelError if its manifest cannot be read."""
        return cls(driver, artifact.read(folder), partial(artifact.load, folder))

    def find(self, name: str) -> Binary:
        """What `kernel` would load. Raises KernelError as `binary_for` does."""
        return binary_for(self.driver.gpu, self.artifact, name, self._command)

    def kernel(self, name: str) -> Kernel:
        """The kernel of a variant. Raises KernelError if there is none for this GPU or it cannot be loaded."""
        if name not in self._loaded:
            binary = self.find(name)
            cubin = artifact.verified(binary, self._load(binary))
            function = self.driver.load(cubin, binary.symbol, binary.shared_memory)
            self._loaded[name] = Kernel(self.driver, binary, function)
        return self._loaded[name]
