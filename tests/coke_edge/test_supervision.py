from __future__ import annotations

import dataclasses
import sys
import types
from typing import Any

import numpy as np
import pytest

from coke_edge.errors import CokeError
from coke_edge.keypoints import Keypoints
from coke_edge.manifest import Keypoints2D
from coke_edge.supervision import to_supervision


def keypoints(visible: tuple[float, ...] = (0.9, 0.0, 0.2)) -> Keypoints:
    nan = np.nan
    return Keypoints(
        layout=Keypoints2D(("a", "b", "c")),
        xy=np.array([[1.5, 2.5], [nan, nan], [3.0, 4.0]]),
        similarity=np.array([0.8, nan, 0.5]),
        clutter=np.zeros(3),
        soft_clutter=np.zeros(3),
        visible=np.array(visible),
        box=np.array([1.0, 2.0, 11.0, 22.0]),
    )


@dataclasses.dataclass
class Old:
    """The fields of supervision.KeyPoints up to 0.28."""

    xy: Any
    class_id: Any = None
    confidence: Any = None
    data: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class New:
    """The same from 0.29 on."""

    xy: Any
    class_id: Any = None
    keypoint_confidence: Any = None
    detection_confidence: Any = None
    visible: Any = None
    data: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def empty(cls) -> New:
        return cls(np.empty((0, 0, 2)))


def install(monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    module = types.ModuleType("supervision")
    module.KeyPoints = kind  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "supervision", module)


def test_before_0_29(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Old)
    found = keypoints().to_supervision()
    assert isinstance(found, Old)
    assert found.xy.dtype == np.float32
    assert found.xy.tolist() == [[[1.5, 2.5], [0, 0], [3, 4]]]
    np.testing.assert_allclose(found.confidence, [[0.9, 0, 0.2]])
    assert found.data["box"].tolist() == [[1, 2, 11, 22]]


def test_from_0_29_on(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, New)
    found = to_supervision([keypoints(), keypoints((np.nan, np.nan, np.nan))])
    assert found.xy.shape == (2, 3, 2)
    assert found.class_id.tolist() == [0, 0]
    np.testing.assert_allclose(found.keypoint_confidence, [[0.9, 0, 0.2], [0.8, 0, 0.5]])
    assert found.visible.tolist() == [[True, False, False], [True, False, True]]
    assert len(to_supervision([]).xy) == 0


def test_a_hidden_keypoint_stands_where_it_is_if_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, New)
    elsewhere = np.array([[50.0, 60.0], [np.nan, np.nan], [70.0, 80.0]])
    found = to_supervision([dataclasses.replace(keypoints(), hidden_xy=elsewhere)])
    assert found.xy.tolist() == [[[1.5, 2.5], [0, 0], [70, 80]]]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(CokeError, match="pip install supervision"):
        keypoints().to_supervision()
