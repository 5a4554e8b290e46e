from __future__ import annotations

from coke_edge.train.data.division import ranked, tenth


def test_the_order_depends_on_the_names_and_the_seed_alone() -> None:
    names = [f"{n}.jpg" for n in range(30)]
    assert ranked(names, 0) == ranked(reversed(names), 0) != ranked(names, 1)
    assert sorted(ranked(names, 0)) == sorted(names)


def test_a_tenth_is_at_least_one() -> None:
    assert [tenth(count) for count in (1, 9, 14, 16, 100)] == [1, 1, 1, 2, 10]
