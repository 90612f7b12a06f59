"""DEFLATE through zlib, on raw pixels."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar

from codecbench.plugins.registry import register_codec
from codecbench.plugins.settings import Value, setting

from ._filters import FILTERS
from ._general import SWEPT_FILTERS, GeneralCodec

_WINDOW_BITS = -15  # negative: a raw stream, without the header and the checksum of zlib or gzip
_MEMORY_LEVEL = 9


@register_codec
@dataclass(frozen=True)
class Deflate(GeneralCodec):
    """DEFLATE (RFC 1951), what gzip and PNG have inside, as zlib writes it; neither header nor checksum of its own."""

    strongest: ClassVar[dict[str, Value]] = {"level": 9}

    level: int = setting(6, low=1, high=9, sweep=(1, 6, 9), help="zlib's effort")
    filter: str = setting("none", choices=FILTERS, sweep=SWEPT_FILTERS, help="PNG's filters of rows before it")

    @classmethod
    def versions(cls) -> dict[str, str]:
        """The version of zlib."""
        return {"zlib": zlib.ZLIB_RUNTIME_VERSION}

    def compress(self, data: bytes) -> bytes:
        """One raw stream."""
        packer = zlib.compressobj(self.level, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
        return packer.compress(data) + packer.flush()

    def decompress(self, packed: bytes, size: int) -> bytes:
        """Reads a raw stream that ends with its last byte.

        Raises:
            BitstreamError: it is none.
        """
        unpacker = zlib.decompressobj(_WINDOW_BITS)
        try:
            data = unpacker.decompress(packed, size + 1)
        except zlib.error as error:
            raise self.damaged(error) from error
        if not unpacker.eof or unpacker.unused_data:
            raise self.damaged("the stream is cut short, or does not end where it should")
        return data
