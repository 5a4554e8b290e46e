"""The model that is measured: a bundle on the backends at hand, or a checkpoint in torch."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from coke_edge.benchmarks.bench.settings import Artefact, Settings
from coke_edge.bundle import Bundle, names_bundle
from coke_edge.detector import Detector
from coke_edge.errors import BackendError, BundleError

if TYPE_CHECKING:
    from coke_edge.doctor.machine import Machine
    from coke_edge.doctor.report import Facts

TORCH = "torch"


@dataclasses.dataclass(frozen=True)
class Model:
    """A model file, opened once; `bundle` is None for a checkpoint."""

    argument: str  # as the user named it
    name: str
    sha256: str
    bundle: Bundle | None


def open_model(argument: str) -> Model:
    """Raises BundleError if it cannot be used."""
    path = Path(argument)
    if names_bundle(argument):
        bundle = Bundle(argument)
        return Model(argument, bundle.path.name, bundle.sha256, bundle)
    file = path / "best.safetensors" if path.is_dir() else path
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise BundleError(f"cannot read the checkpoint {file}: {error.strerror}") from None
    return Model(argument, file.name, digest, None)


def pairs(model: Model, settings: Settings, machine: Machine, facts: Facts) -> list[tuple[str, str]]:
    """Backend and precision of what is to be measured: what is at hand, unless the settings name them.

    What they name is taken as it is: a backend that cannot run it says so when it is opened.
    """
    if model.bundle is None:
        from coke_edge.train.accelerator import precisions

        at_hand = [(TORCH, precision) for precision in precisions()]
    else:
        from coke_edge.doctor.outlook import look_at
        from coke_edge.doctor.selftest import at_hand as ready

        at_hand = ready(look_at(model.argument, model.bundle, machine, facts))
    backends = settings.backends or tuple(dict.fromkeys(backend for backend, _ in at_hand))
    if settings.precisions:
        return [(backend, precision) for backend in backends for precision in settings.precisions]
    found = [pair for pair in at_hand if pair[0] in backends]
    found += [(backend, "auto") for backend in backends if backend not in {b for b, _ in at_hand}]
    if not found:
        raise BackendError(
            f"nothing here runs {model.argument}; `coke-edge doctor {model.argument}` says what is missing"
        )
    return found


def open_detector(argument: str | Bundle, artefact: Artefact) -> Detector:
    """A detector for one artefact. Raises BundleError or BackendError if it cannot be used."""
    if isinstance(argument, str) and not names_bundle(argument):
        from coke_edge.train.evaluate import open_model as open_any

        return open_any(argument, artefact.backend, artefact.precision)
    return Detector(argument, artefact.backend, artefact.threads, artefact.precision)
