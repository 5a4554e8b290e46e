from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.parser
import pytest

from coke_edge.errors import BackendError, StreamError
from coke_edge.keypoints import Keypoints
from coke_edge.manifest import Keypoints2D
from coke_edge.stream.finder import FoundRegion, intersection_over_union
from coke_edge.stream.onnx_finder import OnnxFinder
from coke_edge.stream.region import FixedRegion, open_region
from coke_edge.stream.tracking import TrackedRegion

IMAGE = np.zeros((120, 160, 3), np.uint8)
LAYOUT = Keypoints2D(("a", "b"))
BOX = (10.0, 20.0, 60.0, 90.0)


def in_box(box: object) -> Keypoints:
    one = np.ones(2)
    return Keypoints(LAYOUT, np.zeros((2, 2)), one, one, one, one, np.asarray(box, dtype=float))


def test_the_kinds_of_region(tmp_path: Path) -> None:
    assert open_region().boxes(IMAGE) == [None]
    assert [None if box is None else tuple(box) for box in open_region([BOX, None]).boxes(IMAGE)] == [
        BOX,
        None,
    ]
    assert isinstance(open_region("track"), TrackedRegion)
    assert isinstance(open_region("frame", track=True), TrackedRegion)
    assert isinstance(open_region(lambda image: [BOX]), FoundRegion)
    mine = FixedRegion([BOX])
    assert open_region(mine) is mine
    tracked = open_region([BOX, None], track=True)
    assert [None if box is None else tuple(box) for box in tracked.boxes(IMAGE)] == [BOX, None]


@pytest.mark.parametrize("bad", ["everywhere", [(1, 2, 3)], [(5, 5, 5, 9)], [(0, 0, np.nan, 1)], ["box"], 7])
def test_what_is_no_region(bad: object) -> None:
    with pytest.raises(StreamError, match=r"region|box"):
        open_region(bad)


def test_fixed_objects_keep_their_places() -> None:
    region = FixedRegion([BOX, None])
    one, two = in_box(BOX), in_box((0, 0, 1, 1))
    assert region.take([one, two]) == [(0, one), (1, two)]


def test_a_found_object_keeps_its_number_while_its_boxes_overlap() -> None:
    boxes = [[(0, 0, 40, 40), (80, 0, 120, 40)], [(82, 2, 122, 42), (4, 0, 44, 40)], [(300, 0, 340, 40)], []]
    region = FoundRegion(lambda image: np.reshape(boxes.pop(0), (-1, 4)))
    numbers = []
    while boxes:
        asked = region.boxes(IMAGE)
        numbers.append([number for number, _ in region.take([in_box(box) for box in asked])])
    assert numbers[0] == numbers[1][::-1]
    assert numbers[2][0] not in numbers[0]
    assert numbers[3] == []


def test_a_finder_that_gives_no_boxes_is_told() -> None:
    with pytest.raises(StreamError, match="no boxes: NoneType"):
        FoundRegion(lambda image: None).boxes(IMAGE)
    with pytest.raises(StreamError, match="not a box"):
        FoundRegion(lambda image: [[9, 9, 1, 1]]).boxes(IMAGE)


def test_intersection_over_union() -> None:
    a = np.array([0.0, 0.0, 4.0, 4.0])
    assert intersection_over_union(a, a) == 1
    assert intersection_over_union(a, a + 2) == pytest.approx(4 / 28)
    assert intersection_over_union(a, a + 9) == 0


# A detector of red things: a box of 20 × 10 pixels around the reddest column and row, its score the red there; and
# three more rows: one too weak, one of another class, one outside the image.
GRAPH = """
<ir_version: 10, opset_import: ["": 20]>
red (float[1, 3, 48, 64] images) => (float[1, 4, 6] rows) <
    int64[1] zero = {0}, int64[1] one = {1}, int64[2] not_x = {1, 2}, int64[2] not_y = {1, 3},
    int64[3] shape = {1, 4, 6}, float[4] half = {-9.5, -4.5, 10.5, 5.5}, float[1] label = {0.0},
    float[6] weak = {1.0, 1.0, 9.0, 9.0, 0.2, 0.0}, float[6] other = {1.0, 9.0, 9.0, 19.0, 0.6, 3.0},
    float[6] outside = {-30.0, -30.0, -10.0, -10.0, 0.9, 0.0}
> {
    plane = Slice (images, zero, one, one)
    across = ReduceMax <keepdims = 0> (plane, not_x)
    down = ReduceMax <keepdims = 0> (plane, not_y)
    column = ArgMax <axis = 1, keepdims = 0> (across)
    row = ArgMax <axis = 1, keepdims = 0> (down)
    x = Cast <to = 1> (column)
    y = Cast <to = 1> (row)
    middle = Concat <axis = 0> (x, y, x, y)
    corners = Add (middle, half)
    most = ReduceMax <keepdims = 0> (plane)
    score = Reshape (most, one)
    reddest = Concat <axis = 0> (corners, score, label)
    all = Concat <axis = 0> (weak, reddest, other, outside)
    rows = Reshape (all, shape)
}
"""


@pytest.fixture(scope="module")
def red(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finder") / "red.onnx"
    model = onnx.parser.parse_model(GRAPH)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def test_an_onnx_detector(red: Path) -> None:
    image = np.zeros(
        (480, 480, 3), np.uint8
    )  # fitted into 64 × 48: a tenth, with 8 grey columns on either side
    image[200:210, 300:310, 2] = 255
    image[:, :, 0] = 250  # blue must not count
    boxes = OnnxFinder(red)(image)
    # The cell (38, 20) of the input: 30 columns into the picture; corners at the input's pixel edges.
    middle = np.array([(38.5 - 8) * 10, 20.5 * 10]) - 0.5
    np.testing.assert_allclose(
        boxes[0], [*(middle - np.array([100, 50])), *(middle + np.array([100, 50]))], atol=1e-6
    )
    assert len(boxes) == 2  # the other class too; neither the weak one nor the one outside
    assert len(OnnxFinder(red, label=0)(image)) == 1
    assert len(OnnxFinder(red, most=1)(image)) == 1
    assert len(OnnxFinder(red, score=0.1)(image)) == 3
    assert isinstance(open_region(str(red)), FoundRegion)


def test_unusable_detectors(tmp_path: Path, bundle_path: Path) -> None:
    with pytest.raises(BackendError, match="cannot use the detector"):
        open_region(tmp_path / "missing.onnx")
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 20]> g (float[1, 3, 8, 8] x) => (float[1, 3, 8, 8] y) { y = Relu (x) }'
    )
    (tmp_path / "relu.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(StreamError, match=r"gave \[1, 3, 8, 8\], not \[1, N, 6\]"):
        OnnxFinder(tmp_path / "relu.onnx")(IMAGE)
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 20]> g (uint8[1, 8, 8, 3] x) => (uint8[1, 8, 8, 3] y) { y = Identity (x) }'
    )
    (tmp_path / "bytes.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(StreamError, match=r"uint8.*a detector takes one float tensor"):
        OnnxFinder(tmp_path / "bytes.onnx")
