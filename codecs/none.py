"""No compression: the raw samples behind a header of a few bytes. Measures the harness itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from codecbench.errors import BitstreamError
from codecbench.plugins.codec import Images, PerImageCodec
from codecbench.plugins.registry import register_codec

from ._shape import pack_shape, unpack_shape


@register_codec
@dataclass(frozen=True)
class NoCompression(PerImageCodec):
    """The raw bytes, row by row, channels interleaved, behind the shape as three variable-length integers."""

    made_of: ClassVar[tuple[str, ...]] = ("codecbench.plugins.varint",)

    @property
    def lossless(self) -> bool:
        """Always true."""
        return True

    def encode_image(self, image: Images) -> bytes:
        """Writes one uint8 image (H, W, C) as header and H·W·C bytes.

        Raises:
            UnsupportedImageError: neither gray nor RGB, or too large.
        """
        height, width, channels = image.shape
        self.check_shape((height, width, channels))
        return pack_shape((height, width, channels)) + image.tobytes()

    def decode_image(self, bitstream: bytes) -> Images:
        """Reads one uint8 image (H, W, C).

        Raises:
            BitstreamError: the header is damaged or does not fit the number of bytes behind it.
        """
        shape, start = unpack_shape(bitstream, self.name)
        wanted = shape[0] * shape[1] * shape[2]
        if len(bitstream) - start != wanted:
            raise BitstreamError(f"{self.name}: {wanted} samples expected, {len(bitstream) - start} found")
        return np.frombuffer(bitstream, np.uint8, offset=start).reshape(shape).copy()

    def container_bytes(self, bitstream: bytes) -> int:
        """The bytes of the shape header."""
        return unpack_shape(bitstream, self.name)[1]
