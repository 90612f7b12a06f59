"""JPEG through Pillow, as libjpeg-turbo writes it."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageFile, JpegImagePlugin

import codecbench as cb

from ._format import Layout
from ._pillow import PillowCodec

# libjpeg's own progressive script has ten; thousands of scans are a known way to hang a decoder.
_MAX_SCANS = 64
# What ends a scan: no stuffed byte, restart marker or fill.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_SEGMENT = struct.Struct(">HH")  # marker, length
_FRAME = struct.Struct(">BHHB")  # bits per sample, height, width, components
_FRAMES = frozenset({0xFFC0, 0xFFC1, 0xFFC2})  # baseline, extended, progressive: what libjpeg-turbo decodes
_SCAN, _END = 0xFFDA, 0xFFD9
# Huffman and quantisation tables, restart interval, comment, application data. No other marker may stand outside a
# scan: libjpeg reads some without a length, and would see other segments than the walk below.
_TABLES = frozenset({0xFFC4, 0xFFDB, 0xFFDD, 0xFFFE, *range(0xFFE0, 0xFFF0)})


@cb.register_codec
@dataclass(frozen=True)
class Jpeg(PillowCodec):
    """JPEG (ITU-T T.81, in a JFIF file): 8×8 DCT, quantisation, Huffman codes.

    Gray images are stored with one component. ``optimize`` computes Huffman tables for the image instead of
    sending those of the standard's annex K; on by default, because those alone outweigh a small image.
    """

    plugin = JpegImagePlugin.JpegImageFile
    libraries = ("jpg", "libjpeg_turbo", "mozjpeg")
    max_side = 65500  # libjpeg's JPEG_MAX_DIMENSION

    quality: int = cb.setting(
        75, low=1, high=100, sweep=(5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95), help="libjpeg's quality scale"
    )
    subsampling: str = cb.setting("4:2:0", choices=("4:4:4", "4:2:2", "4:2:0"), help="chroma subsampling of RGB images")
    optimize: bool = cb.setting(True, help="compute Huffman tables for each image")
    progressive: bool = cb.setting(False, help="progressive scans instead of a baseline one (implies optimize)")

    @classmethod
    def default_points(cls, shape: cb.Shape) -> list[dict[str, cb.Value]]:
        """Eleven qualities, for RGB images with chroma at half resolution and at full."""
        points = super().default_points(shape)
        return [*points, *({**point, "subsampling": "4:4:4"} for point in points)] if shape[2] == 3 else points

    def options(self, gray: bool) -> dict[str, Any]:
        """The options of ``Image.save``."""
        options = {"quality": self.quality, "optimize": self.optimize, "progressive": self.progressive}
        return options if gray else {**options, "subsampling": self.subsampling}

    def write(self, image: cb.Images) -> bytes:
        """Compresses one uint8 image (H, W, C)."""
        # Pillow guesses how many bytes an optimised file takes, and fails on noisy images where that is too
        # few ("broken data stream"). The guess is at least MAXBLOCK; no file takes twelve bytes per pixel.
        usual = ImageFile.MAXBLOCK
        ImageFile.MAXBLOCK = max(usual, 12 * image.shape[0] * image.shape[1])
        try:
            return super().write(image)
        finally:
            ImageFile.MAXBLOCK = usual

    def inspect(self, data: bytes) -> Layout:
        """Walks the marker segments from SOI to EOI; all but the scans' entropy-coded data is container."""
        if data[:2] != b"\xff\xd8":
            raise ValueError("the stream does not begin with the marker of JPEG")
        size, position, scans, coded, frame = len(data), 2, 0, 0, b""
        while position + 4 <= size:
            marker, length = _SEGMENT.unpack_from(data, position)
            if marker == _END:
                break
            end = position + 2 + length
            if length < 2 or end > size:
                raise _broken(position)
            if marker == _SCAN:
                found = _NEXT_MARKER.search(data, end)
                scans += 1
                if found is None or scans > _MAX_SCANS:
                    what = "has too many scans" if found else "ends within a scan"
                    raise ValueError(f"the stream {what}")
                coded += found.start() - end
                end = found.start()
            elif marker in _FRAMES:
                if frame or scans:
                    raise ValueError("the stream holds two frames, or one after its scan")
                frame = data[position + 4 : end]
            elif marker not in _TABLES:
                raise _broken(position)
            position = end
        if data[position : position + 2] != b"\xff\xd9":
            raise _broken(position)
        if position + 2 != size:
            raise ValueError(f"{size - position - 2} bytes follow the end of the image")
        if len(frame) < 6 or not scans:
            raise ValueError("the stream holds no image")
        depth, height, width, channels = _FRAME.unpack_from(frame)
        if depth != 8 or channels not in (1, 3) or len(frame) != 6 + 3 * channels:
            raise ValueError("the image is neither gray nor RGB of 8 bits")
        return Layout(width, height, size - coded, gray=channels == 1)

    def read(self, data: bytes, layout: Layout) -> cb.Images:
        """Decodes with libjpeg-turbo alone.

        Pillow's own parser, written in Python, would go through the headers once more, and take as long as libjpeg
        takes for a small image. libjpeg writes into an image of the size that :meth:`inspect` found. It can find no
        other size, since the walk accepts only segments that both read alike, and one frame among them.
        """
        mode = "L" if layout.gray else "RGB"
        return self.pixels(Image.frombytes(mode, (layout.width, layout.height), data, "jpeg", mode, ""), layout)


def _broken(position: int) -> ValueError:
    what = "no whole marker segment of a kind that this codec writes"
    return ValueError(f"{what} at byte {position}; is the stream cut short?")
