"""QOI through imagecodecs, as its reference implementation writes it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import codecbench as cb

from ._format import Layout
from ._imagecodecs import ImagecodecsCodec

_HEADER = struct.Struct(">4sIIBB")  # magic, width, height, channels, colour space
_END = bytes(7) + b"\x01"
_LONGEST_RUN = 62  # pixels that one byte can stand for


@cb.register_codec
@dataclass(frozen=True)
class Qoi(ImagecodecsCodec):
    """QOI (The Quite OK Image Format, qoiformat.org): runs, small differences and 64 recent colours. Lossless.

    RGB streams are QOI files as they are. QOI has no gray images: they are stored as RGB with equal channels, and
    marked by one byte ``L`` before the file, which is counted like every other byte.
    """

    part = "QOI"
    has_gray = False
    lossless = True

    def inspect(self, data: bytes) -> Layout:
        """Reads the header of 14 bytes and looks for the end marker of 8, as which no pixels are coded: container."""
        if len(data) < _HEADER.size or not data.startswith(b"qoif"):
            raise ValueError("the stream does not begin with the header of QOI")
        if (end := data.find(_END, _HEADER.size)) < 0:
            raise ValueError("the end marker is missing; is the stream cut short?")
        if end + len(_END) != len(data):
            raise ValueError("bytes follow the end marker")
        _, width, height, channels, colour_space = _HEADER.unpack_from(data)
        if channels != 3 or colour_space > 1:
            raise ValueError("the image does not have 3 channels")
        if width * height > _LONGEST_RUN * (len(data) - _HEADER.size - len(_END)):  # the decoder would fill in black
            raise ValueError(f"the stream is too short for its {width}×{height} pixels")
        return Layout(width, height, _HEADER.size + len(_END))
