"""`--format triton-server`: a model repository for NVIDIA Triton Inference Server.

REPOSITORY/NAME/config.pbtxt      tensors without the batch dimension, dynamic batching
REPOSITORY/NAME/1/model.onnx      the graph of `--format onnx`
REPOSITORY/NAME/keypoints.txt     labels: one score map's name a line, which is its keypoint's
REPOSITORY/NAME/NAME.json         how to make the crop and to read the results, as beside a plain ONNX file
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import onnx

from coke_edge.bundle import Bundle
from coke_edge.errors import ExportError
from coke_edge.export.formats.decoded import decoded_graph
from coke_edge.export.formats.folder import replacing_folder
from coke_edge.export.formats.sidecar import sidecar
from coke_edge.export.gate import map_names
from coke_edge.export.graph import serialise
from coke_edge.files import replacing

CONFIG, LABELS, GRAPH = "config.pbtxt", "keypoints.txt", "1/model.onnx"
SIGNATURE = "# Written by coke-edge from a bundle; exporting again replaces the whole folder."
MAX_BATCH = 8
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
TYPES: dict[int, str] = {
    onnx.TensorProto.UINT8: "TYPE_UINT8",
    onnx.TensorProto.INT32: "TYPE_INT32",
    onnx.TensorProto.FLOAT: "TYPE_FP32",
}
ACCELERATOR = """
# On a GPU, ONNX Runtime can hand the graph to TensorRT. The engine is built when the first request of a batch size
# comes, which makes that request wait; keep it in a cache. To switch it on, uncomment:
# optimization {
#   execution_accelerators {
#     gpu_execution_accelerator: [
#       {
#         name: "tensorrt"
#         parameters { key: "precision_mode" value: "FP32" }  # types are those of the graph
#         parameters { key: "trt_engine_cache_enable" value: "true" }
#         parameters { key: "trt_engine_cache_path" value: "/var/cache/tensorrt" }
#       }
#     ]
#   }
# }
"""


def write_triton_server(
    bundle: Bundle, out: Path, precision: str = "fp32", max_batch: int = MAX_BATCH
) -> Path:
    """Write the model NAME, called as in the bundle's manifest, into the repository `out`; the model's folder.

    The same bundle gives the same bytes. The folder appears whole or not at all; one that an earlier export
    wrote is replaced.

    Raises BundleError if the bundle has no graph of that precision, and ExportError if its name is none for a
    folder and a URL, or the folder is somebody else's or cannot be written.
    """
    name = bundle.manifest.name
    if not NAME.fullmatch(name):
        raise ExportError(
            f"the model is called {name!r}, which is no name for Triton Inference Server: "
            "export it to a bundle named with letters, digits, _ and -"
        )
    graph = decoded_graph(bundle.read(f"model.{precision}.onnx"), bundle.manifest.model)
    data = serialise(graph)
    names = map_names(bundle.manifest.model)
    contents = {
        CONFIG: config(name, graph, max_batch, labelled=bundle.manifest.model.head.peaks == 1).encode(),
        LABELS: "".join(f"{' '.join(label.split())}\n" for label in names).encode(),
        f"{name}.json": sidecar(bundle, GRAPH, data, precision),
        GRAPH: data,
    }
    target = out / name
    with replacing_folder(target, lambda folder: is_ours(folder, contents)) as folder:
        for path, content in contents.items():
            with replacing(folder / path, ExportError) as file:
                file.write(content)
    return target


def config(name: str, graph: onnx.ModelProto, max_batch: int, labelled: bool) -> str:
    """`config.pbtxt` for a graph whose tensors all begin with a free batch dimension.

    `labelled` gives the similarities the keypoints' names, for Triton's classification extension: it counts
    values, so there must be one per keypoint.
    """
    inputs = ",\n".join(tensor(value) for value in graph.graph.input)
    outputs = ",\n".join(
        tensor(value, LABELS if labelled and value.name == "similarity" else None)
        for value in graph.graph.output
    )
    return f"""{SIGNATURE}
name: "{name}"
backend: "onnxruntime"
default_model_filename: "model.onnx"
max_batch_size: {max_batch}
input [
{inputs}
]
output [
{outputs}
]
dynamic_batching {{ }}
{ACCELERATOR}"""


def tensor(value: onnx.ValueInfoProto, labels: str | None = None) -> str:
    """One input or output."""
    kind = value.type.tensor_type
    _, *dims = (dim.dim_value for dim in kind.shape.dim)
    label = f'\n    label_filename: "{labels}"' if labels else ""
    return f"""  {{
    name: "{value.name}"
    data_type: {TYPES[kind.elem_type]}
    dims: [ {", ".join(map(str, dims))} ]{label}
  }}"""


def is_ours(folder: Path, names: Collection[str]) -> bool:
    """Whether an earlier export wrote a folder, and nobody has put anything into it since."""
    try:
        first = (folder / CONFIG).read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError):
        return False
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return first == SIGNATURE and found <= set(names)
