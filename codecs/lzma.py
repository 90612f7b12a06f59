"""LZMA through Python's own module, on raw pixels."""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from typing import Any, ClassVar

from codecbench.plugins.registry import register_codec
from codecbench.plugins.settings import Value, setting

from ._filters import FILTERS
from ._general import SWEPT_FILTERS, GeneralCodec

_FIRST_BYTE = b"\0"  # of every stream of LZMA's range coder
_SMALLEST_DICTIONARY = 1 << 12
_DICTIONARY_BITS = (18, 20, 21, 22, 22, 23, 23, 24, 25, 26)  # of xz's presets, by level


@register_codec
@dataclass(frozen=True)
class Lzma(GeneralCodec):
    """LZMA as xz and 7-Zip have it inside: matches over a large dictionary, adaptive binary range coding.

    A raw LZMA1 stream with its end marker, without the containers ``.xz`` and ``.lzma``, and without its first byte,
    which is always zero. Presets are xz's. The dictionary is as large as the preset's and no larger than the samples
    need, which both sides know.
    """

    strongest: ClassVar[dict[str, Value]] = {"level": 9, "extreme": True}

    level: int = setting(6, low=0, high=9, sweep=(0, 6), help="xz's preset")
    extreme: bool = setting(False, help="as xz --extreme: slower, and a little smaller")
    filter: str = setting("none", choices=FILTERS, sweep=SWEPT_FILTERS, help="PNG's filters of rows before it")

    def _filters(self, size: int) -> list[dict[str, Any]]:
        needed = 1 << (size - 1).bit_length()
        dictionary = min(max(needed, _SMALLEST_DICTIONARY), 1 << _DICTIONARY_BITS[self.level])
        preset = self.level | (lzma.PRESET_EXTREME if self.extreme else 0)
        return [{"id": lzma.FILTER_LZMA1, "preset": preset, "dict_size": dictionary}]

    def compress(self, data: bytes) -> bytes:
        """One raw stream."""
        packed = lzma.compress(data, lzma.FORMAT_RAW, filters=self._filters(len(data)))
        return packed.removeprefix(_FIRST_BYTE)

    def decompress(self, packed: bytes, size: int) -> bytes:
        """Reads a raw stream that ends with the last byte.

        Raises:
            BitstreamError: it is none.
        """
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=self._filters(size))
        try:
            data = unpacker.decompress(_FIRST_BYTE + packed, size + 1)
        except (lzma.LZMAError, EOFError) as error:
            raise self.damaged(error) from error
        if not unpacker.eof or unpacker.unused_data:
            raise self.damaged("the stream is cut short, or does not end where it should")
        return data
