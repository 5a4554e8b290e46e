from __future__ import annotations

import signal
import threading
import time

import pytest

from coke_edge.stream.mailbox import Mailbox


def test_the_newest_wins_and_the_others_are_counted() -> None:
    box: Mailbox[int] = Mailbox()
    for item in (1, 2, 3):
        box.put(item)
    assert box.take() == (3, 2)
    box.put(4)
    assert box.take() == (4, 2)


def test_who_waits_is_woken() -> None:
    box: Mailbox[int] = Mailbox()
    threading.Timer(0.05, box.put, [7]).start()
    assert box.take() == (7, 0)
    threading.Timer(0.05, box.close).start()
    assert box.take() is None
    assert box.wait_closed(60)


def test_a_closed_box_takes_nothing() -> None:
    box: Mailbox[int] = Mailbox()
    box.put(1)
    box.close()
    box.put(2)
    assert box.take() is None


def test_the_last_item_comes_before_the_end_and_the_error() -> None:
    box: Mailbox[int] = Mailbox()
    box.put(1)
    box.finish(KeyError("first"))
    box.finish(ValueError("second"))
    box.put(2)
    assert box.take() == (1, 0)
    with pytest.raises(KeyError, match="first"):
        box.take()


def test_a_signal_may_close_it_while_the_main_thread_holds_the_lock() -> None:
    box: Mailbox[int] = Mailbox()
    before = signal.signal(signal.SIGALRM, lambda *_: box.close())
    try:
        with box._changed:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            time.sleep(0.05)
        assert box.take() is None
    finally:
        signal.signal(signal.SIGALRM, before)
