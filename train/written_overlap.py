"""Whether a written set of occluded images (`occluded:FOLDER`) covers them with what a model was trained with.

The set lists the photos that its occluders were cut from, by name and size: no folder of the machine that wrote it.
"""

from __future__ import annotations

from pathlib import Path

from coke_edge.errors import CokeError, DataError
from coke_edge.train.data.occluded_names import INFO, Written, read_written
from coke_edge.train.lineage import UNKNOWN, Stage
from coke_edge.train.occluder_overlap import FLATTERED, is_namesake, recorded_stages, training_images
from coke_edge.train.occluders import OccluderFolder


def refuse_written_occluders(root: Path, model: str) -> str | None:
    """Raise DataError if a training of `model` saw a photo that the occluders of the set in `root` were cut from.

    Returns a warning where that cannot be told, as `occluder_overlap.refuse_training_occluders` does; None if nothing
    agrees.
    """
    written = read_written(root)
    if written is None or not written.occluder_files:
        return f"{root / INFO} does not list the photos that the occluders were cut from: {FLATTERED}"
    stages, is_bundle = recorded_stages(model)
    test = OccluderFolder(Path(written.occluder_folder), written.occluder_part)
    found: list[str] = []
    for stage in stages:
        photos = None if is_bundle else occluder_photos(stage)
        if photos is not None:
            refuse_shared(written, root, photos, f"{model} took occluders from")
        elif is_namesake(test, stage):
            found.append(
                f"{model} was trained with occluders from a folder called {test.folder}: {FLATTERED}"
            )
        images = None if is_bundle else training_images(stage)
        refuse_shared(written, root, images or set(), f"{model} was trained on")
    if UNKNOWN in stages:
        found.append(f"{model} does not say what all of its trainings saw: {FLATTERED}")
    return found[0] if found else None


def occluder_photos(stage: Stage) -> set[Path] | None:
    """The photos that a stage took occluders from; None if there were none, or they are not here."""
    if stage.occluder_images is None:
        return None
    try:
        return set(OccluderFolder.parse(stage.occluder_images).files())
    except CokeError:
        return None


def refuse_shared(written: Written, root: Path, seen: set[Path], did: str) -> None:
    """Raise DataError if a photo of the set is among those seen: it has the name and the size of one."""
    files = written.occluder_files
    shared = sum(path.name in files and is_of_size(path, files[path.name]) for path in seen)
    if shared:
        raise DataError(
            f"{did} {shared} of the {len(files)} photos that the occluders in {root} were cut from, so it knows them: "
            "cover the images with other photos"
        )


def is_of_size(path: Path, size: int) -> bool:
    """Whether there is such a file."""
    try:
        return path.stat().st_size == size
    except OSError:
        return False
