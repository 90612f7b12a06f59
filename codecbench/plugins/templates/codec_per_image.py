"""NAME: rows as differences, packed by zlib."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

import codecbench as cb


@cb.register_codec  # the file's stem becomes the codec's name
@dataclass(frozen=True)
class NewCodec(cb.PerImageCodec):
    """Every sample goes to the nearest multiple of a step; zlib packs the differences along each row."""

    # The fields are the codec's settings; ``sweep`` are the values measured by default.
    step: int = cb.setting(8, low=1, high=128, sweep=(1, 2, 4, 8, 16, 32, 64), help="levels between two values")
    effort: int = cb.setting(9, low=0, high=9, help="zlib's effort")

    @property
    def lossless(self) -> bool:
        """A step of 1 restores every pixel; a run checks that it does."""
        return self.step == 1

    def encode_image(self, image: cb.Images) -> bytes:
        """Compresses one uint8 image (H, W, C) with C = 1 or 3."""
        height, width, channels = image.shape
        self.check_shape((height, width, channels))
        numbers = (image.astype(np.int32) + self.step // 2) // self.step
        differences = np.diff(numbers, axis=1, prepend=0)
        packed = zlib.compress(differences.astype(np.uint8).tobytes(), self.effort)  # modulo 256
        return cb.pack_numbers((height, width, channels)) + packed

    def decode_image(self, bitstream: bytes) -> cb.Images:
        """Restores one uint8 image (H, W, C) from its bytes and this codec's settings: nothing else is known here.

        Raises:
            BitstreamError: the bytes are empty, cut short, altered or foreign.
        """
        (height, width, channels), start = cb.unpack_numbers(bitstream, 3, self.name)
        size = height * width * channels
        inflater = zlib.decompressobj()
        try:
            self.check_shape((height, width, channels))  # a forged header must not claim all memory,
            data = inflater.decompress(bitstream[start:], size + 1)  # nor the data after it
        except (cb.UnsupportedImageError, zlib.error) as error:
            raise cb.BitstreamError(f"{self.name}: {error}") from error
        if len(data) != size or not inflater.eof or inflater.unused_data:
            raise cb.BitstreamError(f"{self.name}: the samples do not fit the header")
        differences = np.frombuffer(data, np.uint8).reshape(height, width, channels)
        numbers = np.cumsum(differences, axis=1, dtype=np.uint8).astype(np.int32)
        return np.minimum(numbers * self.step, 255).astype(np.uint8)

    def container_bytes(self, bitstream: bytes) -> int:
        """The header, and the 6 bytes of zlib's own header and checksum."""
        return cb.unpack_numbers(bitstream, 3, self.name)[1] + 6
