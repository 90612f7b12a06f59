"""Zstandard through python-zstandard, on raw pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import zstandard

from codecbench.plugins.registry import register_codec
from codecbench.plugins.settings import Value, setting

from ._filters import FILTERS
from ._general import SWEPT_FILTERS, GeneralCodec

_DESCRIPTOR = b"\0"  # of every frame here: no content size, no checksum, no dictionary
_LAST_BLOCK, _RLE_BLOCK, _RESERVED_BLOCK = 1, 1, 3
_SMALLEST_WINDOW = 1 << 10


@register_codec
@dataclass(frozen=True)
class Zstandard(GeneralCodec):
    """Zstandard (RFC 8878): matches over a long window, Huffman and finite-state entropy codes.

    A frame without magic number, descriptor, content size and checksum: what is left of its header is the size of the
    window.
    """

    strongest: ClassVar[dict[str, Value]] = {"level": 22}

    level: int = setting(3, low=1, high=22, sweep=(1, 9, 15), help="Zstandard's level; from 20 on also much memory")
    filter: str = setting("none", choices=FILTERS, sweep=SWEPT_FILTERS, help="PNG's filters of rows before it")

    @classmethod
    def versions(cls) -> dict[str, str]:
        """The library's version."""
        return {"zstd": ".".join(map(str, zstandard.ZSTD_VERSION))}

    def compress(self, data: bytes) -> bytes:
        """One frame without the bytes that the settings and the shape tell."""
        options = zstandard.ZstdCompressionParameters.from_level(
            self.level,
            source_size=len(data),
            format=zstandard.FORMAT_ZSTD1_MAGICLESS,
            write_content_size=0,
            write_checksum=0,
            write_dict_id=0,
        )
        return zstandard.ZstdCompressor(compression_params=options).compress(data).removeprefix(_DESCRIPTOR)

    def decompress(self, packed: bytes, size: int) -> bytes:
        """Reads one frame that ends with the last byte.

        Raises:
            BitstreamError: it is none.
        """
        self._blocks(packed)
        window = max(_SMALLEST_WINDOW, 1 << (size - 1).bit_length())
        unpacker = zstandard.ZstdDecompressor(format=zstandard.FORMAT_ZSTD1_MAGICLESS, max_window_size=window)
        try:
            return unpacker.decompress(_DESCRIPTOR + packed, max_output_size=size)
        except zstandard.ZstdError as error:
            raise self.damaged(error) from error

    def framing_bytes(self, packed: bytes) -> int:
        """The size of the window, and the three bytes before each block."""
        return 1 + 3 * self._blocks(packed)

    def _blocks(self, packed: bytes) -> int:
        """How many blocks there are; the library itself says nothing about bytes behind the last one."""
        position, blocks, last = 1, 0, False
        while not last:
            header = int.from_bytes(packed[position : position + 3], "little")
            last, kind, size = bool(header & _LAST_BLOCK), header >> 1 & 3, header >> 3
            position += 3 + (1 if kind == _RLE_BLOCK else size)
            blocks += 1
            if position > len(packed) or kind == _RESERVED_BLOCK:
                raise self.damaged(f"block {blocks} is cut short or of no known kind")
        if position != len(packed):
            raise self.damaged(f"{len(packed) - position} bytes follow the last block")
        return blocks
