"""Base class of autoencoder codecs whose stream is the latent as raw floating-point numbers."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from codecbench.codec import FloatCodec, FloatImages, Images, format_shape
from codecbench.errors import BitstreamError, UnsupportedImageError, WeightsError
from codecbench.learned.recipe import Recipe
from codecbench.learned.weights import card_path, shipped_network, weights_path
from codecbench.records import Shape

BATCH = 500
"""Images that go through the network at once; bounds the memory, whatever the size of the chunk."""


class Autoencoder(torch.nn.Module):
    """A network in two halves.

    Attributes:
        encoder: images (N, C, H, W) in [0, 1] to latents (N, …).
        decoder: latents back to images (N, C, H, W).
    """

    encoder: torch.nn.Module
    decoder: torch.nn.Module

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Reconstructs images (N, C, H, W)."""
        reconstruction: torch.Tensor = self.decoder(self.encoder(images))
        return reconstruction


class RawLatentCodec(FloatCodec):
    """An autoencoder of fixed image shape; its stream is the latent's numbers, little-endian, with no header.

    The last bits of the numbers depend on the batch that the image was encoded in, hence ``exact_bytes = False``.

    Attributes:
        network: the autoencoder's class; built without arguments.
        image_shape: the only shape taken: height, width, channels.
        latent_shape: shape of one image's latent.
        recipes: how the weights are trained, by name; the first is the default.
    """

    exact_bytes: ClassVar[bool] = False
    uses_device: ClassVar[bool] = True
    network: ClassVar[type[Autoencoder]]
    image_shape: ClassVar[Shape]
    latent_shape: ClassVar[tuple[int, ...]]
    recipes: ClassVar[dict[str, Recipe]]

    @property
    @abc.abstractmethod
    def latent_dtype(self) -> npt.DTypeLike:
        """The numbers' type in the stream, little-endian."""

    @classmethod
    def weight_files(cls) -> tuple[str, ...]:
        """The weights and their model card."""
        path = weights_path(cls)
        return str(path), str(card_path(path))

    @classmethod
    def versions(cls) -> dict[str, str]:
        """PyTorch's version."""
        return {"torch": torch.__version__}

    def check_shape(self, shape: Shape) -> None:
        """Takes images of one shape alone.

        Raises:
            UnsupportedImageError: any other shape.
        """
        if shape != self.image_shape:
            raise UnsupportedImageError(
                f"{self.name} takes {format_shape(self.image_shape)} images, not {format_shape(shape)}"
            )

    @torch.inference_mode()
    def encode(self, images: Images) -> list[bytes]:
        """Encodes uint8 images (N, H, W, C); every stream has the same length.

        Numbers too large for the stream's type saturate at its largest finite one.

        Raises:
            WeightsError: the network gives numbers that are not numbers; its weights are damaged.
        """
        self.check_shape(images.shape[1:])
        encoder = self._network().encoder
        largest = float(min(np.finfo(self.latent_dtype).max, np.finfo(np.float32).max))
        streams: list[bytes] = []
        for start in range(0, len(images), BATCH):
            latents = encoder(to_tensor(images[start : start + BATCH], self.device))
            numbers = latents.flatten(1).cpu().numpy()
            if np.isnan(numbers).any():
                raise WeightsError(f"{self.name}: the encoder gives values that are not numbers; train it anew")
            numbers = np.clip(numbers, -largest, largest).astype(self.latent_dtype)
            streams += [row.tobytes() for row in numbers]
        return streams

    @torch.inference_mode()
    def decode_float(self, bitstreams: Sequence[bytes]) -> FloatImages:
        """Decodes to float32 images (N, H, W, C) in [0, 1].

        Raises:
            BitstreamError: a stream of the wrong length, or with numbers that are not finite.
        """
        latents = self._read(bitstreams)
        decoder = self._network().decoder
        parts = []
        for start in range(0, len(latents), BATCH):
            block = torch.from_numpy(latents[start : start + BATCH]).to(self.device)
            parts.append(decoder(block).permute(0, 2, 3, 1).cpu().numpy())
        images: FloatImages = np.concatenate(parts)
        if not np.isfinite(images).all():
            raise BitstreamError(f"{self.name}: the latent's numbers overflow the decoder")
        return images

    def container_bytes(self, bitstream: bytes) -> int:
        """None: the codec's settings fix the shape, so there is no header."""
        return 0

    def _read(self, bitstreams: Sequence[bytes]) -> npt.NDArray[np.float32]:
        dtype = np.dtype(self.latent_dtype)
        expected = int(np.prod(self.latent_shape)) * dtype.itemsize
        for stream in bitstreams:
            if len(stream) != expected:
                raise BitstreamError(f"{self.name}: a stream has {expected} bytes, this one {len(stream)}")
        numbers = np.frombuffer(b"".join(bitstreams), dtype=dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            latents = numbers.reshape(len(bitstreams), *self.latent_shape).astype(np.float32)
        if not np.isfinite(latents).all():
            raise BitstreamError(f"{self.name}: the stream holds numbers that are not finite")
        return latents

    def _network(self) -> Autoencoder:
        module = shipped_network(self.network, weights_path(type(self)), self.device)
        assert isinstance(module, Autoencoder)
        return module


def to_tensor(images: Images, device: str) -> torch.Tensor:
    """uint8 (N, H, W, C) to float32 (N, C, H, W) in [0, 1] on a device."""
    array = np.require(images, np.uint8, ["C", "W"])  # PyTorch warns of arrays that cannot be written to
    return torch.from_numpy(array).to(device).permute(0, 3, 1, 2).float() / 255.0
