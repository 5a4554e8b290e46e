"""Looking through a MATLAB 5 to 7 file before SciPy reads it, whose reader crashes the process on some damage.

The file is a 128-byte header and elements: a tag (type, bytes) and data, padded to 8 bytes; up to 4 bytes of data stand
in the tag itself, with their count in the upper half of the type. A matrix is an element of elements: flags, sizes,
name, and what its class says, which for cells and structs is matrices again. A variable may be deflated as a whole.
Checked is what the reader takes for granted: that every element is of a type that its place allows, and lies within
the one around it. (The layout is in MathWorks' "MAT-File Format".)
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Container

HEADER = 128
INT8, UINT32, INT32, MATRIX, DEFLATED = 1, 6, 5, 14, 15
NUMERIC = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13})
TEXT = frozenset({1, 2, 4, 16, 17, 18})
CELL, STRUCT, CHAR = 1, 2, 4
NUMBERS = range(6, 16)  # classes: double, single, int8 … uint64
COMPLEX = 0x0800
DEEPEST = 32
LARGEST = 4 * 2**30  # bytes that a deflated variable may come to
LONGEST_NAME = 64
MOST_SIZES = 32  # dimensions that numpy has
USUAL = (UINT32, 8, INT32, 8, INT8, 0)  # flags, two sizes, no name


class DamagedError(Exception):
    """The file is not what the format says; the text says what is wrong, as a phrase."""


Span = tuple[int, int, int]  # where an element's data begin, end, and the next element begins


def check_structure(data: bytes, variable: str) -> None:
    """Raise DamagedError unless `variable` of a version 5 file, and the head of every other one, can be read safely."""
    order = "<" if data[126:128] == b"IM" else ">"
    position = HEADER
    while position < len(data):
        if len(data) - position < 8:
            raise DamagedError("it ends in the middle of a tag")
        kind, size = struct.unpack_from(order + "II", data, position)
        start, position = position + 8, position + 8 + size
        if not 0 < size <= len(data) - start:
            raise DamagedError("it is cut off")
        if kind == DEFLATED:
            content = _inflated(data[start:position])
            walk = Walk(content, order)
            walk.variable(*walk.element(0, len(content), (MATRIX,)), variable)
        elif kind == MATRIX:
            Walk(data, order).variable(start, position, position, variable)
        else:
            raise DamagedError(f"it has a variable of type {kind}")


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, LARGEST)
    except zlib.error as error:
        raise DamagedError(f"its compression is broken: {error}") from error


class Walk:
    """Goes through the elements in a buffer of one byte order.

    A data set has millions of matrices, so the one form that nearly all have is told at a glance.
    """

    def __init__(self, data: bytes, order: str) -> None:
        self.data = data
        self.order = order
        self.pair = struct.Struct(order + "II").unpack_from
        self.glance = struct.Struct(order + "10I").unpack_from

    def element(self, position: int, limit: int, kinds: Container[int]) -> Span:
        """The element at a position, all of which must lie before `limit`, of one of these types."""
        if limit - position < 8:
            raise DamagedError("an element is cut off")
        kind, size = self.pair(self.data, position)
        if kind >> 16:
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise DamagedError("a small element is too large")
            start, following = position + 4, position + 8
        else:
            start = position + 8
            following = start + size + -size % 8
        if start + size > limit:
            raise DamagedError("an element reaches beyond the one around it")
        if kind not in kinds:
            raise DamagedError(f"an element of type {kind} is out of place")
        return start, start + size, following

    def integers(self, start: int, end: int) -> tuple[int, ...]:
        """The 32-bit integers between two places."""
        return struct.unpack_from(f"{self.order}{(end - start) // 4}i", self.data, start)

    def variable(self, start: int, end: int, following: int, wanted: str) -> None:
        """Check a variable's head, and if it is the wanted one, all of it."""
        name = self.head(start, end)[2]
        if self.data[name[0] : name[1]].decode("latin-1") == wanted:
            self.matrix(start, end, following, DEEPEST)

    def head(self, start: int, end: int) -> tuple[int, int, Span, int]:
        """Flags, number of values, the name, and where the data begin."""
        if end - start >= 40:
            kind, size, flag, _, kind_of_sizes, size_of_sizes, rows, columns, *name = self.glance(
                self.data, start
            )
            usual = (kind, size, kind_of_sizes, size_of_sizes, *name) == USUAL
            if usual and max(rows, columns) < 2**31:
                return flag, rows * columns, (start + 40, start + 40, start + 40), start + 40
        flags = self.element(start, end, (UINT32,))
        sizes = self.element(flags[2], end, (INT32,))
        if flags[1] - flags[0] != 8 or (sizes[1] - sizes[0]) % 4:
            raise DamagedError("the head of a matrix is of another length")
        shape = self.integers(*sizes[:2])
        if not 2 <= len(shape) <= MOST_SIZES or min(shape) < 0:
            raise DamagedError("the size of a matrix is impossible")
        own_name = self.element(sizes[2], end, (INT8,))
        return self.integers(*flags[:2])[0], math.prod(shape), own_name, own_name[2]

    def matrix(self, start: int, end: int, following: int, depth: int) -> None:
        """Check a matrix and the ones in it; one without any bytes stands for an empty one."""
        if start == end:
            return
        if depth == 0:
            raise DamagedError("its matrices are nested too deeply")
        flag, count, _, position = self.head(start, end)
        kind = flag & 0xFF
        if kind in NUMBERS:
            position = self.element(position, end, NUMERIC)[2]
            if flag & COMPLEX:
                position = self.element(position, end, NUMERIC)[2]
        elif kind == CHAR:
            position = self.element(position, end, TEXT)[2]
        elif kind in (CELL, STRUCT):
            if kind == STRUCT:
                fields, position = self.fields(position, end)
                count *= fields
            if count * 8 > end - position:
                raise DamagedError("a cell array or a struct is cut off")
            for _ in range(count):
                inner = self.element(position, end, (MATRIX,))
                self.matrix(*inner, depth - 1)
                position = inner[2]
        else:
            raise DamagedError(f"it holds a matrix of class {kind}, which no data set here has")
        if position not in (end, following):
            raise DamagedError("a matrix is shorter or longer than it says")

    def fields(self, position: int, limit: int) -> tuple[int, int]:
        """How many fields a struct has, and where its values begin."""
        length = self.element(position, limit, (INT32,))
        start, end, following = self.element(length[2], limit, (INT8,))
        width = self.integers(*length[:2])[0] if length[1] - length[0] == 4 else 0
        if not 0 < width <= LONGEST_NAME or (end - start) % width:
            raise DamagedError("the field names of a struct are of another length")
        for name in range(start, end, width):
            if 0 not in self.data[name : name + width]:
                raise DamagedError("a field name of a struct does not end")
        return (end - start) // width, following
