"""Several sinks at once: what each gets, and that one which is slow or broken does no harm to the others."""

from __future__ import annotations

import logging
import threading
import time
import tracemalloc
from collections.abc import Callable

import pytest

from coke_edge.errors import StreamError
from coke_edge.stream.callback_sink import CallbackSink
from coke_edge.stream.delivery import LiveDelivery, deliver
from coke_edge.stream.frame import Result, Sink
from coke_edge.stream.sinks import Closed, open_sink
from coke_edge.stream.supervised_sink import Patience


class Collector(CallbackSink):
    """Keeps the indices of what it gets, after doing something with the result."""

    def __init__(self, work: Callable[[Result], object] = lambda result: None, backlog: int = 1000) -> None:
        super().__init__(self._take)
        self.backlog = backlog  # type: ignore[misc]
        self.work = work
        self.got: list[int] = []
        self.sizes: list[int] = []
        self.entered = self.left = 0

    def _take(self, result: Result) -> None:
        self.work(result)
        self.got.append(result.frame.index)
        self.sizes.append(result.frame.image.size)

    def __enter__(self) -> Collector:
        self.entered += 1
        return self

    def __exit__(self, *error: object) -> None:
        self.left += 1


def openers(**sinks: Sink) -> dict[str, Callable[[], Sink]]:
    return {name: lambda sink=sink: sink for name, sink in sinks.items()}  # type: ignore[misc]


def fail(result: Result) -> None:
    raise ValueError("out of\npaper")


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


QUICK = Patience(first=0.02, steady=0.0, drain=0.2)  # no time to wait in a test


@pytest.mark.parametrize("live", [False, True])
def test_every_sink_gets_every_result_in_order(result, live: bool) -> None:
    one, two = Collector(), Collector()
    with deliver(openers(one=one, two=two), live) as outputs:
        for i in range(50):
            outputs(result(i % 10))
    assert one.got == two.got == [i % 10 for i in range(50)]
    assert (one.entered, one.left) == (1, 1)
    assert outputs.failed == ()
    assert not any(outputs.lost.values())


def test_over_files_a_slow_sink_loses_nothing_and_a_failure_is_a_sentence(result) -> None:
    slow, broken = Collector(lambda result: time.sleep(0.002), backlog=1), Collector(fail)
    outputs = deliver(openers(slow=slow, broken=broken), live=False)
    with (
        pytest.raises(StreamError, match=r"^the sink broken failed: ValueError: out of paper$") as caught,
        outputs,
    ):
        outputs(result(0))
    assert isinstance(caught.value.__cause__, ValueError)
    assert slow.got == [0]
    assert slow.left == broken.left == 1


def test_a_slow_sink_holds_up_nobody_and_gets_the_newest(result) -> None:
    slow, quick = Collector(lambda result: time.sleep(0.05), backlog=1), Collector()
    with deliver(openers(slow=slow, quick=quick), live=True) as outputs:
        start = time.monotonic()
        for i in range(10):
            outputs(result(i))
            time.sleep(0.01)
        assert time.monotonic() - start < 0.4
    assert quick.got == list(range(10))
    assert slow.got[-1] == 9
    assert len(slow.got) < 8
    assert outputs.lost == {"slow": 10 - len(slow.got), "quick": 0}
    assert outputs.failed == ()


def test_what_waits_for_a_sink_of_data_has_no_picture(result) -> None:
    data, pictures = Collector(), Collector()
    data.pixels = False  # type: ignore[misc]
    with deliver(openers(data=data, pictures=pictures), live=True) as outputs:
        outputs(result(1))
    assert (data.sizes, pictures.sizes) == ([0], [48 * 64 * 3])


