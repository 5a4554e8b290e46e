"""How steady the places of an object's keypoints are from frame to frame, while part of it is covered.

    python -m coke_edge.benchmarks.flicker demo --data lsp:FOLDER --backgrounds FOLDER --occluders FOLDER

A real picture, with occluders of level L2 on the object, moves over a real background under a sensor's noise; its true
box is searched. A place goes to and fro where P(visible) lies near the limit between the seen and the hidden map.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coke_edge.benchmarks.tracking import FRAMES_PER_SECOND, Box, Scene, scenes_of, side
from coke_edge.detector import Detector
from coke_edge.keypoints import ELSEWHERE_BELOW, Keypoints
from coke_edge.stream.smoothing import OneEuro, Smoother

LEVEL = "L2"
NOISE = 4.0  # grey levels, standard deviation: a camera indoors
FAR = 0.1  # a jump of the box's longer side that nobody takes for a movement
HEIGHT, SPEED = 0.8, 0.5  # of the frame; sizes per second
BANDS = ((ELSEWHERE_BELOW, ELSEWHERE_BELOW), (0.25, 0.35), (0.2, 0.4), (0.15, 0.45))

Track = list[tuple[Keypoints, Box, float]]  # keypoints, true box and time of each frame


@dataclasses.dataclass(frozen=True)
class Steadiness:
    """Per second and keypoint, over all scenes."""

    moves: float  # between the seen and the hidden place
    jumps: float  # by more than FAR of the object from one frame to the next, its own movement apart
    otherwise: float  # share of places that are not those of the limit without a band


def track(detector: Detector, scene: Scene, seconds: float, rng: np.random.Generator) -> Track:
    """The detections of one scene, in the true box of each frame."""
    found: Track = []
    for frame, box in scene.frames(seconds, SPEED, HEIGHT):
        noisy = frame.image + rng.normal(0.0, NOISE, frame.image.shape)
        image = np.clip(noisy, 0, 255).astype(np.uint8)
        found.append((detector(image, box), box, frame.time or 0.0))
    return found


def steadiness(tracks: Sequence[Track], settings: OneEuro | None) -> Steadiness:
    """Of the places as they are (`settings` None), or smoothed."""
    moves, jumps, otherwise = [], [], []
    for frames in tracks:
        smoother = Smoother(settings) if settings else None
        shown = [smoother([(0, one)], time)[0] if smoother else one for one, _, time in frames]
        state = np.array([one.displaced for one in shown])  # [T, K]
        places = np.array(
            [(one.places - box[:2]) / side(box) for one, (_, box, _) in zip(shown, frames, strict=True)]
        )
        moves.append(state[1:] != state[:-1])
        jumps.append(np.linalg.norm(np.diff(places, axis=0), axis=-1) > FAR)
        otherwise.append(state != np.array([one.visible < ELSEWHERE_BELOW for one, _, _ in frames]))
    means = [float(np.concatenate(kind).mean()) for kind in (moves, jumps, otherwise)]
    return Steadiness(FRAMES_PER_SECOND * means[0], FRAMES_PER_SECOND * means[1], means[2])


def covered(scenes: list[Scene], occluders: str) -> list[Scene]:
    """The same pictures with occluders on their objects. Raises DataError as `Occluders` does."""
    from coke_edge.train.occluders import Occluders
    from coke_edge.train.occlusion_levels import box_region, occlude

    drawn, rng = Occluders(occluders), np.random.default_rng(0)
    return [
        dataclasses.replace(
            scene,
            picture=occlude(
                scene.picture, box_region(scene.box, scene.picture.shape), LEVEL, drawn, rng
            ).image,
        )
        for scene in scenes
    ]


def main() -> None:
    """Print one JSON object for the places as they are, and one for each band of the smoothing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle")
    parser.add_argument("--data", required=True, help="data set, as in coke-edge train")
    parser.add_argument("--backgrounds", type=Path, required=True, help="pictures without the object")
    parser.add_argument("--occluders", required=True, help="pictures that occluders are cut from")
    parser.add_argument("--scenes", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=1.5)
    options = parser.parse_args()
    detector, rng = Detector(options.bundle), np.random.default_rng(0)
    scenes = covered(scenes_of(options.data, options.backgrounds, options.scenes), options.occluders)
    tracks = [track(detector, scene, options.seconds, rng) for scene in scenes]
    report("not smoothed", steadiness(tracks, None))
    for gone, back in BANDS:
        report(f"smoothed, {gone} … {back}", steadiness(tracks, OneEuro(gone=gone, back=back)))


def report(name: str, found: Steadiness) -> None:
    """One line of JSON."""
    print(json.dumps({"places": name, **dataclasses.asdict(found)}), flush=True)


if __name__ == "__main__":
    main()
