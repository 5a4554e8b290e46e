"""What `coke-edge detect` says when a run is over, to people and to programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coke_edge.cli.next_step import say
from coke_edge.cli.tables import TIMED, keypoint_table, latency_sentence, number

if TYPE_CHECKING:
    from rich.console import Console

    from coke_edge.stream.delivery import Delivery, LiveDelivery
    from coke_edge.stream.frame import Source
    from coke_edge.stream.run import Summary


def report(summary: Summary, source: Source, delivery: Delivery | LiveDelivery) -> dict[str, Any]:
    """The run as plain data; `result` is that of the frame, if there was one alone."""
    single = summary.last if summary.frames == 1 else None
    return {
        "sinks": delivery.written,
        "frames": summary.frames,
        "seconds": summary.seconds,
        "ended": ending(summary, delivery),
        "latency_ms": {**summary.latency_ms, "region": TIMED},
        "age_ms": summary.age_ms,
        "dropped": summary.dropped,
        "reconnects": reconnects(source),
        "sinks_lost": {name: lost for name, lost in delivery.lost.items() if lost},
        "sinks_failed": list(delivery.failed),
        "result": single.to_dict() if single else None,
    }


def ending(summary: Summary, delivery: Delivery | LiveDelivery) -> str:
    """Why the run ended: end, frames, duration, interrupt, or closed (a window, or stdout's reader)."""
    return "closed" if summary.ended == "end" and delivery.closed.is_set() else summary.ended


def reconnects(source: Source) -> int:
    """How often a live source was lost."""
    return int(getattr(source, "outages", 0))


def show(console: Console, summary: Summary, source: Source, delivery: Delivery | LiveDelivery) -> None:
    """The run for people."""
    if summary.last is not None and summary.frames == 1:
        for keypoints in summary.last.objects:
            console.print(keypoint_table(keypoints, summary.last.frame.name))
    if summary.frames > 0:
        console.print(f"{latency_sentence(summary.latency_ms, summary.frames, warm=False)}: {TIMED}.")
    if source.live:
        console.print(live_sentence(summary, reconnects(source)))
    for name, lost in delivery.lost.items():
        if lost:
            say(console, f"{number(lost, 'result')} did not reach {name}: it was slow or failed.")
    ended = " (interrupted)" if summary.ended == "interrupt" else ""
    frames = number(summary.frames, "frame")
    written = ", ".join(delivery.written)
    say(console, f"{frames} in {summary.seconds:.1f} s{ended}" + (f" → {written}" if written else ""))


def live_sentence(summary: Summary, outages: int) -> str:
    """Age, drops and outages."""
    age = summary.age_ms
    ages = f"Age {age['median']:.0f} ms (median; 95 % within {age['p95']:.0f} ms)" if age else "No result"
    return f"{ages}; {number(summary.dropped, 'older frame')} left out; the source was lost {number(outages, 'time')}."
