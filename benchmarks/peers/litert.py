"""A `.tflite` file in LiteRT on the CPU: its input and outputs are views of the interpreter's own memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from coke_edge.errors import BackendError

BACKEND = "LiteRT, XNNPACK"
View = Callable[[], NDArray[Any]]  # no view that it gives may be alive while the network runs


class LiteRt:
    """One network with one input. LiteRT runs it through XNNPACK, its fast kernels for CPUs, by default."""

    def __init__(self, path: Path, threads: int) -> None:
        """Raises BackendError if LiteRT is missing or refuses the file."""
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise BackendError(
                f"cannot import ai_edge_litert ({error}); `make bench-peers` makes an environment that has it"
            ) from None
        try:
            interpreter = Interpreter(str(path), num_threads=threads or None)
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise BackendError(f"LiteRT refuses {path}: {str(error).splitlines()[0]}") from None
        self.run: Callable[[], None] = interpreter.invoke
        self.input: View = interpreter.tensor(interpreter.get_input_details()[0]["index"])
        details = interpreter.get_output_details()
        self._outputs: dict[tuple[int, ...], View] = {
            tuple(int(n) for n in detail["shape"]): interpreter.tensor(detail["index"]) for detail in details
        }
        self._path = path

    def output(self, *shape: int) -> View:
        """The output of that shape. Raises BackendError if there is none."""
        try:
            return self._outputs[shape]
        except KeyError:
            shapes = ", ".join(str(list(known)) for known in self._outputs)
            raise BackendError(
                f"{self._path} has outputs {shapes} and none {list(shape)}: it is another model"
            ) from None
