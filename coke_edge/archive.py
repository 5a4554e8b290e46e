"""A zip archive whose every byte follows from its entries: stored, in order, one date, one mode.

Written out here rather than left to a zip library, because libraries differ in the header fields that they
write, and a reader that checks every byte must know them all.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping

Contents = Mapping[str, memoryview]  # by entry name (ASCII), in the order of the file

SIGNATURE = 0x04034B50
LOCAL = struct.Struct("<I5H3I2H")
CENTRAL = struct.Struct("<I6H3I5H2I")
END = struct.Struct("<I4H2IH")
VERSION, FLAGS, STORED, TIME, DATE = 20, 0, 0, 0, 0x0021  # 1 January 1980
UNIX, REGULAR_FILE = 3 << 8, 0o100644 << 16
LARGEST = 2**32 - 1  # bytes, of a zip without the zip64 extension


def offsets(sizes: Mapping[str, int]) -> dict[str, int]:
    """Where the content of each entry starts, given all sizes in order."""
    starts, position = {}, 0
    for name, size in sizes.items():
        starts[name] = position + LOCAL.size + len(name)
        position = starts[name] + size
    return starts


def total_size(sizes: Mapping[str, int]) -> int:
    """Bytes of the whole archive."""
    per_entry = (LOCAL.size + CENTRAL.size + 2 * len(name) + size for name, size in sizes.items())
    return sum(per_entry) + END.size


def headers(contents: Contents) -> Iterator[tuple[int, bytes]]:
    """All that is not content: position and bytes of each entry's header, and of the directory at the end."""
    starts = offsets({name: len(content) for name, content in contents.items()})
    position, directory = 0, b""
    for name, content in contents.items():
        text, size = name.encode("ascii"), len(content)
        common = (VERSION, FLAGS, STORED, TIME, DATE, zlib.crc32(content), size, size, len(text), 0)
        yield position, LOCAL.pack(SIGNATURE, *common) + text
        rest = (0, 0, 0, REGULAR_FILE, position)  # comment, disk, internal and external attributes, offset
        directory += CENTRAL.pack(0x02014B50, UNIX | VERSION, *common, *rest) + text
        position = starts[name] + size
    count = len(contents)
    yield position, directory + END.pack(0x06054B50, 0, 0, count, count, len(directory), position, 0)


def pack(contents: Contents) -> Iterator[bytes | memoryview]:
    """The archive, piece by piece."""
    *local, (_, end) = headers(contents)
    for (_, header), content in zip(local, contents.values(), strict=True):
        yield header
        yield content
    yield end


def first_entry(data: memoryview) -> tuple[str, bytes] | None:
    """Name and content of the first entry, or None if `data` does not start with a whole, intact one."""
    if len(data) < LOCAL.size:
        return None
    signature, *_, crc, _, size, name_length, _ = LOCAL.unpack_from(data)
    start = LOCAL.size + name_length
    content = bytes(data[start : start + size])
    if signature != SIGNATURE or len(content) != size or zlib.crc32(content) != crc:
        return None
    return bytes(data[LOCAL.size : start]).decode("ascii", "replace"), content
