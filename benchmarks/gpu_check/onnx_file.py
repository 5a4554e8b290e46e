"""An ONNX graph read without the package `onnx`, which a lent GPU machine need not have: nodes and their constants.

The file is a protocol buffer; the numbers of its fields are those of onnx.proto, version 3.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
DTYPES = {1: np.float32, 2: np.uint8, 6: np.int32, 7: np.int64, 10: np.float16}  # of TensorProto.data_type

Value = int | bytes


@dataclasses.dataclass(frozen=True)
class Node:
    """One operator; an input that is left out has an empty name."""

    operator: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Graph:
    """Nodes in the order in which they run."""

    nodes: tuple[Node, ...]
    constants: dict[str, NDArray[Any]]
    inputs: dict[str, tuple[int, ...]]  # shapes; 0 where a size has a name instead of a number


def read(content: bytes) -> Graph:
    """The graph of a model whose weights are inside. Raises ValueError for what is no such file."""
    try:
        graph = bytes_of(content, 7)[0]
        nodes = tuple(node(part) for part in bytes_of(graph, 1))
        if not nodes:
            raise KeyError(1)
        return Graph(
            nodes,
            dict(tensor(part) for part in bytes_of(graph, 5)),
            dict(described(part) for part in bytes_of(graph, 11)),
        )
    except (IndexError, KeyError, struct.error) as error:
        raise ValueError(f"no ONNX model with its weights inside ({type(error).__name__})") from error


def fields(content: bytes) -> Iterator[tuple[int, Value]]:
    """Number and value of every field of a message."""
    at = 0
    while at < len(content):
        key, at = varint(content, at)
        kind = key & 7
        value: Value
        if kind == VARINT:
            value, at = varint(content, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
            value, at = content[at : at + size], at + size
        elif kind == BYTES:
            size, at = varint(content, at)
            value, at = content[at : at + size], at + size
        else:
            raise KeyError(kind)
        yield key >> 3, value


def varint(content: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where the next begins."""
    found = shift = 0
    while True:
        byte = content[at]
        found, shift, at = found | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return found, at


def bytes_of(content: bytes, number: int) -> list[bytes]:
    """All fields of this number that hold text, bytes or messages."""
    return [value for key, value in fields(content) if key == number and isinstance(value, bytes)]


def text(content: bytes, number: int) -> str:
    """A field of text; empty if it is not there."""
    return (bytes_of(content, number) or [b""])[-1].decode()


def numbers(content: bytes, number: int) -> list[int]:
    """A field of signed numbers, packed or not."""
    found: list[int] = []
    for key, value in fields(content):
        if key == number and isinstance(value, int):
            found.append(value)
        elif key == number and isinstance(value, bytes):
            at = 0
            while at < len(value):
                one, at = varint(value, at)
                found.append(one)
    return [one - (1 << 64) if one >> 63 else one for one in found]


def node(content: bytes) -> Node:
    """A NodeProto."""
    names = [[part.decode() for part in bytes_of(content, number)] for number in (1, 2)]
    attributes = dict(attribute(part) for part in bytes_of(content, 5))
    return Node(text(content, 4), text(content, 7), tuple(names[0]), tuple(names[1]), attributes)


def attribute(content: bytes) -> tuple[str, Any]:
    """Name and value of an AttributeProto: a float, an int, text, ints; None for what else there may be."""
    name, kind = text(content, 1), (numbers(content, 20) or [0])[-1]
    if kind == 1:
        return name, struct.unpack("<f", bytes_of(content, 2)[-1])[0]
    if kind == 2:
        return name, (numbers(content, 3) or [0])[-1]
    if kind == 3:
        return name, text(content, 4)
    return name, numbers(content, 8) if kind == 7 else None


def tensor(content: bytes) -> tuple[str, NDArray[Any]]:
    """Name and value of a TensorProto whose data are raw bytes."""
    dtype = DTYPES[numbers(content, 2)[-1]]
    raw = bytes_of(content, 9)[-1]
    return text(content, 8), np.frombuffer(raw, dtype).reshape(numbers(content, 1))


def described(content: bytes) -> tuple[str, tuple[int, ...]]:
    """Name and shape of a ValueInfoProto of a tensor."""
    shape = bytes_of(bytes_of(bytes_of(content, 2)[-1], 1)[-1], 2)[-1]
    return text(content, 1), tuple((numbers(size, 1) or [0])[-1] for size in bytes_of(shape, 1))
