"""Truncated singular value decomposition of every channel, in plain float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

import codecbench as cb

from ._shape import unpack_shape

_EVERY_RANK = 96  # a photograph has hundreds, and no curve needs them all
SLICE_SAMPLES = 1 << 24  # at most this many samples are decomposed at once: 64 MiB of float32


def _decompose(images: cb.Images, device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """U, s and Vᵀ of every channel of a batch of uint8 images (N, H, W, C), levels scaled to [0, 1]."""
    x = torch.tensor(np.ascontiguousarray(images), device=device).permute(0, 3, 1, 2).to(torch.float32) / 255.0
    u, s, vt = torch.linalg.svd(x, full_matrices=False)
    return u, s, vt


@cb.register_codec
@dataclass(frozen=True)
class Svd(cb.FloatCodec):
    """The best approximation of rank r to each channel (Eckart and Young, 1936), sent as float32.

    A channel X, scaled to [0, 1], is U·diag(s)·Vᵀ. The first r columns of U, singular values and columns of V are the
    payload: exactly r·(H+W+1) little-endian float32 values per channel, in the order U (H·r, row by row), s (r),
    V (W·r, row by row), channel after channel. A few bytes before it hold the shape; the rank is the decoder's own
    setting. Rank 0 is a black image.

    On a CPU, LAPACK decomposes matrix by matrix, so the bytes do not depend on the batch. A GPU's batched solvers and
    other thread counts do not guarantee that, hence ``exact_bytes = False``.
    """

    exact_bytes = False
    uses_device = True

    rank: int = cb.setting(5, low=0, help="singular values kept in each channel; all ranks are swept")

    def check_shape(self, shape: cb.Shape) -> None:
        """Refuses images whose smaller side is below the rank."""
        super().check_shape(shape)
        if self.rank > min(shape[:2]):
            full = f"the full rank {min(shape[:2])} of {cb.format_shape(shape)}"
            raise cb.UnsupportedImageError(f"{self.name}: rank {self.rank} is above {full}")

    @classmethod
    def default_points(cls, shape: cb.Shape) -> list[dict[str, cb.Value]]:
        """Every rank from 0 to the full rank, min(H, W); beyond 96 about forty, ever farther apart."""
        full = min(shape[:2])
        if full <= _EVERY_RANK:
            return [{"rank": rank} for rank in range(full + 1)]
        ranks = {0, full, *(round(rank) for rank in np.geomspace(1, full, 40))}
        return [{"rank": rank} for rank in sorted(ranks)]

    def encode(self, images: cb.Images) -> list[bytes]:
        """Decomposes a batch of uint8 images (N, H, W, C)."""
        (streams,) = self.encode_sweep(images, [self.settings], self.device)
        return streams

    @classmethod
    def encode_sweep(
        cls, images: cb.Images, points: Sequence[dict[str, cb.Value]], device: str
    ) -> Iterator[list[bytes]]:
        """Decomposes a batch once, and cuts the factors to each rank."""
        codecs = [cls(rank=int(point["rank"])) for point in points]
        _, height, width, channels = images.shape
        shape = (height, width, channels)
        for codec in codecs:
            codec.check_shape(shape)
        header, step = cb.pack_numbers(shape), max(1, SLICE_SAMPLES // (height * width * channels))
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
        return payload.cpu().numpy().astype("<f4", copy=False)

    def decode_float(self, bitstreams: Sequence[bytes]) -> cb.FloatImages:
        """Multiplies the factors out: float32, (N, H, W, C), nominal range [0, 1] but not clipped."""
        shape, start = unpack_shape(bitstreams[0], self.name)
        height, width, channels = shape
        if self.rank > min(height, width):
            raise cb.BitstreamError(f"{self.name}: an image of {cb.format_shape(shape)} has no rank {self.rank}")
        floats = channels * self.rank * (height + width + 1)
        for bitstream in bitstreams:
            if bitstream[:start] != bitstreams[0][:start]:
                raise cb.BitstreamError(f"{self.name}: streams of one batch decode to images of different shapes")
            if len(bitstream) != start + 4 * floats:
                raise cb.BitstreamError(
                    f"{self.name}: {4 * floats} bytes of factors expected, {len(bitstream) - start} found"
                )
        images = np.zeros((len(bitstreams), height, width, channels), np.float32)
        step = max(1, SLICE_SAMPLES // (height * width * channels))
        for first in range(0, len(bitstreams) if self.rank else 0, step):
            payload = b"".join(bitstream[start:] for bitstream in bitstreams[first : first + step])
            factors = np.frombuffer(payload, "<f4").reshape(-1, channels, self.rank * (height + width + 1))
            images[first : first + step] = self._product(factors, height, width)
        if not np.isfinite(images).all():
            raise cb.BitstreamError(f"{self.name}: the factors do not give finite samples")
        return images

    def _product(self, factors: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
        """Samples of a batch, (N, H, W, C), from its factors, (N, C, r·(H+W+1))."""
        count, channels, _ = factors.shape
        r = self.rank
        values = torch.tensor(factors.astype(np.float32, copy=False), device=self.device)
        u, s, v = values[..., : height * r], values[..., height * r : -width * r], values[..., -width * r :]
        scaled = u.reshape(count, channels, height, r) * s[:, :, None, :]
        x = scaled @ v.reshape(count, channels, width, r).mT
        return x.permute(0, 2, 3, 1).cpu().numpy()

    @classmethod
    def versions(cls) -> dict[str, str]:
        """PyTorch's version."""
        return {"torch": str(torch.__version__)}

    def container_bytes(self, bitstream: bytes) -> int:
        """The bytes of the shape header."""
        return unpack_shape(bitstream, self.name)[1]
