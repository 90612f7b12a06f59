"""Truncated singular value decomposition of every channel, in plain float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from codecbench.errors import BitstreamError, UnsupportedImageError
from codecbench.plugins.codec import FloatCodec, FloatImages, Images, Shape
from codecbench.plugins.registry import register_codec
from codecbench.plugins.settings import Value, setting
from codecbench.text import format_shape

from ._shape import pack_shape, unpack_shape

_EVERY_RANK = 96  # a photograph has hundreds, and no curve needs them all
_SLICE_SAMPLES = 1 << 24  # at most this many samples are decomposed at once: 64 MiB of float32


def _decompose(images: Images, device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """U, s and Vᵀ of every channel of a batch of uint8 images (N, H, W, C), levels scaled to [0, 1]."""
    x = torch.tensor(np.ascontiguousarray(images), device=device).permute(0, 3, 1, 2).to(torch.float32) / 255.0
    u, s, vt = torch.linalg.svd(x, full_matrices=False)
    return u, s, vt


@register_codec
@dataclass(frozen=True)
class Svd(FloatCodec):
    """The best approximation of rank r to each channel (Eckart and Young, 1936), sent as float32.

    A channel X, scaled to [0, 1], is U·diag(s)·Vᵀ; the first r columns of U, singular values and
    columns of V are the payload: exactly r·(H+W+1) float32 values a channel, little-endian, in this
    order: U (H·r, row by row), s (r), V (W·r, row by row); channel after channel. Before it stands the
    shape in a few bytes; the rank is the decoder's own setting. Rank 0 is a black image.

    On a CPU, LAPACK decomposes matrix by matrix and the bytes do not depend on the batch; a GPU's
    batched solvers and other thread counts promise no such thing, hence ``exact_bytes = False``.
    """

    exact_bytes: ClassVar[bool] = False
    uses_device: ClassVar[bool] = True
    made_of: ClassVar[tuple[str, ...]] = ("codecbench.plugins.varint",)

    rank: int = setting(5, low=0, help="singular values kept in each channel; all ranks are swept")

    def check_shape(self, shape: Shape) -> None:
        """Refuses images whose smaller side is below the rank.

        Raises:
            UnsupportedImageError: the image has no such rank, or is neither gray nor RGB, or too large.
        """
        super().check_shape(shape)
        if self.rank > min(shape[:2]):
            full = f"the full rank {min(shape[:2])} of {format_shape(shape)}"
            raise UnsupportedImageError(f"{self.name}: rank {self.rank} is above {full}")

    @classmethod
    def default_points(cls, shape: Shape) -> list[dict[str, Value]]:
        """Every rank from 0 to the full rank, min(H, W); beyond 96 about forty, ever farther apart."""
        full = min(shape[:2])
        if full <= _EVERY_RANK:
            return [{"rank": rank} for rank in range(full + 1)]
        ranks = {0, full, *(round(rank) for rank in np.geomspace(1, full, 40))}
        return [{"rank": rank} for rank in sorted(ranks)]

    def encode(self, images: Images) -> list[bytes]:
        """Decomposes a batch of uint8 images (N, H, W, C).

        Raises:
            UnsupportedImageError: see :meth:`check_shape`.
        """
        (streams,) = self.encode_sweep(images, [self.settings], self.device)
        return streams

    @classmethod
    def encode_sweep(cls, images: Images, points: Sequence[dict[str, Value]], device: str) -> Iterator[list[bytes]]:
        """Decomposes a batch once, and cuts the factors to each rank.

        Raises:
            UnsupportedImageError: see :meth:`check_shape`.
        """
        codecs = [cls(rank=int(point["rank"])) for point in points]
        _, height, width, channels = images.shape
        shape = (height, width, channels)
        for codec in codecs:
            codec.check_shape(shape)
        header, step = pack_shape(shape), max(1, _SLICE_SAMPLES // (height * width * channels))
        slices = [images[start : start + step] for start in range(0, len(images), step)]
        decomposed = [_decompose(part, device) for part in slices] if any(codec.rank for codec in codecs) else []
        for codec in codecs:
            if codec.rank == 0:
                yield [header] * len(images)
            else:
                yield [header + row.tobytes() for factors in decomposed for row in codec._payloads(*factors)]

    def _payloads(self, u: torch.Tensor, s: torch.Tensor, vt: torch.Tensor) -> npt.NDArray[np.float32]:
        """The payloads of a batch, (N, C·r·(H+W+1)), from its factors."""
        r = self.rank
        parts = [u[..., :r].flatten(2), s[..., :r], vt[..., :r, :].mT.flatten(2)]
        payload = torch.cat(parts, dim=2).flatten(1)
        payloads: npt.NDArray[np.float32] = payload.cpu().numpy().astype("<f4", copy=False)
        return payloads

    def decode_float(self, bitstreams: Sequence[bytes]) -> FloatImages:
        """Multiplies the factors out: float32, (N, H, W, C), nominal range [0, 1] but not clipped.

        Raises:
            BitstreamError: a damaged header, a length that does not fit shape and rank, values that are not
                finite, or streams of different shapes in one batch.
        """
        shape, start = unpack_shape(bitstreams[0], self.name)
        height, width, channels = shape
        if self.rank > min(height, width):
            raise BitstreamError(f"{self.name}: an image of {format_shape(shape)} has no rank {self.rank}")
        floats = channels * self.rank * (height + width + 1)
        for index, bitstream in enumerate(bitstreams):
            if bitstream[:start] != bitstreams[0][:start]:
                found, _ = unpack_shape(bitstream, self.name)
                shapes = f"stream {index} is of {format_shape(found)}, the first of {format_shape(shape)}"
                raise BitstreamError(f"{self.name}: {shapes}")
            if len(bitstream) != start + 4 * floats:
                raise BitstreamError(
                    f"{self.name}: {4 * floats} bytes of factors expected, {len(bitstream) - start} found"
                )
        images = np.zeros((len(bitstreams), height, width, channels), np.float32)
        step = max(1, _SLICE_SAMPLES // (height * width * channels))
        for first in range(0, len(bitstreams) if self.rank else 0, step):
            payload = b"".join(bitstream[start:] for bitstream in bitstreams[first : first + step])
            factors = np.frombuffer(payload, "<f4").reshape(-1, channels, self.rank * (height + width + 1))
            images[first : first + step] = self._product(factors, height, width)
        if not np.isfinite(images).all():
            raise BitstreamError(f"{self.name}: the factors do not give finite samples")
        return images

    def _product(self, factors: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
        """Samples of a batch, (N, H, W, C), from its factors, (N, C, r·(H+W+1))."""
        count, channels, _ = factors.shape
        r = self.rank
        values = torch.tensor(factors.astype(np.float32, copy=False), device=self.device)
        u, s, v = values[..., : height * r], values[..., height * r : -width * r], values[..., -width * r :]
        scaled = u.reshape(count, channels, height, r) * s[:, :, None, :]
        x = scaled @ v.reshape(count, channels, width, r).mT
        samples: npt.NDArray[np.float32] = x.permute(0, 2, 3, 1).cpu().numpy()
        return samples

    @classmethod
    def versions(cls) -> dict[str, str]:
        """PyTorch's version."""
        return {"torch": str(torch.__version__)}

    def container_bytes(self, bitstream: bytes) -> int:
        """The bytes of the shape header."""
        return unpack_shape(bitstream, self.name)[1]
