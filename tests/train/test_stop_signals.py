"""What a signal does while a run goes."""

from __future__ import annotations

import os
import signal

import pytest

from coke_edge.train.stop_signals import StopSignals


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def test_the_first_one_is_noted_and_the_second_interrupts() -> None:
    before = signal.getsignal(signal.SIGTERM)
    signals = StopSignals()
    with signals.noted():
        send(signal.SIGTERM)
        assert signals.asked
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_one_of_several_processes_is_patient() -> None:
    signals = StopSignals(patient=True)
    with signals.noted():
        for _ in range(3):
            send(signal.SIGINT)
    assert signals.asked


def test_what_may_be_lost_is_interrupted_at_once() -> None:
    signals = StopSignals()
    with signals.noted():
        with pytest.raises(KeyboardInterrupt), signals.interrupting():
            send(signal.SIGTERM)
        assert signals.asked
        with signals.interrupting(allowed=False):
            send(signal.SIGTERM)
