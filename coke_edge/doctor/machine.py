"""The one seam between the probes and the machine: a folder that holds its files, and a way to run its tools."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

TIMEOUT = 20.0  # seconds; a broken driver can hang whoever asks it
MISSING, TIMED_OUT = 127, 124  # exit codes, as a shell and `timeout` have them


@dataclasses.dataclass(frozen=True)
class Output:
    """What a tool left; `code` is negative where a signal ended it."""

    code: int
    stdout: str = ""
    stderr: str = ""

    @property
    def ending(self) -> str:
        """How a process ended that should have answered, in words."""
        if self.code == TIMED_OUT:
            return self.stderr
        if self.code < 0:
            return f"crashed with signal {-self.code}"
        return (self.stderr.strip().splitlines() or [f"exit code {self.code}"])[-1]


def run_tool(arguments: Sequence[str], timeout: float = TIMEOUT) -> Output:
    """Run a tool to its end; one that is not there or takes too long has an exit code for that."""
    if shutil.which(arguments[0]) is None:
        return Output(MISSING, stderr=f"{arguments[0]}: not found")
    try:
        done = subprocess.run(
            arguments, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout, errors="replace"
        )
    except subprocess.TimeoutExpired:
        return Output(TIMED_OUT, stderr=f"no answer within {timeout:.0f} s")
    except OSError as error:
        return Output(MISSING, stderr=f"{arguments[0]}: {error.strerror}")
    return Output(done.returncode, done.stdout, done.stderr)


def may_use(path: Path) -> bool:
    """Whether this user may read and write a device."""
    return os.access(path, os.R_OK | os.W_OK)


def cache_folder() -> Path:
    """Where coke-edge keeps engines, by the rule of `engine.cache.folder`, which a broken msgspec takes along."""
    own, shared = os.environ.get("COKE_EDGE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return (Path(own) if own else Path(shared or "~/.cache") / "coke-edge").expanduser()


@dataclasses.dataclass(frozen=True)
class Machine:
    """This machine, or one that a test made up."""

    root: Path = Path("/")
    run: Callable[..., Output] = run_tool  # (arguments, timeout=…)
    accessible: Callable[[Path], bool] = may_use
    architecture: str = dataclasses.field(default_factory=platform.machine)  # x86_64, aarch64
    python: str = dataclasses.field(default_factory=platform.python_version)
    environment: Path | None = dataclasses.field(  # of the virtual environment, None outside of one
        default_factory=lambda: Path(sys.prefix) if sys.prefix != sys.base_prefix else None
    )
    cache: Path = dataclasses.field(default_factory=cache_folder)

    def path(self, absolute: str) -> Path:
        """Where a file of the machine lies."""
        return self.root / absolute.lstrip("/")

    def read(self, absolute: str) -> str | None:
        """The text of a file without NUL bytes and outer blanks, None if it cannot be read."""
        try:
            return self.path(absolute).read_text(errors="replace").replace("\0", "\n").strip()
        except OSError:
            return None

    def exists(self, absolute: str) -> bool:
        """Whether there is such a file, folder or device."""
        return self.path(absolute).exists()

    def find(self, folder: str, pattern: str) -> list[str]:
        """The paths below a folder that fit a glob pattern, numbers in them in the order of numbers."""
        found = [f"/{path.relative_to(self.root)}" for path in self.path(folder).glob(pattern)]
        return sorted(
            found, key=lambda path: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", path)]
        )

    def python_module(self, module: str, *arguments: str, timeout: float = TIMEOUT) -> Output:
        """Run one of our modules in a Python of its own, which may crash or hang without us."""
        return self.run([sys.executable, "-m", module, *arguments], timeout=timeout)
