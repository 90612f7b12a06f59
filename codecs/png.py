"""PNG through Pillow and zlib."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

from PIL import PngImagePlugin

import codecbench as cb

from ._format import Layout
from ._pillow import PillowCodec

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_STRATEGIES = ("default", "filtered", "huffman", "rle", "fixed")  # in the order of zlib's constants


@cb.register_codec
@dataclass(frozen=True)
class Png(PillowCodec):
    """PNG (W3C Recommendation): a predictive filter for each row, then DEFLATE. Lossless."""

    plugin = PngImagePlugin.PngImageFile
    libraries = ("zlib", "zlib_ng")
    lossless = True

    compress_level: int = cb.setting(6, low=0, high=9, sweep=(1, 2, 3, 4, 5, 6, 7, 8, 9), help="zlib's effort")
    strategy: str = cb.setting("filtered", choices=_STRATEGIES, help="zlib's strategy")

    def options(self, gray: bool) -> dict[str, Any]:
        """The options of ``Image.save``."""
        return {"compress_level": self.compress_level, "compress_type": _STRATEGIES.index(self.strategy)}

    def inspect(self, data: bytes) -> Layout:
        """Walks the chunks and checks their checksums; everything outside the IDAT chunks' payload is container."""
        if not data.startswith(_SIGNATURE):
            raise ValueError("the stream does not begin with the signature of PNG")
        position, pixels, kind, header = 8, 0, b"", b""
        while kind != b"IEND":
            length = int.from_bytes(data[position : position + 4], "big")
            end = position + 12 + length
            if end > len(data):
                raise ValueError(f"no whole chunk at byte {position}; is the stream cut short?")
            kind, payload = data[position + 4 : position + 8], data[position + 8 : end - 4]
            if zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
                raise ValueError(f"the chunk at byte {position} does not match its checksum")
            if kind == b"IHDR" and position == 8:
                header = payload
            elif kind == b"IDAT":
                pixels += length
            position = end
        if position != len(data):
            raise ValueError(f"{len(data) - position} bytes follow the end of the image")
        if len(header) != 13 or header[8] != 8 or header[9] not in (0, 2):
            raise ValueError("the image is not 8-bit gray or RGB")
        width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
        return Layout(width, height, len(data) - pixels, gray=header[9] == 0)