def test_a_broken_sink_is_said_once_and_opened_again(result, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    broken, good = Collector(fail), Collector()
    with LiveDelivery(openers(broken=broken, good=good), QUICK) as outputs:
        for i in range(30):
            outputs(result(i % 10))
            time.sleep(0.002)
        assert outputs.failed == ("broken",)
        broken.work = lambda result: None
        wait_for(lambda: outputs(result(5)) or bool(broken.got))  # type: ignore[func-returns-value]
        wait_for(lambda: outputs(result(5)) or not outputs.failed)  # type: ignore[func-returns-value]
    sentences = [record.getMessage() for record in caplog.records]
    assert sentences[0] == "the sink broken fails and will be tried again: ValueError: out of paper"
    assert sentences[1].startswith("the sink broken works again; ")
    assert len(sentences) == 2
    assert broken.entered == broken.left > 2
    assert good.entered == good.left == 1
    assert outputs.lost["broken"] > 20


def test_pauses_grow(result) -> None:
    tried: list[float] = []

    def note(result: Result) -> None:
        tried.append(time.monotonic())
        raise OSError

    with LiveDelivery(openers(bad=Collector(note)), QUICK) as outputs:
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            outputs(result(0))
            time.sleep(0.002)
    assert 4 <= len(tried) <= 7  # at 0, then after 0.01–0.02, 0.02–0.04, 0.04–0.08 …
    assert tried[-1] - tried[-2] > 2 * (tried[1] - tried[0])


def test_a_sink_that_hangs_is_left_behind(result, caplog: pytest.LogCaptureFixture) -> None:
    forever = threading.Event()
    hanging, good = Collector(lambda result: forever.wait(20)), Collector()
    start = time.monotonic()
    with LiveDelivery(openers(hanging=hanging, good=good), QUICK) as outputs:
        outputs(result(0))
    assert time.monotonic() - start < 5
    assert "the sink hanging hangs" in caplog.text
    assert outputs.failed == ("hanging",)
    assert good.left == 1
    forever.set()


def test_at_the_end_a_slow_sink_gets_a_little_time(result) -> None:
    slow = Collector(lambda result: time.sleep(0.05))
    with LiveDelivery(openers(slow=slow), QUICK) as outputs:
        for i in range(40):
            outputs(result(i % 10))
    assert 1 < len(slow.got) < 20
    assert outputs.lost["slow"] == 40 - len(slow.got)
    assert slow.left == 1


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("backlog", [0, 5])
def test_a_sink_that_was_closed_by_its_user_ends_the_run(result, live: bool, backlog: int) -> None:
    def leave(result: Result) -> None:
        raise Closed

    with deliver(openers(window=Collector(leave, backlog)), live) as outputs:
        outputs(result(0))
        assert outputs.closed.wait(5)
    assert outputs.failed == ()


@pytest.mark.parametrize("live", [False, True])
def test_what_cannot_be_opened_ends_the_run_before_it_begins(live: bool) -> None:
    class Taken(Collector):
        def __enter__(self) -> Collector:
            raise StreamError("the port is taken")

    first = Collector()
    with pytest.raises(StreamError, match="the port is taken"), deliver(openers(a=first, b=Taken()), live):
        pass
    assert first.entered == first.left == 1
    with pytest.raises(StreamError, match="no sink"):
        deliver({"x.xyz": lambda: open_sink("x.xyz", lambda r: r.frame.image)}, live)


def test_memory_is_flat(result, tmp_path) -> None:
    """With a sink that fails, one that is slow and one that works, after the queues have filled."""
    sinks: dict[str, Callable[[], Sink]] = {
        "bad": lambda: CallbackSink(fail),
        "slow": lambda: CallbackSink(lambda result: time.sleep(0.01)),
        "lines": lambda: open_sink(str(tmp_path / "o.jsonl"), lambda r: r.frame.image, live=True),
    }
    results = [result(i) for i in range(10)]
    tracemalloc.start()
    try:
        with LiveDelivery(sinks, QUICK) as outputs:
            sizes = []
            for _ in range(4):
                for i in range(1500):
                    outputs(results[i % 10])
                wait_for(lambda: not outputs._lanes[2]._queue)
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[3] - sizes[1] < 20_000, sizes
