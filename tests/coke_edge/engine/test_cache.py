from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coke_edge.bundle import Bundle
from coke_edge.engine import cache, sidecar
from coke_edge.engine.cache import Found, TimingFile, Wanted, find
from coke_edge.engine.obtain import Obtained, machine, obtain, opened, wanted
from coke_edge.engine.provider import Provider, open_provider
from coke_edge.engine.spec import Batch, EngineSpec
from coke_edge.errors import BackendError
from coke_edge.kernels.driver import Gpu

ORIN = Gpu("Fake Orin", 87, 14, 163 * 1024, 8 << 30, 13000)
Want = Callable[..., Wanted]


@pytest.fixture
def get(trt: Provider, colours: Bundle) -> Any:
    """Function (wanted) → what `obtain` gave, and the lines that it said."""

    def get(want: Wanted, **more: Any) -> tuple[Obtained, list[str]]:
        said: list[str] = []
        return obtain(open_provider("tensorrt"), colours, want, notice=said.append, **more), said

    return get


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_built_once_then_found(want: Want, get: Any) -> None:
    first, said = get(want())
    assert first.built
    assert said == [
        f"Building an fp32 engine of {first_line_path(said)} with TensorRT 10.3.0 for Fake Orin "
        f"(compute capability 8.7): there is none in {cache.folder()}."
    ]
    again, said = get(want())
    assert (again.built, again.content, again.sidecar, said) == (False, first.content, first.sidecar, [])
    assert first.sidecar.layers is not None
    engine = first.path.name
    assert visible(cache.folder()) == sorted([engine, f"{engine}.json", "fake-orin-tensorrt-10.3.0.timing"])


def first_line_path(said: list[str]) -> str:
    return said[0].split(" of ")[1].split(" with ")[0]


def test_the_engine_file_is_the_engine_and_nothing_else(want: Want, get: Any) -> None:
    obtained, _ = get(want())
    assert obtained.path.read_bytes() == obtained.content
    assert json.loads(sidecar.path_of(obtained.path).read_text())["machine"] == {
        "gpu": "Fake Orin",
        "capability": 87,
        "driver": 13000,
        "provider": "tensorrt",
        "provider_version": "10.3.0",
        "processors": 14,
    }


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def spoil(path: Path) -> None:
    sidecar.path_of(path).write_text('{"bundle": "half')


def bare(path: Path) -> None:
    sidecar.path_of(path).unlink()


def other_builder(path: Path) -> None:
    plain = json.loads(sidecar.path_of(path).read_text())
    sidecar.path_of(path).write_text(json.dumps({**plain, "builder": sidecar.BUILDER - 1}))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (cut, "is damaged"),
        (flip, "is damaged"),
        (spoil, "no readable sidecar"),
        (bare, "cut short"),
        (other_builder, "another coke-edge"),
    ],
)
def test_what_is_broken_is_built_again(
    want: Want, get: Any, harm: Callable[[Path], None], reason: str
) -> None:
    first, _ = get(want())
    harm(first.path)
    again, said = get(want())
    assert again.built
    assert again.content == first.content
    assert reason in said[0]
    assert isinstance(find(want()), Found)


def test_an_update_of_driver_or_tensorrt(want: Want, get: Any, fake_tensorrt: Any) -> None:
    first, _ = get(want())
    newer = want(dataclasses.replace(ORIN, driver_version=13020))
    again, said = get(newer)
    assert again.built
    assert again.path == first.path, "it takes the old one's place"
    assert "was built under a driver of CUDA 13.0, this is 13.2" in said[0]
    updated = newer._replace(machine=msgspec.structs.replace(newer.machine, provider_version="10.16.1"))
    assert "was built with tensorrt 10.3.0, this is tensorrt 10.16.1" in str(find(updated))


def test_another_gpu_gets_its_own_and_is_told(fake_cuda: Any, want: Want, get: Any) -> None:
    first, _ = get(want())
    other = dataclasses.replace(ORIN, name="Fake Thor", capability=110)
    reason = find(want(other))
    assert (
        "was built for Fake Orin (compute capability 8.7), this is Fake Thor (compute capability 11.0)"
        in str(reason)
    )
    assert want(other).path != first.path
    nano = want(dataclasses.replace(ORIN, processors=8))  # CUDA calls every Orin the same
    assert nano.path != first.path
    assert "with 14 multiprocessors, this one has 8" in str(find(nano))
    # A file that was renamed to look right is no better.
    moved = want(other).path
    first.path.rename(moved)
    sidecar.path_of(first.path).rename(sidecar.path_of(moved))
    assert "was built for Fake Orin" in str(find(want(other)))


