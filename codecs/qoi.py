"""QOI through imagecodecs, as its reference implementation writes it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from codecbench.errors import BitstreamError
from codecbench.plugins.codec import Images
from codecbench.plugins.registry import register_codec

from ._format import Layout
from ._imagecodecs import ImagecodecsCodec, Samples, library

_HEADER = struct.Struct(">4sIIBB")  # magic, width, height, channels, colour space
_END = bytes(7) + b"\x01"
_LONGEST_RUN = 62  # pixels that one byte can stand for
_GRAY = b"L"  # cannot be mistaken for a QOI file, which begins with "qoif"

library("QOI")


@register_codec
@dataclass(frozen=True)
class Qoi(ImagecodecsCodec):
    """QOI (The Quite OK Image Format, qoiformat.org): runs, small differences and 64 recent colours. Lossless.

    QOI knows no gray images. They are stored as RGB with equal channels, and one byte ``L`` before the file says so;
    it is counted like every other byte. RGB streams are QOI files as they are.
    """

    part: ClassVar[str] = "QOI"
    needs_rgb: ClassVar[bool] = True

    @property
    def lossless(self) -> bool:
        """Always true."""
        return True

    def write(self, image: Samples) -> bytes:
        """Compresses one image (H, W, 3)."""
        return bytes(self.call("encode", image))

    def encode_image(self, image: Images) -> bytes:
        """Compresses one uint8 image (H, W, C); one of a single channel is marked.

        Raises:
            UnsupportedImageError: neither gray nor RGB, or too large.
        """
        return (_GRAY if image.shape[2] == 1 else b"") + super().encode_image(image)

    def inspect(self, bitstream: bytes) -> Layout:
        """Reads the header of 14 bytes and looks for the end marker of 8.

        Container are these two and the mark of gray images.

        Raises:
            BitstreamError: another header, or no end marker.
        """
        gray = bitstream[:1] == _GRAY
        image = bitstream[1:] if gray else bitstream
        if len(image) < _HEADER.size or image[:4] != b"qoif":
            raise BitstreamError(f"{self.name}: the stream does not begin with the header of QOI")
        if len(image) < _HEADER.size + len(_END) or not image.endswith(_END):
            raise BitstreamError(f"{self.name}: the end marker is missing; is the stream cut short?")
        _, width, height, channels, colour_space = _HEADER.unpack_from(image)
        if channels != 3 or colour_space > 1:
            raise BitstreamError(f"{self.name}: the image is none of 3 channels")
        if width * height > _LONGEST_RUN * (len(image) - _HEADER.size - len(_END)):  # the decoder would fill in black
            raise BitstreamError(f"{self.name}: the stream is too short for its {width}×{height} pixels")
        return Layout(width, height, _HEADER.size + len(_END) + gray, gray, image)
