"""How well a tracked region follows: a real picture of an object moves over a real background.

    python -m coke_edge.benchmarks.tracking demo --data lsp:FOLDER --backgrounds FOLDER

The truth is known in every frame, so each result is compared with what the detector gives for the true box.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from coke_edge.detector import Detector
from coke_edge.geometry import transform
from coke_edge.stream.finder import intersection_over_union
from coke_edge.stream.follow import Following
from coke_edge.stream.frame import Frame
from coke_edge.stream.images import list_images, read_image
from coke_edge.stream.run import detect
from coke_edge.stream.tracking import TrackedRegion

Image = NDArray[np.uint8]
Box = NDArray[np.float64]

FRAMES_PER_SECOND = 30.0
SIZE = (480, 360)
FOLLOWS = 0.5  # intersection over union


@dataclasses.dataclass(frozen=True)
class Scene:
    """A picture [H, W, 3] of an object in a box [4], in front of a background [H, W, 3]."""

    picture: Image
    box: Box
    background: Image

    def frame(self, time: float, speed: float, height: float) -> tuple[Image, Box]:
        """The frame at a time in seconds, and the object's box in it.

        The object is `height` of the frame high, breathes by a tenth, and swings to and fro at up to `speed`
        times its own size (the box's longer side) per second.
        """
        width, tall = self.background.shape[1], self.background.shape[0]
        size = float((self.box[2:] - self.box[:2]).max())
        scale = height * tall / size * (1 + 0.1 * np.sin(1.3 * time))
        reach = np.maximum(np.array([width, tall]) - scale * size * 1.1, 2.0) / 2
        angle = (
            speed * height * tall / reach
        )  # radians per second: the fastest point of a sine moves at reach · angle
        centre = np.array([width, tall]) / 2 + reach * np.sin(angle * time + np.array([0.0, 0.5]))
        middle = (self.box[:2] + self.box[2:]) / 2
        affine = np.array(
            [[scale, 0, centre[0] - scale * middle[0]], [0, scale, centre[1] - scale * middle[1]]]
        )
        image = self.background.copy()
        cv2.warpAffine(
            self.picture, affine, (width, tall), image, cv2.INTER_AREA, borderMode=cv2.BORDER_TRANSPARENT
        )
        return image, transform(affine, self.box.reshape(2, 2)).reshape(4)

    def frames(self, seconds: float, speed: float, height: float) -> Iterator[tuple[Frame, Box]]:
        """All frames, with the object's box in each."""
        for index in range(round(seconds * FRAMES_PER_SECOND)):
            time = index / FRAMES_PER_SECOND
            image, box = self.frame(time, speed, height)
            yield Frame(index, image, f"scene/{index:06d}", time), box


@dataclasses.dataclass(frozen=True)
class Score:
    """What tracking gave. `found_after` apart, all is over the frames from the first one that follows its object.

    A region follows if it overlaps the true box by half (intersection over union).
    """

    found: float  # share of scenes with a frame that follows
    found_after: float  # median frames of the search, of the scenes with one
    following: float  # share of frames that follow
    error_px: float  # median distance of a visible keypoint from that of the true box, in frame pixels
    error_share: float  # the same as a share of the true box's longer side
    breathing: float  # mean change of the region's longer side from frame to frame, as a share of it


def measure(
    detector: Detector,
    scenes: list[Scene],
    following: Following,
    speed: float,
    height: float,
    seconds: float = 2.0,
) -> Score:
    """Track the object of every scene."""
    runs = [follow(detector, scene, following, speed, height, seconds) for scene in scenes]
    firsts = [
        int(np.flatnonzero(run[0] >= FOLLOWS)[0]) if (run[0] >= FOLLOWS).any() else None for run in runs
    ]
    if all(first is None for first in firsts):
        return Score(0.0, math.nan, 0.0, math.nan, math.nan, math.nan)
    kept = [
        [values[first:] for values in run]
        for run, first in zip(runs, firsts, strict=True)
        if first is not None
    ]
    overlaps, errors, sizes = (np.concatenate([run[i] for run in kept]) for i in range(3))
    sides = [np.abs(np.diff(np.log(run[3]))) for run in kept]
    return Score(
        found=len(kept) / len(runs),
        found_after=float(np.median([first for first in firsts if first is not None])),
        following=float((overlaps >= FOLLOWS).mean()),
        error_px=float(np.nanmedian(errors)),
        error_share=float(np.nanmedian(errors / sizes[:, None])),
        breathing=float(np.concatenate(sides).mean()),
    )


def follow(
    detector: Detector, scene: Scene, following: Following, speed: float, height: float, seconds: float
) -> list[NDArray[np.float64]]:
    """Overlap [T], distances [T, K] from the keypoints of the true box, the true side [T] and the region's [T].

    Keypoints that are judged hidden in the true box have no place to agree on: their distance is NaN.
    """
    pairs = list(scene.frames(seconds, speed, height))
    results = detect(detector, (frame for frame, _ in pairs), TrackedRegion(following=following))
    rows = []
    for result, (frame, box) in zip(results, pairs, strict=True):
        [tracked] = result.objects
        true = detector(frame.image, box)
        distances = np.where(true.hidden, np.nan, np.linalg.norm(tracked.xy - true.xy, axis=1))
        rows.append((intersection_over_union(tracked.box, box), distances, side(box), side(tracked.box)))
    return [np.array(column) for column in zip(*rows, strict=True)]


def side(box: Box) -> float:
    """The longer side of a box [4]."""
    return float((box[2:] - box[:2]).max())


def tolerance(detector: Detector, scenes: list[Scene], height: float) -> dict[str, float]:
    """Mean P(visible) in a square around the object, by its side (1: the true box's) and its offset as shares of it.

    Beside it, the same squares on the background alone.
    """
    values: dict[str, list[float]] = {}
    for scene in scenes:
        image, box = scene.frame(0.0, 0.0, height)
        middle = (box[:2] + box[2:]) / 2
        for scale in (0.5, 0.7, 1.0, 1.4, 2.0):
            for offset in (0.0, 0.25, 0.5):
                half = scale * side(box) / 2
                centre = middle + offset * 2 * half
                square = np.concatenate([centre - half, centre + half])
                for name, picture in (("object", image), ("background", scene.background)):
                    found = detector(picture, square)
                    values.setdefault(f"{name}, side {scale}, offset {offset}", []).append(
                        found.visible.mean()
                    )
    return {name: float(np.mean(shares)) for name, shares in values.items()}


def sensitivity(detector: Detector, scenes: list[Scene], height: float) -> dict[str, float]:
    """Median distance of visible keypoints from those of the true box, in a box that is moved by so much.

    Both as shares of the true box's longer side: no tracking can agree better than its boxes do.
    """
    shares: dict[str, list[NDArray[np.float64]]] = {}
    for scene in scenes:
        image, box = scene.frame(0.0, 0.0, height)
        true = detector(image, box)
        for share in (0.01, 0.03, 0.05):
            for step in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                moved = detector(image, box + share * side(box) * np.array([*step, *step]))
                distances = np.linalg.norm(moved.xy - true.xy, axis=1)[~true.hidden]
                shares.setdefault(f"{share}", []).append(distances / side(box))
    return {share: float(np.median(np.concatenate(found))) for share, found in shares.items()}


def scenes_of(data: str, backgrounds: Path, count: int) -> list[Scene]:
    """The first `count` objects of a data set's test split, each before a background of its own."""
    from coke_edge.train.data import load_dataset

    samples = load_dataset(data, "test").samples[:count]
    pictures = list_images(backgrounds)
    return [
        Scene(
            read_image(sample.image),
            np.asarray(sample.box, dtype=np.float64),
            np.asarray(cv2.resize(read_image(pictures[i % len(pictures)]), SIZE), dtype=np.uint8),
        )
        for i, sample in enumerate(samples)
    ]


def main() -> None:
    """Print one JSON object for each speed; before them, one for boxes that are off."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle")
    parser.add_argument("--data", required=True, help="data set, as in coke-edge train")
    parser.add_argument(
        "--backgrounds", type=Path, required=True, help="folder of pictures without the object"
    )
    parser.add_argument("--scenes", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument(
        "--height", type=float, default=0.3, help="of the object, as a share of the frame's height"
    )
    parser.add_argument(
        "--speed", type=float, nargs="+", default=[0.0, 0.5, 1.0, 2.0], help="object sizes per second"
    )
    parser.add_argument("--slack", type=float, default=Following().slack)
    parser.add_argument("--margin", type=float, default=Following().margin)
    options = parser.parse_args()
    detector = Detector(options.bundle)
    scenes = scenes_of(options.data, options.backgrounds, options.scenes)
    following = Following(margin=options.margin, slack=options.slack)
    boxes = {
        "mean P(visible)": tolerance(detector, scenes, options.height),
        "moved by a moved box": sensitivity(detector, scenes, options.height),
    }
    print(json.dumps(boxes), flush=True)
    for speed in options.speed:
        score = measure(detector, scenes, following, speed, options.height, options.seconds)
        print(json.dumps({"speed": speed, "height": options.height, **dataclasses.asdict(score)}), flush=True)


if __name__ == "__main__":
    main()