def test_other_settings_are_other_engines(want: Want) -> None:
    specs = [EngineSpec("fp32", "standard"), EngineSpec("fp16", "standard"), EngineSpec("fp32", "kernels"),
             EngineSpec("fp32", "standard", Batch(1, 1, 4))]  # fmt: skip
    assert len({want(spec=spec).path for spec in specs} | {want(workspace=64).path}) == 5


def test_force_builds_again(want: Want, get: Any) -> None:
    get(want())
    again, said = get(want(), rebuild="--force asks for it")
    assert again.built
    assert "--force asks for it" in said[0]


def test_a_failed_or_interrupted_build_leaves_the_old_engine(
    want: Want, get: Any, fake_tensorrt: Any
) -> None:
    first, _ = get(want())
    fake_tensorrt._state.unsupported.add("AveragePool")
    with pytest.raises(BackendError, match="AveragePool"):
        get(want(), rebuild="a test")
    assert isinstance(find(want()), Found)
    empty = want(workspace=1)
    with pytest.raises(BackendError, match="AveragePool"):
        get(empty)
    assert not empty.path.exists()
    assert visible(cache.folder()) == visible(first.path.parent)
    assert not [path for path in cache.folder().iterdir() if ".part" in path.name]


def test_interrupted_while_writing(want: Want, get: Any) -> None:
    get(want())
    before = visible(cache.folder())

    def stop(*arguments: Any, **more: Any) -> bytes:
        raise KeyboardInterrupt

    for there in (want(), want(workspace=1)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(msgspec.json, "format", stop)
            with pytest.raises(KeyboardInterrupt):
                get(there, rebuild="a test")
    assert visible(cache.folder()) == before
    assert isinstance(find(want()), Found)
    assert not [path for path in cache.folder().iterdir() if ".part" in path.name]


def test_a_second_process_waits_and_then_finds_it(want: Want, get: Any, tmp_path: Path) -> None:
    import fcntl

    engine = want()
    engine.folder.mkdir(parents=True)
    with cache.building(engine):
        lock = engine.path.with_name(f".{engine.path.stem}.lock")
        with lock.open("w") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert get(engine)[0].built, "the lock has fallen"


def test_a_folder_that_cannot_be_written(
    want: Want, get: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "file"))
    with pytest.raises(BackendError, match="cannot write to the engine cache"):
        get(want())


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    assert cache.folder() == tmp_path / ".cache/coke-edge/engines"
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache.folder() == Path("/elsewhere/coke-edge/engines")
    monkeypatch.setenv(cache.VARIABLE, "~/mine")
    assert cache.folder() == tmp_path / "mine/engines"


def test_an_engine_that_tensorrt_refuses_is_built_again(
    trt: Provider, want: Want, get: Any, colours: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = get(want())
    broken = first.content[:20] + b"?" + first.content[21:]
    changed = msgspec.structs.replace(first.sidecar, sha256=hashlib.sha256(broken).hexdigest())
    sidecar.write(first.path, broken, changed)
    said: list[str] = []
    engine, obtained = opened(trt, colours, want(), said.append)
    assert obtained.built
    assert "cannot load the engine" in said[0]
    assert "image" in engine.tensors


def test_newest_first(want: Want, get: Any, colours: Bundle) -> None:
    made = [get(want(workspace=size))[0].sidecar for size in (1, 2, 3)]
    assert cache.sidecars_of(colours.sha256) == made[::-1]
    assert cache.sidecars_of("another bundle") == []


def test_timings_lie_beside_the_engines(want: Want, get: Any) -> None:
    get(want())
    file = TimingFile(cache.folder(), want().machine)
    assert file.path.parent == cache.folder()
    assert file.read().startswith(b"timings of 10.3.0")


def test_tensorrt_needs_the_gpu(trt: Provider, colours: Bundle) -> None:
    with pytest.raises(BackendError, match="there is none here"):
        machine(trt, None)
    with pytest.raises(BackendError, match="there is none here"):
        machine(trt, None, 89)


def test_another_folder(trt: Provider, colours: Bundle, get: Any, tmp_path: Path) -> None:
    engine = wanted(colours, EngineSpec("fp32", "standard"), machine(trt, ORIN), folder=tmp_path / "take")
    assert get(engine)[0].path.parent == tmp_path / "take"
    assert not cache.folder().exists()
