from __future__ import annotations

import pytest

from coke_edge.doctor.jetson import parse_release, probe


def test_orin(recorded) -> None:
    jetson = probe(recorded("orin"))
    assert jetson is not None
    assert jetson.model == "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    assert (jetson.linux, jetson.jetpack, jetson.capability) == ("36.4.3", "6.2", 87)
    assert jetson.power_mode == "25W"
    assert jetson.power_modes == ("15W", "25W", "MAXN_SUPER")
    assert jetson.clocks_locked is False
    assert [finding.command for finding in jetson.findings] == ["sudo nvpmodel -m 2", "sudo jetson_clocks"]


def test_thor_whose_mode_stands_in_a_file(recorded) -> None:
    jetson = probe(recorded("thor"))
    assert jetson is not None
    assert (jetson.linux, jetson.jetpack, jetson.capability) == ("38.4.0", "7.1", 110)
    assert jetson.power_mode == "MAXN"
    assert jetson.clocks_locked is True
    assert jetson.findings == ()


@pytest.mark.parametrize("name", ["desktop", "laptop", "container", "wsl"])
def test_others_are_none(recorded, name: str) -> None:
    assert probe(recorded(name)) is None


@pytest.mark.parametrize(
    ("release", "jetpack"),
    [
        ("# R39 (release), REVISION: 2.0, GCID: 1", "7.2"),
        ("# R38 (release), REVISION: 2.1, GCID: 1", "7.0"),
        ("# R36 (release), REVISION: 4.7, GCID: 1", "6.2.1"),
        ("# R36 (release), REVISION: 4.0, GCID: 1", "6.1"),
        ("# R35 (release), REVISION: 5.0, GCID: 1", "5"),
        ("nonsense", None),
    ],
)
def test_jetpack_by_jetson_linux(recorded, release: str, jetpack: str | None) -> None:
    jetson = probe(recorded("thor", files={"/etc/nv_tegra_release": release}))
    assert jetson is not None
    assert jetson.jetpack == jetpack
    old = any("older than 6.1" in finding.what for finding in jetson.findings)
    assert old is (jetpack == "5")


def test_the_release_is_numbers() -> None:
    assert parse_release("# R36 (release), REVISION: 4.3, GCID: 38968081") == (36, 4, 3)
    assert parse_release("") == ()


def test_a_bare_one_is_no_error(recorded) -> None:
    bare = (
        "/etc/nvpmodel.conf",
        "/var/lib/nvpmodel/status",
        "/etc/nv_tegra_release",
        "/proc/device-tree/model",
    )
    clocks = [f"/sys/devices/system/cpu/cpu0/cpufreq/scaling_{end}_freq" for end in ("min", "max")]
    jetson = probe(recorded("thor", files=dict.fromkeys([*bare, *clocks])))
    assert jetson is not None
    assert (jetson.model, jetson.linux, jetson.power_mode, jetson.clocks_locked) == (
        "Jetson",
        None,
        None,
        None,
    )
    assert jetson.findings == ()
