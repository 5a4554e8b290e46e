"""`python -m benchmarks.peers.movenet_to_tflite FOLDER` at the root of a clone, in an environment that has TensorFlow.

Makes movenet-lightning.tflite and movenet-thunder.tflite of the .json and .bin files beside which they come to lie, and
holds their output against TensorFlow's. Environments: environments/.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.framework import graph_pb2

from .tfjs import unfused, weights

NAMES = ("movenet-lightning", "movenet-thunder")
INPUT, OUTPUT = "input:0", "Identity:0"
TOLERANCE = 1e-4  # in parts of the input: keypoints and scores


def graph(model: Path) -> Any:
    """TensorFlow's graph of a model.json, with its weights as constants."""
    content = json.loads(model.read_text())
    (group,) = content["weightsManifest"]
    data = b"".join((model.parent / name).read_bytes() for name in group["paths"])
    arrays = weights(group["weights"], data)
    found = graph_pb2.GraphDef()
    for node in content["modelTopology"]["node"]:
        if node["op"] == "Const":
            value = tf.make_tensor_proto(arrays[node["name"]])
            constant = found.node.add(name=node["name"], op="Const")
            constant.attr["value"].tensor.CopyFrom(value)
            constant.attr["dtype"].type = value.dtype
            continue
        for part in unfused(node):
            json_format.ParseDict(part, found.node.add())
    return found


def convert(model: Path) -> bytes:
    """A .tflite of a model.json. Raises ValueError if the two do not compute the same."""
    definition = graph(model)
    whole = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    function = whole.prune(INPUT, OUTPUT)
    content: bytes = tf.lite.TFLiteConverter.from_concrete_functions([function]).convert()
    shape = function.inputs[0].shape
    image = np.random.default_rng(0).integers(0, 256, shape, np.int32)
    expected = function(tf.constant(image)).numpy()
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise ValueError(f"the .tflite of {model} differs by {difference:g} from what TensorFlow computes")
    return content


def main() -> None:
    """Convert both networks."""
    folder = Path(sys.argv[1])
    for name in NAMES:
        content = convert(folder / f"{name}.json")
        (folder / f"{name}.tflite").write_bytes(content)
        print(f"Wrote {folder / name}.tflite")


if __name__ == "__main__":
    main()
