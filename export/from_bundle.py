"""A bundle as the checkpoint that it was made from: to be exported again, in other precisions or with other kernels.

Its weights are those of the fp32 graph, where BatchNorm is folded and stays so in effect; each row of its clutter bank
stands as often as it was counted. The null class, which training alone reads, is not there.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from coke_edge.bundle import Bundle
from coke_edge.errors import ExportError
from coke_edge.train.checkpoint import Checkpoint
from coke_edge.train.model import CokeModel
from coke_edge.train.trained_weights import GRAPH, bundle_weights, untrained

TOLERANCE = 1e-3  # of a similarity: far above rounding, far below any other network


def checkpoint_of(bundle: Bundle) -> Checkpoint:
    """Raises CokeError if the bundle names no recipe, and ExportError if its graph does not hold such a network."""
    network = untrained(bundle)
    try:
        network.load_state_dict(network.state_dict() | bundle_weights(bundle).tensors)
    except RuntimeError:
        raise ExportError(f"{bundle.path} cannot be taken apart again: export its checkpoint") from None
    fill_clutter(network, bundle)
    network.eval().requires_grad_(False)
    require_same(network, bundle)
    manifest = bundle.manifest
    training = {name: value for name, value in manifest.training.items() if name != "recipe"}
    return Checkpoint(network, manifest.model, network.recipe, training)


def fill_clutter(network: CokeModel, bundle: Bundle) -> None:
    """The bundle's rows, each as often as it was counted. Raises ExportError if the recipe's bank holds fewer."""
    banks = bundle.banks()
    counts = banks.get("counts", np.ones(len(banks["clutter"])))
    rows = np.repeat(banks["clutter"], np.rint(counts).astype(int), axis=0)
    if len(rows) > network.recipe.clutter_size:
        raise ExportError(f"{bundle.path} has more clutter than its recipe says: export its checkpoint")
    network.clutter_bank.push(torch.from_numpy(rows))


def require_same(network: CokeModel, bundle: Bundle) -> None:
    """Raises ExportError unless the network says of a picture what the bundle's graph does."""
    import onnxruntime

    spec = bundle.manifest.model
    coarse = torch.rand(
        2, 3, spec.input.height // 16, spec.input.width // 16, generator=torch.Generator().manual_seed(0)
    )
    fine = F.interpolate(coarse, (spec.input.height, spec.input.width), mode="bicubic").clamp(0, 1)
    image = (255 * fine).byte().permute(0, 2, 3, 1).contiguous()
    session = onnxruntime.InferenceSession(bundle.read(GRAPH), providers=["CPUExecutionProvider"])
    (theirs,) = session.run(["similarity"], {"image": image.numpy()})
    ours = network.peaks(image, spec.head).similarity.numpy()
    if not np.allclose(ours[..., 0], theirs[..., 0], rtol=0.0, atol=TOLERANCE):
        raise ExportError(f"{bundle.path} cannot be taken apart again: export its checkpoint")
