"""How it was measured and on what: enough to do it again."""

from __future__ import annotations

import json
from collections.abc import Iterator

from coke_edge.benchmarks.bench.result import Machine, Protocol, Result
from coke_edge.benchmarks.report.markup import Content, Markup, element, joined, pairs, section
from coke_edge.benchmarks.report.quantities import memory, short

UNKNOWN = "not known"


def protocol_section(result: Result) -> Markup:
    """The command, then the protocol in words."""
    return section(
        "protocol",
        "How it was measured",
        element("p", "This command gives such a result again:"),
        element("pre", element("code", result.command), tabindex="0", aria_label="The command"),
        pairs(protocol_words(result.protocol)),
    )


def protocol_words(protocol: Protocol) -> Iterator[tuple[str, Content]]:
    """Name and text of each part."""
    height, width = protocol.frame
    yield "The timed region", protocol.region
    yield "Frames", f"{protocol.source} ({width} × {height} pixels)"
    yield "Time for each row", f"{short(protocol.seconds)} s"
    yield "The warm-up ends", protocol.steady_rule
    thresholds = (
        f"{name.replace('_', ' ')} {short(value)}" for name, value in protocol.steady_thresholds.items()
    )
    yield "Its thresholds", ", ".join(thresholds)
    yield "Order", protocol.order


def machine_section(result: Result) -> Markup:
    """Machine and versions."""
    return section(
        "machine",
        "The machine",
        pairs(machine_words(result.machine)),
        element("h3", "Versions"),
        pairs(sorted(result.versions.items())),
    )


def machine_words(machine: Machine) -> Iterator[tuple[str, str]]:
    """Name and text of everything that is known, or that it is not."""
    yield "Processor", machine.processor
    yield "Cores", f"{machine.cores:,}"
    yield "Memory", memory(machine.memory_bytes)
    yield "System", machine.system
    yield "GPU", machine.gpu or "none"
    if machine.gpu or machine.driver:
        yield "Driver", machine.driver or UNKNOWN
    yield "Power mode", machine.power_mode or UNKNOWN
    yield "Governor of the CPU's clock", machine.governor or UNKNOWN
    yield "VNNI (8-bit dot products)", {True: "yes", False: "no", None: UNKNOWN}[machine.vnni]
    yield "Name of the machine", machine.name


def extra_section(result: Result) -> Markup | None:
    """What else the run wrote down, as it is; None if nothing."""
    if not result.extra:
        return None
    text = json.dumps(result.extra, indent=1, ensure_ascii=False, default=str)
    whole = element("pre", element("code", text), tabindex="0", aria_label="Also recorded")
    return element("details", element("summary", "Also recorded"), joined([whole]), id="extra")
