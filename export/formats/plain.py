"""`--format onnx`: NAME.onnx in standard operators alone, and NAME.json that says how to use it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import onnx

from coke_edge.bundle import Bundle
from coke_edge.errors import ExportError
from coke_edge.export.formats.decoded import decoded_graph
from coke_edge.export.formats.sidecar import FORMAT, sidecar
from coke_edge.export.graph import serialise
from coke_edge.files import replacing

PRODUCER = "coke-edge"


def write_onnx(bundle: Bundle, out: Path, precision: str = "fp32") -> list[Path]:
    """Write the graph of `precision` to `out`, NAME.onnx, and its description to NAME.json; the paths written.

    The same bundle gives the same bytes. Files that an earlier export wrote are replaced.

    Raises BundleError if the bundle has no graph of that precision, and ExportError if `out` is no NAME.onnx,
    is in use by another file or cannot be written.
    """
    if out.suffix != ".onnx":
        raise ExportError(
            f"cannot write {out}: name a file that ends in .onnx, such as {out.with_suffix('.onnx')}"
        )
    beside = out.with_suffix(".json")
    require_ours(out, is_our_graph)
    require_ours(beside, is_our_sidecar)
    graph = serialise(decoded_graph(bundle.read(f"model.{precision}.onnx"), bundle.manifest.model))
    contents = {out: graph, beside: sidecar(bundle, out.name, graph, precision)}
    for path, content in contents.items():
        with replacing(path, ExportError) as file:
            file.write(content)
    return list(contents)


def require_ours(path: Path, is_ours: Callable[[Path], bool]) -> None:
    """Raises ExportError if there is something at `path` that no export of ours wrote."""
    if not path.exists():
        return
    if path.is_dir():
        raise ExportError(f"cannot write {path}: it is a folder")
    if not is_ours(path):
        raise ExportError(
            f"{path} is there and was not written by this export; move it away or choose another name"
        )


def is_our_graph(path: Path) -> bool:
    """Whether a file is a graph of ours."""
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:  # whatever protobuf makes of other people's files
        return False
    return bool(model.producer_name == PRODUCER)


def is_our_sidecar(path: Path) -> bool:
    """Whether a file is a description of ours."""
    try:
        content = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT
