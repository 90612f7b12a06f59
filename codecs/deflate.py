"""DEFLATE through zlib."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar

import codecbench as cb

from ._general import GeneralCodec, row_filter, unpack

_WINDOW_BITS = -15  # negative: a raw stream, without the header and the checksum of zlib or gzip
_MEMORY_LEVEL = 9


@cb.register_codec
@dataclass(frozen=True)
class Deflate(GeneralCodec):
    """DEFLATE (RFC 1951), the compression inside gzip and PNG, by zlib; neither header nor checksum of its own."""

    strongest: ClassVar[dict[str, cb.Value]] = {"level": 9}

    level: int = cb.setting(6, low=1, high=9, sweep=(1, 6, 9), help="zlib's effort")
    filter: str = row_filter()

    @classmethod
    def versions(cls) -> dict[str, str]:
        """The version of zlib."""
        return {"zlib": zlib.ZLIB_RUNTIME_VERSION}

    def compress(self, data: bytes) -> bytes:
        """One raw stream."""
        packer = zlib.compressobj(self.level, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
        return packer.compress(data) + packer.flush()

    def decompress(self, packed: bytes, size: int) -> bytes:
        """Reads one raw stream."""
        return unpack(zlib.decompressobj(_WINDOW_BITS), packed, size)
