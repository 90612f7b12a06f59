"""Zstandard through python-zstandard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import zstandard

import codecbench as cb

from ._general import GeneralCodec, row_filter

_DESCRIPTOR = b"\0"  # of every frame here: no content size, no checksum, no dictionary
_LAST_BLOCK, _RLE_BLOCK, _RESERVED_BLOCK = 1, 1, 3
_SMALLEST_WINDOW = 1 << 10


@cb.register_codec
@dataclass(frozen=True)
class Zstandard(GeneralCodec):
    """Zstandard (RFC 8878): matches over a long window, Huffman and finite-state entropy codes.

    A frame without magic number, descriptor, content size and checksum: only the size of the window is left of its
    header.
    """

    strongest: ClassVar[dict[str, cb.Value]] = {"level": 22}

    level: int = cb.setting(
        3, low=1, high=22, sweep=(1, 9, 15), help="Zstandard's level; from 20 on it also takes much memory"
    )
    filter: str = row_filter()

    @classmethod
    def versions(cls) -> dict[str, str]:
        """The library's version."""
        return {"zstd": ".".join(map(str, zstandard.ZSTD_VERSION))}

    def compress(self, data: bytes) -> bytes:
        """One frame without the bytes that the settings and the shape decide."""
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
        """Reads one such frame."""
        self._blocks(packed)
        window = max(_SMALLEST_WINDOW, 1 << (size - 1).bit_length())
        unpacker = zstandard.ZstdDecompressor(format=zstandard.FORMAT_ZSTD1_MAGICLESS, max_window_size=window)
        return unpacker.decompress(_DESCRIPTOR + packed, max_output_size=size)

    def framing_bytes(self, packed: bytes) -> int:
        """The size of the window, and the three bytes before each block."""
        return 1 + 3 * self._blocks(packed)

    def _blocks(self, packed: bytes) -> int:
        """How many blocks there are; the library itself ignores bytes after the last one."""
        position, blocks, last = 1, 0, False
        while not last:
            header = int.from_bytes(packed[position : position + 3], "little")
            last, kind, size = bool(header & _LAST_BLOCK), header >> 1 & 3, header >> 3
            position += 3 + (1 if kind == _RLE_BLOCK else size)
            blocks += 1
            if position > len(packed) or kind == _RESERVED_BLOCK:
                raise cb.BitstreamError(f"{self.name}: block {blocks} is cut short or of no known kind")
        if position != len(packed):
            raise cb.BitstreamError(f"{self.name}: {len(packed) - position} bytes follow the last block")
        return blocks
