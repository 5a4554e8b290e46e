"""TensorRT and TensorRT for RTX as one: the same Python interface under two names of a package."""

from __future__ import annotations

import functools
import importlib
import logging
import threading
from typing import Any, NamedTuple

from coke_edge.errors import BackendError

AUTO = "auto"
OLDEST = (10, 3)
DEVICE, RTX = "tensorrt", "tensorrt-rtx"
MODULES = {DEVICE: "tensorrt", RTX: "tensorrt_rtx"}  # in the order in which "auto" tries them
INSTALL = {
    DEVICE: "pip install 'coke-edge[tensorrt]' (a Jetson brings it with JetPack: make the virtual environment with "
    "--system-site-packages)",
    RTX: "pip install 'coke-edge[rtx]'",
}

logger = logging.getLogger(__name__)


class Provider(NamedTuple):
    """A package that builds and runs engines."""

    name: str  # a key of MODULES
    version: str
    api: Any  # the module
    log: Any  # the api.ILogger that all of its objects share, with `take() -> list[str]`

    @property
    def title(self) -> str:
        """Name and version for people."""
        return f"{'TensorRT for RTX' if self.name == RTX else 'TensorRT'} {self.version}"

    def make(self, kind: Any) -> Any:
        """A Builder or a Runtime. Raises BackendError if TensorRT cannot make one, for want of a GPU or its driver."""
        self.log.take()
        try:
            made = kind(self.log)
        except TypeError:  # how the bindings say that the library gave nothing
            made = None
        if made is None:
            raise self.failure("cannot start")
        return made

    def failure(self, tried: str) -> BackendError:
        """What was tried, and the first error that TensorRT logged about it: later ones follow from it."""
        messages = self.log.take()
        said = first_line(messages[0]) if messages else "it did not say why"
        return BackendError(f"{self.title} {tried}: {said}")


def open_provider(name: str = AUTO) -> Provider:
    """The provider of that name; "auto" takes the first that is installed.

    Raises BackendError, with the command that installs it, if there is none or it is too old.
    """
    if name not in (AUTO, *MODULES):
        raise BackendError(f"there is no provider {name!r}; choose from {', '.join((AUTO, *MODULES))}")
    missing = []
    for candidate in MODULES if name == AUTO else (name,):
        try:
            return load(candidate)
        except (ImportError, OSError) as error:  # OSError: a library that it loads is missing
            missing.append(f"cannot import {MODULES[candidate]} ({first_line(str(error))})")
    names = MODULES if name == AUTO else (name,)
    commands = ", or ".join(f"{INSTALL[candidate]}" for candidate in names)
    raise BackendError(f"{' nor '.join(missing)}; install it with {commands}")


def load(name: str) -> Provider:
    """The provider of that name.

    Raises ImportError or OSError if it is not installed whole, BackendError if it is too old.
    """
    api = importlib.import_module(MODULES[name])
    version: str = api.__version__
    if name == DEVICE and tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise BackendError(f"TensorRT {version} is too old: coke-edge needs {needed} or later (JetPack 6.1)")
    return Provider(name, version, api, log_of(api))


@functools.cache
def log_of(api: Any) -> Any:
    """A logger that keeps the errors, for the sentence to the user, and hands all lines to Python's logging.

    There is one for the process: TensorRT keeps the first that it is given, whatever comes later.
    """
    error, warning = int(api.ILogger.ERROR), int(api.ILogger.WARNING)

    class Log(api.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._errors: list[str] = []
            self._lock = threading.Lock()

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= error:
                with self._lock:
                    self._errors.append(message)
            logger.log(logging.INFO if int(severity) <= warning else logging.DEBUG, "%s", message)

        def take(self) -> list[str]:
            """The errors since the last call."""
            with self._lock:
                taken, self._errors = self._errors, []
            return taken

    return Log()


def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "no message").rstrip(".")
