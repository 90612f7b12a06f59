"""bzip2 through Python's own module, on raw pixels."""

from __future__ import annotations

import bz2
from dataclasses import dataclass
from typing import ClassVar

from codecbench.plugins.registry import register_codec
from codecbench.plugins.settings import Value, setting

from ._filters import FILTERS
from ._general import SWEPT_FILTERS, GeneralCodec

_FIRST_BLOCK_BYTES = 10  # the first block's magic number and checksum
_END_BYTES = 10  # the end's magic number and checksum


@register_codec
@dataclass(frozen=True)
class Bzip2(GeneralCodec):
    """bzip2: Burrows-Wheeler transform, move to front, Huffman codes. The four bytes ``BZh`` and level are left out."""

    strongest: ClassVar[dict[str, Value]] = {"level": 9}

    level: int = setting(9, low=1, high=9, sweep=(9,), help="size of a block, in units of 100,000 bytes")
    filter: str = setting("none", choices=FILTERS, sweep=SWEPT_FILTERS, help="PNG's filters of rows before it")

    @property
    def _magic(self) -> bytes:
        return b"BZh%d" % self.level

    def compress(self, data: bytes) -> bytes:
        """One bzip2 stream without the bytes that the settings tell."""
        return bz2.compress(data, self.level).removeprefix(self._magic)

    def decompress(self, packed: bytes, size: int) -> bytes:
        """Reads a stream that ends with its last byte.

        Raises:
            BitstreamError: it is none.
        """
        unpacker = bz2.BZ2Decompressor()
        try:
            data = unpacker.decompress(self._magic + packed, size + 1)
            if len(data) == size and not unpacker.eof:
                data += unpacker.decompress(b"", 1)  # the end is only looked at once more is asked for
        except (OSError, ValueError, EOFError) as error:
            raise self.damaged(error) from error
        if not unpacker.eof or unpacker.unused_data:
            raise self.damaged("the stream is cut short, or does not end where it should")
        return data

    def framing_bytes(self, packed: bytes) -> int:
        """Magic number and checksum of the first block and of the end; those of further blocks count as data."""
        return _FIRST_BLOCK_BYTES + _END_BYTES
