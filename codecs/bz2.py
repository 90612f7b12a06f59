"""bzip2 through Python's own module."""

from __future__ import annotations

import bz2
from dataclasses import dataclass
from typing import ClassVar

import codecbench as cb

from ._general import GeneralCodec, row_filter, unpack


@cb.register_codec
@dataclass(frozen=True)
class Bzip2(GeneralCodec):
    """bzip2: Burrows-Wheeler transform, move to front, Huffman codes. The four bytes ``BZh`` and level are left out."""

    strongest: ClassVar[dict[str, cb.Value]] = {"level": 9}

    level: int = cb.setting(9, low=1, high=9, sweep=(9,), help="block size, in units of 100,000 bytes")
    filter: str = row_filter()

    def compress(self, data: bytes) -> bytes:
        """One bzip2 stream without its first four bytes."""
        return bz2.compress(data, self.level)[4:]

    def decompress(self, packed: bytes, size: int) -> bytes:
        """Reads one such stream."""
        return unpack(bz2.BZ2Decompressor(), b"BZh%d" % self.level + packed, size)

    def framing_bytes(self, packed: bytes) -> int:
        """Magic number and checksum of the first block and of the end; those of further blocks count as data."""
        return 20
