from __future__ import annotations

import builtins
import logging
import sys
from typing import Any

import pytest

from coke_edge.engine import provider
from coke_edge.engine.provider import open_provider
from coke_edge.errors import BackendError


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **more: Any) -> Any:
        if name in provider.MODULES.values():
            raise ImportError(f"No module named {name!r}\nsecond line")
        return real(name, *arguments, **more)

    def import_module(name: str) -> Any:
        refuse(name)

    for module in provider.MODULES.values():
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(provider.importlib, "import_module", import_module)


@pytest.mark.usefixtures("nothing_installed")
def test_what_is_missing_and_the_command_that_brings_it() -> None:
    with pytest.raises(BackendError) as caught:
        open_provider()
    sentence = str(caught.value)
    for part in ("tensorrt_rtx", "coke-edge[tensorrt]", "coke-edge[rtx]", "JetPack"):
        assert part in sentence
    assert "\n" not in sentence
    with pytest.raises(BackendError, match=r"cannot import tensorrt_rtx .*coke-edge\[rtx\]") as caught:
        open_provider("tensorrt-rtx")
    assert "JetPack" not in str(caught.value)
    with pytest.raises(BackendError, match="choose from auto, tensorrt, tensorrt-rtx"):
        open_provider("trt")


def test_the_fake_and_its_version(fake_tensorrt: Any) -> None:
    found = open_provider()
    assert (found.name, found.version, found.title) == ("tensorrt", "10.3.0", "TensorRT 10.3.0")
    assert open_provider("tensorrt").log is found.log, "one for the process"


def test_an_old_version_is_refused(fake_tensorrt: Any) -> None:
    fake_tensorrt.__version__ = "8.6.1"
    with pytest.raises(BackendError, match=r"TensorRT 8\.6\.1 is too old: coke-edge needs 10\.3"):
        open_provider("tensorrt")
    fake_tensorrt.__version__ = "12.0.0.1"
    assert open_provider("tensorrt").version == "12.0.0.1"


def test_the_first_error_is_what_a_failure_says(fake_tensorrt: Any, caplog: pytest.LogCaptureFixture) -> None:
    found = open_provider("tensorrt")
    severity = fake_tensorrt.ILogger.Severity
    with caplog.at_level(logging.DEBUG, logger="coke_edge"):
        found.log.log(severity.WARNING, "a warning")
        found.log.log(severity.INTERNAL_ERROR, "\nfirst.\nmore of it")
        found.log.log(severity.ERROR, "what follows")
        found.log.log(severity.VERBOSE, "chatter")
    assert str(found.failure("cannot jump")) == "TensorRT 10.3.0 cannot jump: first"
    assert str(found.failure("cannot jump")).endswith("did not say why"), "errors are taken once"
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO", "INFO", "DEBUG"]


def test_no_gpu_is_said_in_tensorrts_words(fake_cuda: Any, fake_tensorrt: Any) -> None:
    fake_cuda.reset(devices=0)
    with pytest.raises(BackendError, match="cannot start: CUDA initialization failure"):
        open_provider("tensorrt").make(fake_tensorrt.Builder)
