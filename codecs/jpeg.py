"""JPEG through Pillow, as libjpeg-turbo writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from PIL import ImageFile, JpegImagePlugin

from codecbench.codec import Images
from codecbench.errors import BitstreamError
from codecbench.registry import register_codec
from codecbench.settings import setting

from ._pillow import Layout, PillowCodec

# libjpeg's own progressive script has ten; thousands of scans are a known way to hang a decoder.
_MAX_SCANS = 64
# What ends a scan: no stuffed byte, restart marker or fill.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive: what libjpeg-turbo decodes at eight bits


@register_codec
@dataclass(frozen=True)
class Jpeg(PillowCodec):
    """JPEG (ITU-T T.81, in a JFIF file): 8×8 DCT, quantisation, Huffman codes.

    Gray images are stored with one component. ``optimize`` computes Huffman tables for the image instead of
    sending those of the standard's annex K; on by default, because those alone outweigh a small image.
    """

    plugin: ClassVar[type[ImageFile.ImageFile]] = JpegImagePlugin.JpegImageFile
    libraries: ClassVar[tuple[str, ...]] = ("jpg", "libjpeg_turbo", "mozjpeg")
    max_side: ClassVar[int] = 65500  # libjpeg's JPEG_MAX_DIMENSION

    quality: int = setting(
        75, low=1, high=100, sweep=(5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95), help="libjpeg's quality scale"
    )
    subsampling: str = setting("4:2:0", choices=("4:4:4", "4:2:2", "4:2:0"), help="chroma subsampling of RGB images")
    optimize: bool = setting(True, help="compute Huffman tables for each image")
    progressive: bool = setting(False, help="progressive scans instead of a baseline one (implies optimize)")

    def options(self, gray: bool) -> dict[str, Any]:
        """What ``Image.save`` is told."""
        options = {"quality": self.quality, "optimize": self.optimize, "progressive": self.progressive}
        return options if gray else {**options, "subsampling": self.subsampling}

    def encode_image(self, image: Images) -> bytes:
        """Compresses one uint8 image (H, W, C).

        Raises:
            UnsupportedImageError: neither gray nor RGB, or too large.
        """
        # Pillow guesses how many bytes an optimised file takes, and fails on noisy images where that is too
        # few ("broken data stream"). The guess is at least MAXBLOCK; no file takes twelve bytes a pixel.
        usual = ImageFile.MAXBLOCK
        ImageFile.MAXBLOCK = max(usual, 12 * image.shape[0] * image.shape[1])
        try:
            return super().encode_image(image)
        finally:
            ImageFile.MAXBLOCK = usual

    def inspect(self, bitstream: bytes) -> Layout:
        """Walks the marker segments from SOI to EOI; all but the scans' entropy-coded data is container.

        Raises:
            BitstreamError: the segments are broken, or do not end with the end-of-image marker.
        """
        if bitstream[:2] != b"\xff\xd8":
            raise BitstreamError(f"{self.name}: the stream does not begin with the marker of JPEG")
        position, scans, data, frame = 2, 0, 0, b""
        while (marker := bitstream[position : position + 2]) != b"\xff\xd9":
            length = int.from_bytes(bitstream[position + 2 : position + 4], "big")
            end = position + 2 + length
            if len(marker) < 2 or marker[0] != 0xFF or length < 2 or end > len(bitstream):
                raise BitstreamError(
                    f"{self.name}: no whole marker segment at byte {position}; is the stream cut short?"
                )
            if marker[1] in _FRAMES:
                if frame:
                    raise BitstreamError(f"{self.name}: the stream holds two frames")
                frame = bitstream[position + 4 : end]
            if marker[1] == 0xDA:
                found = _NEXT_MARKER.search(bitstream, end)
                scans += 1
                if found is None or scans > _MAX_SCANS:
                    what = "has too many scans" if found else "ends within a scan"
                    raise BitstreamError(f"{self.name}: the stream {what}")
                data += found.start() - end
                end = found.start()
            position = end
        if position + 2 != len(bitstream):
            raise BitstreamError(f"{self.name}: {len(bitstream) - position - 2} bytes follow the end of the image")
        if len(frame) < 6 or not scans:
            raise BitstreamError(f"{self.name}: the stream holds no image")
        height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
        return Layout(width, height, len(bitstream) - data, gray=frame[5] == 1)
