"""Whether two results, or two rows of them, were measured in the same way: a difference must not come from elsewhere.

Versions may differ, as does the artefact: that is what one compares. They are told beside the verdicts. The machine,
its power mode and governor, and what was timed on which frames may not; nor what other programs took of the processor.
"""

from __future__ import annotations

import math

from coke_edge.benchmarks.bench.result import Result, Row
from coke_edge.benchmarks.sensors.load import OTHERS, STOLEN
from coke_edge.benchmarks.sensors.yardstick import ARITHMETIC
from coke_edge.errors import CokeError

MACHINE = {
    "name": "machine",
    "processor": "processor",
    "cores": "number of cores",
    "gpu": "GPU",
    "power_mode": "power mode",
    "governor": "governor of the CPU's clock",
}
PROTOCOL = {"region": "timed region", "source": "source of frames", "frame": "size of the frames"}
STEADY = 0.05  # yardsticks of two runs differ by so much without any effect on the rows
MOST_LOAD = 0.1  # of all cores: what others may take


def check_alike(a: Result, b: Result) -> None:
    """Raises CokeError, one sentence with everything that differs."""
    found = [] if a.kind == b.kind else [f"kind ({a.kind}, {b.kind})"]
    for field, words in MACHINE.items():
        found += difference(words, getattr(a.machine, field), getattr(b.machine, field))
    if None not in (
        a.machine.vnni,
        b.machine.vnni,
    ):  # virtual machines of one name may lie on unlike processors
        found += difference("8-bit dot products of the processor (VNNI)", a.machine.vnni, b.machine.vnni)
    for field, words in PROTOCOL.items():
        found += difference(words, getattr(a.protocol, field), getattr(b.protocol, field))
    if found:
        raise CokeError(
            f"A and B were not measured alike: they differ in {', '.join(found)}; measure both with the same command "
            "on the same machine"
        )


def difference(words: str, a: object, b: object) -> list[str]:
    """What differs, in words; long texts are not repeated."""
    if a == b:
        return []
    both = f"{a}, {b}"
    return [f"{words} ({both})" if len(both) <= 80 else words]


def check_load(a: Row, b: Row, cores: int, words: str) -> None:
    """Raises CokeError if other programs, or other machines on the host, took much of the processor in either row."""
    for name in (OTHERS, STOLEN):
        taken = [row.sensors[name].mean if name in row.sensors else None for row in (a, b)]
        if max((part for part in taken if part is not None), default=0.0) > MOST_LOAD * cores:
            in_a, in_b = ("an unknown part" if part is None else f"{part:.1f}" for part in taken)
            raise CokeError(
                f"A and B were not measured alike: of {cores} cores, {name.removeprefix('cores taken by ')} took "
                f"{in_a} in A and {in_b} in B ({words}); measure again while the machine does nothing else"
            )


def drift(a: Row, b: Row) -> float:
    """Logarithm of how much slower the machine itself was in B, by the yardstick; 0 where that is not sure."""
    if ARITHMETIC not in a.sensors or ARITHMETIC not in b.sensors:
        return 0.0
    found = math.log(b.sensors[ARITHMETIC].mean / a.sensors[ARITHMETIC].mean)
    return math.copysign(max(0.0, abs(found) - STEADY), found)


def notes(a: Result, b: Result) -> list[str]:
    """Differences that are allowed, and told."""
    pairs = {name: (a.versions.get(name), b.versions.get(name)) for name in {**a.versions, **b.versions}}
    pairs |= {
        "driver": (a.machine.driver, b.machine.driver),
        "system": (a.machine.system, b.machine.system),
    }
    found = [
        f"{name} {old or 'missing'} in A, {new or 'missing'} in B"
        for name, (old, new) in pairs.items()
        if old != new
    ]
    if (a.turns is None) != (b.turns is None):  # each call of the other model fills the caches anew
        found.append(f"only {'B' if a.turns is None else 'A'} took turns with another model, call by call")
    elif a.turns is not None and a.turns == b.turns:
        found.append("ratios are means over pairs of stretches, not those of the medians")
    return found


def row_notes(a: Row, b: Row) -> list[str]:
    """What makes a pair of rows doubtful."""
    found = []
    for name, row in (("A", a), ("B", b)):
        if row.throttled:
            found.append(f"clocks were held down in {name}")
        if row.warm_up.get("steady") == 0:
            found.append(f"{name} never became steady")
    if moved := drift(a, b):
        slower = 100 * math.expm1(abs(moved) + STEADY)
        found.append(f"the machine itself was {slower:.0f} % slower in {'B' if moved > 0 else 'A'}")
    return found
