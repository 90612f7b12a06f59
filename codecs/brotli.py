"""Brotli through Google's own module, on raw pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import brotli

from codecbench.plugins.registry import register_codec
from codecbench.plugins.settings import Value, setting

from ._filters import FILTERS
from ._general import SWEPT_FILTERS, GeneralCodec

_WINDOW_BITS = (16, 24)  # 16 is the window whose size takes the fewest bits to tell


@register_codec
@dataclass(frozen=True)
class Brotli(GeneralCodec):
    """Brotli (RFC 7932): matches, context modelling of literals, Huffman codes; its dictionary is of words.

    The window is the smallest that holds all of the samples, as far as there is one.
    """

    strongest: ClassVar[dict[str, Value]] = {"quality": 11}

    quality: int = setting(9, low=0, high=11, sweep=(1, 5, 9), help="Brotli's effort; 10 and 11 are much slower")
    filter: str = setting("none", choices=FILTERS, sweep=SWEPT_FILTERS, help="PNG's filters of rows before it")

    @classmethod
    def versions(cls) -> dict[str, str]:
        """The library's version."""
        return {"brotli": brotli.__version__}

    def compress(self, data: bytes) -> bytes:
        """One stream."""
        low, high = _WINDOW_BITS
        window = min(max((len(data) + 15).bit_length(), low), high)  # a window has 16 bytes less than 2 ** bits
        packed: bytes = brotli.compress(data, quality=self.quality, lgwin=window)
        return packed

    def decompress(self, packed: bytes, size: int) -> bytes:
        """Reads one stream that ends with the last byte.

        Raises:
            BitstreamError: it is none.
        """
        unpacker = brotli.Decompressor()
        try:
            data: bytes = unpacker.process(packed, output_buffer_limit=size + 1)
        except brotli.error as error:
            raise self.damaged(error) from error
        if not unpacker.is_finished():
            raise self.damaged("the stream is cut short, or longer than it should be")
        return data
