"""What sensors said in several stretches, as one."""

from __future__ import annotations

from collections.abc import Sequence

from coke_edge.benchmarks.bench.result import Reading
from coke_edge.benchmarks.sensors.channel import THROTTLED

Stretch = tuple[dict[str, Reading], dict[str, str], bool | None, int]  # what `stop` gave, and its frames


def merge(stretches: Sequence[Stretch]) -> tuple[dict[str, Reading], dict[str, str], bool | None]:
    """Means over all samples (energies: over all frames), the least and the most of all, throttled if ever.

    What a stretch could not read although others could is absent as a whole: half a row's energy is not the row's.
    Clocks and temperatures stand as long as one stretch has them.
    """
    names = list(dict.fromkeys(name for readings, *_ in stretches for name in readings))
    absent = {
        name: reason
        for _, reasons, _, _ in stretches
        for name, reason in reasons.items()
        if name not in names or name.endswith(" energy")
    }
    readings = {
        name: together([found[name] for found, *_ in stretches if name in found])
        for name in names
        if name not in absent
    }
    states = [throttled for _, _, throttled, _ in stretches if throttled is not None]
    if states:
        absent.pop(THROTTLED, None)
    return readings, absent, any(states) if states else None


def together(parts: Sequence[Reading]) -> Reading:
    """One reading of several, each with the weight of its count."""
    count = sum(part.count for part in parts)
    return Reading(
        unit=parts[0].unit,
        mean=sum(part.mean * part.count for part in parts) / count,
        least=min(part.least for part in parts),
        most=max(part.most for part in parts),
        count=count,
    )
