from __future__ import annotations

import pytest

from coke_edge.errors import StreamError
from coke_edge.stream.parameters import Parameters, parse, split

ALL = ("size", "fps", "format", "live")


def test_all_of_them() -> None:
    head, query = split("/dev/video0?size=1280x720&fps=59.94&format=MJPG&live=yes")
    assert head == "/dev/video0"
    assert parse(head, query, ALL) == Parameters((1280, 720), 59.94, "mjpg", True)
    assert parse("0", "", ALL) == Parameters()


@pytest.mark.parametrize(
    "query",
    "size size= size=1280 size=0x5 size=-1x5 size=99999x5 fps=0 fps=x fps=nan fps=inf live=1 sise=1x1".split(),  # noqa: SIM905 (one line)
)
def test_what_is_no_good_is_named(query: str) -> None:
    with pytest.raises(StreamError, match=r"^cam: .*(size|fps|live)"):
        parse("cam", query, ALL)


def test_what_this_source_does_not_have() -> None:
    with pytest.raises(StreamError, match="no parameter 'format'; there is size, fps"):
        parse("test:", "format=mjpg", ("size", "fps"))
