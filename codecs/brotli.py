"""Brotli through Google's own module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import brotli

import codecbench as cb

from ._general import GeneralCodec, row_filter

_WINDOW_BITS = (16, 24)  # the window of 16 bits is the one whose size takes the fewest bits in the stream


@cb.register_codec
@dataclass(frozen=True)
class Brotli(GeneralCodec):
    """Brotli (RFC 7932): matches, context modelling of literals, Huffman codes; its dictionary is of words.

    The window is the smallest that holds all of the samples, as far as there is one.
    """

    strongest: ClassVar[dict[str, cb.Value]] = {"quality": 11}

    quality: int = cb.setting(9, low=0, high=11, sweep=(1, 5, 9), help="Brotli's effort; 10 and 11 are much slower")
    filter: str = row_filter()

    @classmethod
    def versions(cls) -> dict[str, str]:
        """The library's version."""
        return {"brotli": brotli.__version__}

    def compress(self, data: bytes) -> bytes:
        """One stream."""
        low, high = _WINDOW_BITS
        window = min(max((len(data) + 15).bit_length(), low), high)  # a window has 16 bytes less than 2 ** bits
        return brotli.compress(data, quality=self.quality, lgwin=window)

    def decompress(self, packed: bytes, size: int) -> bytes:
        """Reads one stream."""
        unpacker = brotli.Decompressor()
        data: bytes = unpacker.process(packed, output_buffer_limit=size + 1)
        if not unpacker.is_finished():
            raise ValueError("the stream is cut short, or longer than it should be")
        return data
