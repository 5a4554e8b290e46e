"""The precision that TensorRT really chose, read back from the engine.

The inspector describes each layer as JSON; its tensors have a dtype in words that changed between versions ("Half",
"Row major linear FP16 format"). A layer's precision here is the lowest of its floating-point and int8 inputs: what
its arithmetic is done on. Copies and reformats compute nothing and are not counted.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import msgspec

from coke_edge.engine.provider import Provider

# Lowest first: the order decides which input of a layer counts.
WORDS = {
    "int8": r"int8|i8",
    "fp8": r"fp8|e4m3\w*|e5m2\w*",
    "fp16": r"fp16|half|f16",
    "bf16": r"bf16|bfloat16?|bfloat",
    "fp32": r"fp32|float|f32",
}
PATTERNS = {
    name: re.compile(rf"(?<![a-z0-9])(?:{words})(?![a-z0-9])", re.IGNORECASE) for name, words in WORDS.items()
}
MOVES = re.compile(
    r"reformat|noop|no_op|constant|shape|shuffle|signal|wait|identity|copy|transpose", re.IGNORECASE
)
HEAVY = re.compile(r"conv|gemm|matmul|matrix|fullyconnected", re.IGNORECASE)


class Layers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many layers of an engine compute in which precision."""

    all: dict[str, int]  # precision → layers that compute something
    heavy: dict[str, int]  # of these, convolutions and matrix products: where the time goes

    def lack(self, precision: str) -> bool:
        """Whether no convolution or matrix product is done in a precision."""
        return precision not in (self.heavy or self.all)


def inspect(provider: Provider, engine: Any) -> Layers | None:
    """The layers of a deserialised engine; None if TensorRT tells nothing about them."""
    inspector = engine.create_engine_inspector()
    text = inspector.get_engine_information(provider.api.LayerInformationFormat.JSON)
    return count(text)


def count(text: str) -> Layers | None:
    """The layers in the inspector's JSON; None if it has no details."""
    try:
        layers = json.loads(text)["Layers"]
    except (ValueError, KeyError, TypeError):
        return None
    found = [(layer, precision(layer)) for layer in dicts(layers)]
    computing = [
        (layer, p) for layer, p in found if p and not MOVES.fullmatch(str(layer.get("LayerType", "")))
    ]
    if not computing:
        return None
    heavy = Counter(p for layer, p in computing if is_heavy(layer))
    return Layers(ordered(Counter(p for _, p in computing)), ordered(heavy))


def precision(layer: dict[str, Any]) -> str | None:
    """The lowest precision among a layer's inputs; None if they are indices, shapes or not described."""
    described = [
        str(tensor.get("Format/Datatype") or tensor.get("Datatype", ""))
        for tensor in dicts(layer.get("Inputs"))
    ]
    return next((name for name, pattern in PATTERNS.items() if any(map(pattern.search, described))), None)


def dicts(items: Any) -> list[dict[str, Any]]:
    """The objects of a list. A form that nobody has seen yet must not cost an engine that took minutes to build."""
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def is_heavy(layer: dict[str, Any]) -> bool:
    """Whether a layer holds a convolution or a matrix product, also under the name of a fused kernel."""
    return any(
        HEAVY.search(str(layer.get(key, ""))) for key in ("LayerType", "ParameterType", "Name", "TacticName")
    )


def ordered(counts: Counter[str]) -> dict[str, int]:
    """Lowest precision first."""
    return {name: counts[name] for name in WORDS if counts[name]}
