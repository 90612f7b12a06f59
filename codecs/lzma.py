"""LZMA through Python's own module."""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from typing import Any, ClassVar

import codecbench as cb

from ._general import GeneralCodec, row_filter, unpack

_FIRST_BYTE = b"\0"  # of every stream of LZMA's range coder
_SMALLEST_DICTIONARY = 1 << 12
_DICTIONARY_BITS = (18, 20, 21, 22, 22, 23, 23, 24, 25, 26)  # of xz's presets, by level


@cb.register_codec
@dataclass(frozen=True)
class Lzma(GeneralCodec):
    """LZMA, the compression inside xz and 7-Zip: matches over a large dictionary, adaptive binary range coding.

    A raw LZMA1 stream with its end marker, without the containers ``.xz`` and ``.lzma``, and without its first byte,
    which is always zero. Presets are xz's. The dictionary is as large as the preset's and no larger than the samples
    need, which both sides know.
    """

    strongest: ClassVar[dict[str, cb.Value]] = {"level": 9, "extreme": True}

    level: int = cb.setting(6, low=0, high=9, sweep=(0, 6), help="xz's preset")
    extreme: bool = cb.setting(False, help="as xz --extreme: slower, and a little smaller")
    filter: str = row_filter()

    def compress(self, data: bytes) -> bytes:
        """One raw stream without its first byte."""
        packed = lzma.compress(data, lzma.FORMAT_RAW, filters=self._filters(len(data)))
        return packed.removeprefix(_FIRST_BYTE)

    def decompress(self, packed: bytes, size: int) -> bytes:
        """Reads one such stream."""
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=self._filters(size))
        return unpack(unpacker, _FIRST_BYTE + packed, size)

    def _filters(self, size: int) -> list[dict[str, Any]]:
        needed = 1 << (size - 1).bit_length()
        dictionary = min(max(needed, _SMALLEST_DICTIONARY), 1 << _DICTIONARY_BITS[self.level])
        preset = self.level | (lzma.PRESET_EXTREME if self.extreme else 0)
        return [{"id": lzma.FILTER_LZMA1, "preset": preset, "dict_size": dictionary}]
