"""What an image file says of its picture before a pixel is decoded, in the same words for every format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from codecbench.plugins.codec import Shape

Samples = NDArray[Any]
"""Decoded samples as stored: (H, W, colours or colours + alpha), uint8 or uint16, each over its type's whole range."""


Alpha = Literal["", "straight", "premultiplied"]
"""Whether there is an alpha channel, and whether the colours are already multiplied by it."""

MAX_FILE_PIXELS = 89_478_485
"""Larger images are refused as decompression bombs (Pillow's own limit)."""


@dataclass(frozen=True)
class Header:
    """A picture's header; ``decode`` gives its :data:`Samples` and raises whatever its library does."""

    format: str  # Pillow's name
    height: int  # as stored
    width: int
    colours: Literal[1, 3]
    decode: Callable[[], Samples]
    bits: int = 8  # per sample, as stored
    alpha: Alpha = ""
    several: bool = False  # frames or pages
    orientation: int = 1  # EXIF's, 1 to 8
    lossy: str = ""  # the codec that lost something of it, if one did
    icc: bool = False  # whether it has an ICC profile other than sRGB

    @property
    def shape(self) -> Shape:
        """Height and width as shown, and channels."""
        lying = self.orientation in (5, 6, 7, 8)
        height, width = (self.width, self.height) if lying else (self.height, self.width)
        return height, width, self.colours


def is_foreign(profile: bytes) -> bool:
    """Whether a block is an ICC profile of other colours than sRGB, by its description, which may be UTF-16."""
    return bool(profile) and b"sRGB" not in profile.replace(b"\0", b"")


class Refused(Exception):
    """A file that is not taken; its text goes on from the file's name."""


def widened(samples: Samples, bits: int) -> Samples:
    """Unsigned samples of ``bits`` bits over the whole range of uint8 or uint16, rounded to nearest."""
    kind = np.uint8 if bits <= 8 else np.uint16
    most, full = (1 << bits) - 1, int(np.iinfo(kind).max)
    if most == full:
        return samples.astype(kind, copy=False)
    return ((samples.astype(np.uint32) * full + most // 2) // most).astype(kind)


def check_size(height: int, width: int) -> None:
    """Refuses a picture of more pixels than an honest one has."""
    if height * width > MAX_FILE_PIXELS:
        raise Refused(
            f"has {width}×{height} pixels; at most {MAX_FILE_PIXELS} pixels are allowed (decompression bomb?)"
        )
