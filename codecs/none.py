"""No compression: the raw samples after a header of a few bytes. Measures the harness itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import codecbench as cb

from ._shape import unpack_shape


@cb.register_codec
@dataclass(frozen=True)
class NoCompression(cb.PerImageCodec):
    """The raw bytes, row by row, channels interleaved, after the shape as three variable-length integers."""

    lossless = True

    def encode_image(self, image: cb.Images) -> bytes:
        """Writes one uint8 image (H, W, C) as header and H·W·C bytes."""
        height, width, channels = image.shape
        self.check_shape((height, width, channels))
        return cb.pack_numbers((height, width, channels)) + image.tobytes()

    def decode_image(self, bitstream: bytes) -> cb.Images:
        """Reads one uint8 image (H, W, C)."""
        shape, start = unpack_shape(bitstream, self.name)
        wanted = shape[0] * shape[1] * shape[2]
        if len(bitstream) - start != wanted:
            raise cb.BitstreamError(f"{self.name}: {wanted} samples expected, {len(bitstream) - start} found")
        return np.frombuffer(bitstream, np.uint8, offset=start).reshape(shape).copy()

    def container_bytes(self, bitstream: bytes) -> int:
        """The bytes of the shape header."""
        return unpack_shape(bitstream, self.name)[1]
