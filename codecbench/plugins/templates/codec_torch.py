"""NAME: a block transform on a CPU or a GPU, packed by zlib."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

import codecbench as cb

SIDE = 8  # of a block, in pixels


def transform(device: str) -> torch.Tensor:
    """The Walsh–Hadamard transform of 8 samples as a matrix of ones and minus ones, its own inverse times 8."""
    pair = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64, device=device)
    return torch.kron(torch.kron(pair, pair), pair)


@cb.register_codec  # the file's stem becomes the codec's name
@dataclass(frozen=True)
class NewCodec(cb.FloatCodec):
    """Blocks of 8×8 samples, their Walsh–Hadamard coefficients (Pratt, Kane and Andrews, 1969) in steps, zlib.

    Floating-point sums depend on their order, and with it on the batch, the device and the threads; one coefficient
    that is rounded the other way changes the bytes. Here all numbers are whole and far below 2**53: float64 adds those
    without an error, in any order, and whole numbers are divided as such. So ``exact_bytes`` is true, and a CPU decodes
    what a GPU encoded. A codec of which that cannot be said declares ``exact_bytes = False``.
    """

    exact_bytes: ClassVar[bool] = True
    uses_device: ClassVar[bool] = True  # computes on self.device

    # The fields are the codec's settings; ``sweep`` are the values measured by default.
    step: int = cb.setting(16, low=1, high=1024, sweep=(4, 8, 16, 32, 64), help="between two values of a coefficient")

    def encode(self, images: cb.Images) -> list[bytes]:
        """Compresses uint8 images (N, H, W, C)."""
        count, height, width, channels = images.shape
        self.check_shape((height, width, channels))
        edges = ((0, 0), (0, -height % SIDE), (0, -width % SIDE), (0, 0))
        samples = torch.tensor(np.pad(images, edges, mode="edge"), device=self.device).double() - 128
        down, across = samples.shape[1] // SIDE, samples.shape[2] // SIDE
        blocks = samples.reshape(count, down, SIDE, across, SIDE, channels).permute(0, 2, 4, 5, 1, 3)
        matrix = transform(self.device)  # (8, 8)
        y = torch.einsum("ij,kl,njlcdw->nikcdw", matrix, matrix, blocks)
        unit = self.step * SIDE  # the transform multiplies by 8 what an orthonormal one gives
        y_hat = torch.div(y.long() + unit // 2, unit, rounding_mode="floor").cpu().numpy()
        header = cb.pack_numbers((height, width, channels))
        return [header + zlib.compress(image.astype("<i2").tobytes(), 9) for image in y_hat]

    def decode_float(self, bitstreams: Sequence[bytes]) -> cb.FloatImages:
        """Restores images as float64 (N, H, W, C) in [0, 1], which the base class clips and rounds.

        Raises:
            BitstreamError: the bytes are empty, cut short, altered or foreign, or the images of different shapes.
        """
        shapes, numbers = zip(*(self._read(bitstream) for bitstream in bitstreams), strict=True)
        if len(set(shapes)) > 1:
            raise cb.BitstreamError(f"{self.name}: streams of one batch decode to images of different shapes")
        height, width, channels = shapes[0]
        y_hat = torch.tensor(np.stack(numbers), device=self.device).double() * (self.step * SIDE)
        matrix = transform(self.device)
        blocks = torch.einsum("ij,kl,njlcdw->ndiwkc", matrix, matrix, y_hat) / SIDE**2
        down, across = y_hat.shape[-2:]
        samples = blocks.reshape(len(numbers), down * SIDE, across * SIDE, channels)[:, :height, :width] + 128
        images: cb.FloatImages = samples.cpu().numpy() / 255
        return images

    def _read(self, bitstream: bytes) -> tuple[cb.Shape, npt.NDArray[np.int16]]:
        """Shape and coefficients, (8, 8, C, H/8, W/8), of one stream.

        Raises:
            BitstreamError: the stream is empty, cut short, altered or foreign.
        """
        (height, width, channels), start = cb.unpack_numbers(bitstream, 3, self.name)
        down, across = -(-height // SIDE), -(-width // SIDE)
        size = 2 * SIDE * SIDE * channels * down * across
        inflater = zlib.decompressobj()
        try:
            self.check_shape((height, width, channels))  # a forged header must not claim all memory,
            data = inflater.decompress(bitstream[start:], size + 1)  # nor the data after it
        except (cb.UnsupportedImageError, zlib.error) as error:
            raise cb.BitstreamError(f"{self.name}: {error}") from error
        if len(data) != size or not inflater.eof or inflater.unused_data:
            raise cb.BitstreamError(f"{self.name}: no coefficients of {cb.format_shape((height, width, channels))}")
        return (height, width, channels), np.frombuffer(data, "<i2").reshape(SIDE, SIDE, channels, down, across)

    def container_bytes(self, bitstream: bytes) -> int:
        """The header, and the 6 bytes of zlib's own header and checksum."""
        return cb.unpack_numbers(bitstream, 3, self.name)[1] + 6

    @classmethod
    def versions(cls) -> dict[str, str]:
        """What decides the bytes beside this file."""
        return {"torch": torch.__version__, "zlib": zlib.ZLIB_RUNTIME_VERSION}
