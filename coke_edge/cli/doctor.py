"""`coke-edge doctor`: what this machine has, what will run where, and what brings the rest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from coke_edge.cli.next_step import next_step

if TYPE_CHECKING:
    from rich.console import Console

    from coke_edge.doctor.machine import Machine
    from coke_edge.doctor.report import Report

app = typer.Typer()

UNHEALTHY = 1  # exit code: a bundle that runs nowhere, or backends that contradict each other


@app.command("doctor")
def doctor(
    bundles: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BUNDLE]...", help="bundles NAME.coke; default: demo, the one in the package"
        ),
    ] = None,
    selftest: Annotated[
        bool, typer.Option("--selftest", help="run the bundles on every backend at hand and compare them")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Look at this machine: what is there, what will run where, what is missing."""
    from rich.console import Console

    from coke_edge.cli.doctor_tables import show
    from coke_edge.doctor.machine import Machine

    log = Console(stderr=True)
    with log.status("Looking around"):
        report = examine(bundles or ["demo"], Machine(), selftest)
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        show(Console(), report)
    finish(log, report)


def examine(bundles: list[str], machine: Machine, with_selftest: bool) -> Report:
    """Probe the machine and look at every bundle. Raises BundleError if one of them cannot be used."""
    from coke_edge.doctor.outlook import look_at, unopened
    from coke_edge.doctor.report import Report
    from coke_edge.doctor.report import examine as probe_all

    facts = probe_all(machine)
    outlooks = [unopened(bundle, facts) for bundle in bundles]
    if None in outlooks:  # what a bundle is opened with can be imported
        from coke_edge.bundle import Bundle

        outlooks = [look_at(bundle, Bundle(bundle), machine, facts) for bundle in bundles]
    found = tuple(outlook for outlook in outlooks if outlook is not None)
    tests = None
    if with_selftest and all(outlook.error is None for outlook in found):
        from coke_edge.doctor.selftest import selftest

        tests = tuple(selftest(outlook, machine) for outlook in found)
    return Report(facts, found, tests)


def finish(log: Console, report: Report) -> None:
    """Say what to type next, or leave with what is wrong."""
    from coke_edge.doctor.outlook import BUILD

    for bundle in report.bundles:
        if not bundle.runs:
            fail(f"nothing here runs {bundle.bundle}; what is missing stands above")
    for test in report.selftest or ():
        if not test.passed:
            fail(f"the selftest of {test.bundle} failed")
    first = report.bundles[0]
    if any(backend.status == BUILD for backend in first.backends):
        next_step(log, "build", first.bundle)
    elif report.selftest is None:
        next_step(log, "doctor", first.bundle, "--selftest")
    else:
        next_step(log, "detect", first.bundle, "--source", "IMAGE")


def fail(sentence: str) -> None:
    """One sentence on stderr, and the exit code."""
    typer.echo(f"error: {sentence}", err=True)
    raise typer.Exit(UNHEALTHY)
