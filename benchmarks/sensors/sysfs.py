"""Numbers in the files of Linux's sysfs."""

from __future__ import annotations

from pathlib import Path

from coke_edge.benchmarks.sensors.channel import UnreadableError
from coke_edge.doctor.machine import Machine

COLDEST = -50.0  # °C; a thermal zone that is switched off says −256


def number(path: Path) -> float:
    """The number in a file. Raises UnreadableError if there is none, or another user's."""
    try:
        text = path.read_text()
    except PermissionError:
        raise UnreadableError(f"{path.name} is not readable without root") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(
            f"{path.name} cannot be read: {getattr(error, 'strerror', 'no text')}"
        ) from None
    try:
        return float(text)
    except ValueError:
        raise UnreadableError(f"{path.name} holds no number") from None


def millidegrees(path: Path) -> float:
    """°C of a file in thousandths of them. Raises UnreadableError, also for a sensor that is switched off."""
    value = number(path) / 1e3
    if value < COLDEST:
        raise UnreadableError(f"{path.name} belongs to a sensor that is switched off")
    return value


def zones(machine: Machine, *words: str) -> list[Path]:
    """The temperatures of thermal zones with one of these words in their type (Linux's thermal sysfs API)."""
    return [
        machine.path(f"{folder}/temp")
        for folder in machine.find("/sys/class/thermal", "thermal_zone*")
        if any(word in (machine.read(f"{folder}/type") or "").lower() for word in words)
    ]


def monitors(machine: Machine, name: str) -> list[str]:
    """The folders of the hardware monitors of that name (Linux's hwmon sysfs interface)."""
    return [
        folder
        for folder in machine.find("/sys/class/hwmon", "hwmon*")
        if machine.read(f"{folder}/name") == name
    ]


def hottest(paths: list[Path]) -> float:
    """°C of the hottest zone that answers. Raises UnreadableError with the last reason if none does."""
    values, reason = [], UnreadableError("no thermal zone")
    for path in paths:
        try:
            values.append(millidegrees(path))
        except UnreadableError as error:
            reason = error
    if not values:
        raise reason
    return max(values)
