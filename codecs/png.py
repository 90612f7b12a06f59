"""PNG through Pillow and zlib."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, ClassVar

from PIL import ImageFile, PngImagePlugin

from codecbench.errors import BitstreamError
from codecbench.plugins.registry import register_codec
from codecbench.plugins.settings import setting

from ._format import Layout
from ._pillow import PillowCodec

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_STRATEGIES = ("default", "filtered", "huffman", "rle", "fixed")  # in the order of zlib's constants


@register_codec
@dataclass(frozen=True)
class Png(PillowCodec):
    """PNG (W3C Recommendation): a predictive filter for each row, then DEFLATE. Lossless."""

    plugin: ClassVar[type[ImageFile.ImageFile]] = PngImagePlugin.PngImageFile
    libraries: ClassVar[tuple[str, ...]] = ("zlib", "zlib_ng")

    compress_level: int = setting(6, low=0, high=9, sweep=(1, 2, 3, 4, 5, 6, 7, 8, 9), help="zlib's effort")
    strategy: str = setting("filtered", choices=_STRATEGIES, help="zlib's strategy")

    @property
    def lossless(self) -> bool:
        """Always true."""
        return True

    def options(self, gray: bool) -> dict[str, Any]:
        """What ``Image.save`` is told."""
        return {"compress_level": self.compress_level, "compress_type": _STRATEGIES.index(self.strategy)}

    def inspect(self, bitstream: bytes) -> Layout:
        """Walks the chunks and checks their sums; everything outside the IDAT chunks' payload is container.

        Raises:
            BitstreamError: a chunk is cut short or damaged, IEND is missing or not the last, or the image is
                not 8-bit gray or RGB.
        """
        if bitstream[:8] != _SIGNATURE:
            raise BitstreamError(f"{self.name}: the stream does not begin with the signature of PNG")
        position, data, kind, header = 8, 0, b"", b""
        while kind != b"IEND":
            length = int.from_bytes(bitstream[position : position + 4], "big")
            end = position + 12 + length
            if end > len(bitstream):
                raise BitstreamError(f"{self.name}: no whole chunk at byte {position}; is the stream cut short?")
            kind, payload = bitstream[position + 4 : position + 8], bitstream[position + 8 : end - 4]
            if zlib.crc32(bitstream[position + 4 : end - 4]) != int.from_bytes(bitstream[end - 4 : end], "big"):
                raise BitstreamError(f"{self.name}: the chunk at byte {position} does not match its checksum")
            if kind == b"IHDR" and position == 8:
                header = payload
            elif kind == b"IDAT":
                data += length
            position = end
        if position != len(bitstream):
            raise BitstreamError(f"{self.name}: {len(bitstream) - position} bytes follow the end of the image")
        if len(header) != 13 or header[8] != 8 or header[9] not in (0, 2):
            raise BitstreamError(f"{self.name}: the image is not 8-bit gray or RGB")
        width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
        return Layout(width, height, len(bitstream) - data, gray=header[9] == 0)
