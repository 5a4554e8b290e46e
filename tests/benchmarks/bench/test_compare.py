"""Equal things are called equal, slower ones are found, and what was not measured alike is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest

from coke_edge.benchmarks.bench.alike import drift
from coke_edge.benchmarks.bench.compare import Verdict, compare
from coke_edge.benchmarks.bench.result import Latency, Machine, Protocol, Reading, Result, Row
from coke_edge.benchmarks.bench.verdicts import HEADER, cells, to_json
from coke_edge.benchmarks.sensors.load import OTHERS
from coke_edge.benchmarks.sensors.yardstick import ARITHMETIC
from coke_edge.errors import CokeError

SLICES, LENGTH = 16, 20
STAGES = {"warp": 1.0, "network": 8.0, "decode": 0.5}


def autocorrelated(random: np.random.Generator, count: int, factor: float) -> np.ndarray[Any, Any]:
    """AR(1) with standard deviation 1."""
    found = random.standard_normal(count)
    for n in range(1, count):
        found[n] = factor * found[n - 1] + math.sqrt(1 - factor**2) * found[n]
    return found


def row(
    seed: int,
    slower: dict[str, float] | None = None,
    spells: np.ndarray[Any, Any] | None = None,
    **fields: Any,
) -> Row:
    """Stages in a whole of 10 ms: moods of the machine that last for slices, correlated calls, a heavy tail.

    `spells` [SLICES] are logarithms of how much slower the machine was in each.
    """
    random = np.random.default_rng(seed)
    mood = np.repeat(0.02 * autocorrelated(random, SLICES, 0.3), LENGTH)
    if spells is not None:
        mood = mood + np.repeat(spells, LENGTH)
    stages = {}
    for name, median in STAGES.items():
        calls = 0.03 * autocorrelated(random, SLICES * LENGTH, 0.7)
        tail = random.exponential(0.5, SLICES * LENGTH) * (random.random(SLICES * LENGTH) < 0.05)
        stages[name] = median * (slower or {}).get(name, 1.0) * np.exp(mood + calls + tail)
    whole = sum(stages.values()) + 0.5
    p50 = float(np.median(whole))
    defaults: dict[str, Any] = {
        "model": "person.coke",
        "sha256": f"{seed:064x}",
        "backend": "onnxruntime",
        "precision": "fp32",
        "batch": 1,
        "threads": 1,
        "mode": "back to back",
        "input_size": (192, 192),
        "fps": 100.0,
        "latency_ms": Latency(p50=p50, p90=p50, p95=p50, p99=p50, max=p50, mean=p50, jitter=0.0),
        "stages_ms": {},
        "warm_up": {"calls": 30.0, "seconds": 0.3, "steady": 1.0},
        "samples_ms": np.asarray(whole).tolist(),
        "slices": [LENGTH] * SLICES,
        "stage_samples_ms": {name: values.tolist() for name, values in stages.items()},
    }
    return Row(**(defaults | fields))


def result(*rows: Row, **changes: Any) -> Result:
    """On a machine; `changes` are of the machine, the protocol or the result."""
    machine: dict[str, Any] = {
        "name": "a1",
        "processor": "CPU",
        "cores": 2,
        "memory_bytes": 1,
        "system": "Linux",
    }
    protocol: dict[str, Any] = {
        "region": "frame to keypoints",
        "source": "generated",
        "frame": (480, 640),
        "seconds": 5.0,
        "steady_rule": "",
        "steady_thresholds": {},
        "order": "",
    }
    whole: dict[str, Any] = {"command": "", "taken": "", "versions": {"numpy": "2.0"}}
    for key, value in changes.items():
        next(part for part in (machine, protocol, whole) if key in part or part is whole)[key] = value
    for key in ("power_mode", "governor", "gpu", "driver"):
        if key in whole:
            machine[key] = whole.pop(key)
    return Result(machine=Machine(**machine), protocol=Protocol(**protocol), rows=list(rows), **whole)


def by_what(verdicts: list[Verdict]) -> dict[str, Verdict]:
    return {verdict.what: verdict for verdict in verdicts}


def test_two_runs_of_the_same_thing_are_equal_in_19_of_20_tries() -> None:
    tries = [compare(result(row(2 * n)), result(row(2 * n + 1))) for n in range(40)]
    equal = [all(verdict.outcome == "equal" for verdict in verdicts) for verdicts in tries]
    assert sum(equal) >= 38


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_ten_percent_slower_is_found_and_no_other_is_blamed(stage: str) -> None:
    found = [
        by_what(compare(result(row(2 * n)), result(row(2 * n + 1, {stage: 1.1})))) for n in range(100, 110)
    ]
    assert sum(verdicts[stage].outcome == "slower" for verdicts in found) >= 8
    others = [verdicts[name] for verdicts in found for name in STAGES if name != stage]
    assert sum(verdict.outcome != "equal" for verdict in others) <= 1
    assert all(verdicts[stage].detectable < 0.12 for verdicts in found)  # type: ignore[operator]


def test_a_tenth_of_a_millisecond_of_ten_is_seen_in_its_stage_alone() -> None:
    verdicts = by_what(compare(result(row(1)), result(row(2, {"warp": 1.15}))))
    assert verdicts["warp"].outcome == "slower"
    assert verdicts["whole"].outcome == "equal"
    assert "would have shown" in verdicts["whole"].sentence


def test_faster_is_slower_the_other_way_round() -> None:
    a, b = result(row(1)), result(row(2, {"network": 0.8}))
    there, back = by_what(compare(a, b))["network"], by_what(compare(b, a))["network"]
    assert (there.outcome, back.outcome) == ("faster", "slower")
    assert there.ratio is not None
    assert back.ratio == pytest.approx(1 / there.ratio)
    assert back.least == pytest.approx(1 / there.most)  # type: ignore[operator]


def test_a_result_equals_itself() -> None:
    verdicts = compare(result(row(1)), result(row(1)))
    assert [verdict.what for verdict in verdicts] == ["whole", *STAGES]
    assert {(verdict.ratio, verdict.outcome) for verdict in verdicts} == {(1.0, "equal")}


def test_the_more_rows_the_wider_the_intervals() -> None:
    rows = [row(n, batch=n + 1) for n in range(8)]
    one, all_ = compare(result(rows[0]), result(rows[0]))[0], compare(result(*rows), result(*rows))[0]
    assert all_.detectable > one.detectable  # type: ignore[operator]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "b2"}, "machine (a1, b2)"),
        ({"governor": "powersave"}, "governor"),
        ({"power_mode": "15W"}, "power mode"),
        ({"region": "the network alone"}, "timed region"),
        ({"source": "a.jpg"}, "source of frames"),
        ({"frame": (1080, 1920)}, "size of the frames"),
        ({"kind": "peers"}, "kind (bench, peers)"),
    ],
)
def test_what_was_not_measured_alike_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(CokeError, match="not measured alike") as caught:
        compare(result(row(1)), result(row(2), **changes))
    assert words in str(caught.value)


@pytest.mark.parametrize(("a", "b", "alike"), [(True, False, False), (True, True, True), (None, True, True)])
def test_processors_of_one_name_with_and_without_dot_products_are_not_alike(
    a: bool | None, b: bool | None, alike: bool
) -> None:
    one, two = result(row(1)), result(row(1))
    one = msgspec.structs.replace(one, machine=msgspec.structs.replace(one.machine, vnni=a))
    two = msgspec.structs.replace(two, machine=msgspec.structs.replace(two.machine, vnni=b))
    if alike:
        assert compare(one, two)
        return
    with pytest.raises(CokeError, match=r"not measured alike.*VNNI"):
        compare(one, two)


def test_results_without_a_common_row_or_with_one_twice_are_refused() -> None:
    with pytest.raises(CokeError, match="no row in common"):
        compare(result(row(1)), result(row(2, precision="int8")))
    with pytest.raises(CokeError, match="two rows"):
        compare(result(row(1), row(2)), result(row(3)))


def test_other_work_on_the_machine_is_refused() -> None:
    def busy(seed: int, cores: float) -> Result:
        return result(
            row(
                seed,
                sensors={OTHERS: Reading(unit="cores", mean=cores, least=cores, most=cores, count=9)},
            )
        )

    compare(busy(1, 0.05), busy(2, 0.15))
    with pytest.raises(CokeError, match=r"others took 0\.1 in A and 0\.9 in B"):
        compare(busy(1, 0.1), busy(2, 0.9))
    with pytest.raises(CokeError, match=r"others took 0\.9 in A and an unknown part in B"):
        compare(busy(1, 0.9), result(row(2)))
    races = [msgspec.structs.replace(each, kind="peers") for each in (busy(1, 0.1), busy(2, 0.9))]
    with pytest.raises(CokeError, match=r"others took 0\.1 in A and 0\.9 in B"):
        compare(*races)


def paced(seed: int, ms: float, slower: dict[str, float] | None = None) -> Row:
    """Beside a yardstick of so many ms."""
    reading = Reading(unit="ms", mean=ms, least=ms, most=ms, count=32)
    return row(seed, slower, sensors={ARITHMETIC: reading})


def test_a_machine_that_was_slower_itself_is_no_slower_stage() -> None:
    all_of_it = dict.fromkeys(STAGES, 1.2)
    verdicts = compare(result(paced(1, 0.10)), result(paced(2, 0.12, all_of_it)))
    assert {verdict.outcome for verdict in verdicts} == {"equal"}
    assert verdicts[0].detectable > 0.2  # type: ignore[operator]
    assert "the machine itself was 20 % slower in B" in verdicts[0].notes
    # It cannot have made anything faster.
    faster = by_what(compare(result(paced(1, 0.10)), result(paced(2, 0.12, {"network": 0.8}))))
    assert faster["network"].outcome == "faster"
    assert drift(paced(1, 0.1), paced(2, 0.104)) == 0
    assert drift(paced(1, 0.12), paced(2, 0.1)) < 0


def test_versions_are_told_rows_left_over_are_named_and_stages_of_one_side_left_out() -> None:
    b = row(2)
    b.stage_samples_ms.pop("decode")
    verdicts = compare(
        result(row(1), row(3, batch=4)), result(b, row(4, threads=2), versions={"numpy": "2.1"})
    )
    assert "numpy 2.0 in A, 2.1 in B" in verdicts[0].notes
    assert [(verdict.what, verdict.outcome) for verdict in verdicts[-2:]] == [("whole", "alone")] * 2
    assert verdicts[-2].sentence.endswith("only A has it")
    assert "decode" not in by_what(verdicts)


def test_a_row_of_one_stretch_is_cut_and_one_of_few_samples_refused() -> None:
    whole = row(1, slices=[])
    assert compare(result(whole), result(whole))[0].outcome == "equal"
    four = msgspec.structs.replace(
        whole, slices=[SLICES * LENGTH // 4] * 4
    )  # too few to tell moods from: cut, too
    assert compare(result(four), result(four)) == compare(result(whole), result(whole))
    few = msgspec.structs.replace(whole, samples_ms=[1.0] * 15, stage_samples_ms={})
    with pytest.raises(CokeError, match="15 samples"):
        compare(result(few), result(few))


def test_the_cells_and_the_json() -> None:
    verdicts = compare(result(row(1), row(3, batch=4)), result(row(2, {"warp": 1.3})))
    lines = [cells(verdict) for verdict in verdicts]
    assert {len(line) for line in lines} == {len(HEADER)}
    assert lines[1][0] == "warp"
    assert "slower" in lines[1]
    assert [entry["what"] for entry in json.loads(to_json(verdicts))] == [v.what for v in verdicts]


def in_turns(seed: int, slower: dict[str, float] | None = None, mark: str | None = "a run") -> list[Verdict]:
    """Two rows on a machine that drifts by a third and has spells, both of which felt the same of it."""
    random = np.random.default_rng(seed)
    spells = np.linspace(0.0, 0.3, SLICES) + 0.2 * (random.random(SLICES) < 0.3)
    a = result(row(2 * seed, None, spells, model="old.coke", input_size=(256, 256)), turns=mark)
    return compare(a, result(row(2 * seed + 1, slower, spells), turns=mark))


def test_in_turns_what_the_machine_does_to_both_is_no_noise() -> None:
    same = [in_turns(seed) for seed in range(40)]
    assert sum(all(verdict.outcome == "equal" for verdict in verdicts) for verdicts in same) >= 38
    slower = [by_what(in_turns(seed, {"warp": 1.15})) for seed in range(40, 60)]
    assert sum(verdicts["warp"].outcome == "slower" for verdicts in slower) >= 18
    assert all(verdicts["decode"].outcome == "equal" for verdicts in slower)
    assert {verdict.model for verdict in same[0]} == {"old.coke"}
    assert any("pairs of stretches" in note for note in same[0][0].notes)


def test_a_model_that_took_turns_alone_is_told() -> None:
    verdicts = compare(result(row(1)), result(row(2), turns="a run"))
    assert "only B took turns with another model, call by call" in verdicts[0].notes


def test_other_models_that_did_not_take_turns_have_no_row_in_common() -> None:
    with pytest.raises(CokeError, match="no row in common"):
        in_turns(0, mark=None)
