"""WebP through Pillow, as libwebp writes it; lossy and lossless."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import WebPImagePlugin

import codecbench as cb

from ._format import Layout, LossyOrLossless, sweep
from ._pillow import PillowCodec

_QUALITIES = (1, 5, 10, 20, 30, 40, 50, 60, 75, 85, 95)


@cb.register_codec
@dataclass(frozen=True)
class Webp(LossyOrLossless, PillowCodec):
    """WebP (RFC 9649): a VP8 key frame with chroma at half resolution, or the lossless VP8L.

    RGB streams are WebP files as they are. WebP has no gray images: they are stored as RGB with equal channels, and
    marked by one byte ``L`` before the file, which is counted like every other byte.

    In lossless mode ``quality`` is the effort that the encoder spends, not a quality.
    """

    plugin = WebPImagePlugin.WebPImageFile
    libraries = ("webp",)
    max_side = 16383
    has_gray = False

    mode: str = cb.setting("lossy", choices=("lossy", "lossless"), help="VP8 or VP8L")
    quality: int = cb.setting(75, low=0, high=100, help="quality of lossy images, effort for lossless ones")
    method: int = cb.setting(4, low=0, high=6, help="effort: 0 is fast, 6 is small")

    @classmethod
    def default_points(cls, shape: cb.Shape) -> list[dict[str, cb.Value]]:
        """Eleven lossy qualities with libwebp's default effort and with its greatest, and lossless in the same way."""
        curves = [point for method in (4, 6) for point in sweep("quality", _QUALITIES, mode="lossy", method=method)]
        return [*curves, {"mode": "lossless"}, {"mode": "lossless", "quality": 100, "method": 6}]

    def options(self, gray: bool) -> dict[str, Any]:
        """The options of ``Image.save``."""
        return {"lossless": self.lossless, "quality": self.quality, "method": self.method}

    def inspect(self, data: bytes) -> Layout:
        """Reads the RIFF header, the one chunk's header and the size in its first bytes.

        Container are the RIFF and chunk headers and the padding.
        """
        kind, chunk = data[12:16], data[20:30]
        if len(data) < 20 or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
            raise ValueError("the stream does not begin with the header of WebP")
        length = int.from_bytes(data[16:20], "little")
        padding = length & 1
        if int.from_bytes(data[4:8], "little") + 8 != len(data) or length + padding + 20 != len(data):
            raise ValueError(f"{len(data)} bytes do not fit the header; is the stream cut short?")
        if kind == b"VP8 " and chunk[3:6] == b"\x9d\x01\x2a" and len(chunk) >= 10:
            width, height = (int.from_bytes(chunk[i : i + 2], "little") & 0x3FFF for i in (6, 8))
        elif kind == b"VP8L" and chunk[:1] == b"\x2f" and len(chunk) >= 5:
            bits = int.from_bytes(chunk[1:5], "little")
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        else:
            raise ValueError(f"the chunk {kind.decode('latin-1')!r} does not begin a plain image")
        return Layout(width, height, len(data) - length)
