"""WebP through Pillow, as libwebp writes it; lossy and lossless."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from PIL import ImageFile, WebPImagePlugin

from codecbench.errors import BitstreamError
from codecbench.plugins.codec import Images, Shape
from codecbench.plugins.registry import register_codec
from codecbench.plugins.settings import Value, setting

from ._format import Layout
from ._pillow import PillowCodec

_GRAY = b"L"  # cannot be mistaken for a WebP file, which begins with "RIFF"


@register_codec
@dataclass(frozen=True)
class Webp(PillowCodec):
    """WebP (RFC 9649): a VP8 key frame with chroma at half resolution, or the lossless VP8L.

    WebP knows no gray images. They are stored as RGB with equal channels, and one byte ``L`` before the
    file says so; it is counted like every other byte. RGB streams are WebP files as they are.

    In lossless mode ``quality`` is the effort that the encoder spends, not a quality.
    """

    plugin: ClassVar[type[ImageFile.ImageFile]] = WebPImagePlugin.WebPImageFile
    libraries: ClassVar[tuple[str, ...]] = ("webp",)
    max_side: ClassVar[int] = 16383

    mode: str = setting("lossy", choices=("lossy", "lossless"), help="VP8 or VP8L")
    quality: int = setting(75, low=0, high=100, help="quality of lossy images, effort for lossless ones")
    method: int = setting(4, low=0, high=6, help="effort: 0 is fast, 6 is small")

    @property
    def lossless(self) -> bool:
        """True in lossless mode."""
        return self.mode == "lossless"

    @classmethod
    def default_points(cls, shape: Shape) -> list[dict[str, Value]]:
        """Eleven lossy qualities with libwebp's default effort and with its greatest, and lossless in the same way."""
        qualities = (1, 5, 10, 20, 30, 40, 50, 60, 75, 85, 95)
        curves: list[dict[str, Value]] = [
            {"mode": "lossy", "quality": quality, "method": method} for method in (4, 6) for quality in qualities
        ]
        return [*curves, {"mode": "lossless"}, {"mode": "lossless", "quality": 100, "method": 6}]

    def options(self, gray: bool) -> dict[str, Any]:
        """What ``Image.save`` is told."""
        return {"lossless": self.lossless, "quality": self.quality, "method": self.method}

    def encode_image(self, image: Images) -> bytes:
        """Compresses one uint8 image (H, W, C); one of a single channel is marked.

        Raises:
            UnsupportedImageError: neither gray nor RGB, or too large.
        """
        return (_GRAY if image.shape[2] == 1 else b"") + super().encode_image(image)

    def inspect(self, bitstream: bytes) -> Layout:
        """Reads the RIFF header, the one chunk's header and the size in its first bytes.

        Container are the RIFF and chunk headers, the padding and the mark of gray images.

        Raises:
            BitstreamError: lengths that do not fit, or anything but a simple lossy or lossless file.
        """
        gray = bitstream[:1] == _GRAY
        image = bitstream[1:] if gray else bitstream
        kind, data = image[12:16], image[20:30]
        if len(image) < 20 or image[:4] != b"RIFF" or image[8:12] != b"WEBP":
            raise BitstreamError(f"{self.name}: the stream does not begin with the header of WebP")
        length = int.from_bytes(image[16:20], "little")
        padding = length & 1
        if int.from_bytes(image[4:8], "little") + 8 != len(image) or length + padding + 20 != len(image):
            raise BitstreamError(f"{self.name}: {len(image)} bytes do not fit the header; is the stream cut short?")
        if kind == b"VP8 " and data[3:6] == b"\x9d\x01\x2a" and len(data) >= 10:
            width, height = (int.from_bytes(data[i : i + 2], "little") & 0x3FFF for i in (6, 8))
        elif kind == b"VP8L" and data[:1] == b"\x2f" and len(data) >= 5:
            bits = int.from_bytes(data[1:5], "little")
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        else:
            raise BitstreamError(f"{self.name}: the chunk {kind.decode('latin-1')!r} does not begin a plain image")
        return Layout(width, height, len(bitstream) - length, gray, image)
