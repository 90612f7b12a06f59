"""A sound codec with gaps, which tests of the conformance kit fill with one misdeed each."""

from __future__ import annotations

import textwrap
from pathlib import Path

SOURCE = """
import ctypes, os, sys, time, zlib
from dataclasses import dataclass
import numpy as np
import codecbench as cb

SEEN = {{}}
{top}

@cb.register_codec
@dataclass(frozen=True)
class Mine(cb.PerImageCodec):
    level: int = cb.setting(0, low=0, high=99, sweep=(0, 1, 2))

    @property
    def lossless(self):
        return True

    def encode_image(self, image):
        self.check_shape(image.shape)
        tag = 0
        {encode}
        return bytes([*image.shape, tag]) + image.tobytes()

    def decode_image(self, stream):
        {decode}
        if len(stream) < 4:
            raise cb.BitstreamError("the stream is cut short")
        height, width, channels = shape = tuple(stream[:3])
        try:
            self.check_shape(shape)
        except cb.UnsupportedImageError as error:
            raise cb.BitstreamError(str(error)) from error
        if len(stream) != 4 + height * width * channels:
            raise cb.BitstreamError("the samples do not fit the header")
        image = np.frombuffer(stream, np.uint8, offset=4).reshape(shape)
        {restore}
        return image
{members}
"""


def write_unsound(
    folder: Path,
    encode: str = "pass",
    decode: str = "pass",
    restore: str = "pass",
    top: str = "",
    members: str = "",
) -> Path:
    """Writes the plugin ``mine``: sound where nothing is given."""
    gaps = {"encode": encode, "decode": decode, "restore": restore}
    gaps = {name: lines.replace("\n", "\n        ") for name, lines in gaps.items()}
    members = textwrap.indent(textwrap.dedent(members), "    ")
    file = folder / "mine.py"
    file.write_text(SOURCE.format(top=top, members=members, **gaps), encoding="utf-8")
    return file
