"""Base class of autoencoder codecs: the latent as floating-point numbers or as entropy-coded integers, in blocks."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from codecbench.errors import BitstreamError, UnsupportedImageError, WeightsError
from codecbench.learned import tiling
from codecbench.learned.codec import LearnedCodec, check_shapes
from codecbench.learned.coding import entropy
from codecbench.learned.coding.entropy import Symbols
from codecbench.learned.coding.latents import Classes, LatentCoder, Latents
from codecbench.learned.training import fit_latents
from codecbench.learned.weights import has_tables, shipped_tables, weights_path
from codecbench.plugins.codec import MAX_PIXELS, FloatCodec, FloatImages, Images, Shape
from codecbench.plugins.settings import Value, settings_of
from codecbench.plugins.varint import pack_numbers, unpack_numbers
from codecbench.text import format_shape

BATCH = 500
"""Blocks that go through the network at once; bounds the memory, whatever the size of the chunk."""

DTYPES = {"float64": "<f8", "float32": "<f4", "float16": "<f2"}
"""Types of a latent number in the stream, little-endian, by the value of ``latent``; ``int8`` is entropy-coded."""


class Autoencoder(torch.nn.Module):
    """A network in two halves.

    Attributes:
        encoder: images (N, C, H, W) in [0, 1] to latents (N, …).
        decoder: latents back to images (N, C, H, W).
        classes: number of classes that condition the decoder beside a latent, up to 256; 1 for no conditioning.
    """

    encoder: torch.nn.Module
    decoder: torch.nn.Module
    classes: int = 1

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Reconstructs images (N, C, H, W)."""
        return self.decoder(self.encoder(images))

    def choose(self, images: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """The class of each latent, by the images (N, C, H, W) alone: int64 below ``classes``, (N,)."""
        return torch.zeros(len(images), dtype=torch.int64, device=images.device)

    def restore(self, latents: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Images (N, C, H, W) from latents and their classes, int64, (N,)."""
        return self.decoder(latents)


class LatentCodec(LearnedCodec, FloatCodec):
    """An autoencoder of fixed image shape; its stream is the latent.

    With a float type for ``latent`` the stream is the latent's numbers, little-endian, with no header. With ``int8`` it
    is the range-coded symbols of a :class:`LatentCoder`, whose tables are shipped with the weights.

    With ``tiles`` images of any size are taken: they are cut into blocks of the network's size, filled by reflection
    (see :mod:`codecbench.learned.tiling`). The stream is then height and width, as two variable-length integers, and
    the latents of all blocks, row by row from the top left.

    The class that conditions the decoder (``Autoencoder.classes``) is part of the stream: one byte a block in front of
    float latents, one more symbol a block in front of ``int8``.

    The last bits of a latent depend on the batch that the image was encoded in, hence ``exact_bytes = False``.

    Attributes:
        latent: the numbers' type; a codec makes it a setting where it offers more than one.
        tiles: images are cut into blocks; a setting too, where it is offered.
        network: the autoencoder's class, or what else builds one when called without arguments.
        networks: the same by ``variant``, for codecs with several.
        image_shape: of the network: height, width, channels; without ``tiles`` the only shape taken.
        latent_shape: shape of one image's latent, channels first.
    """

    exact_bytes: ClassVar[bool] = False
    latent: str = "float32"
    tiles: bool = False
    network: ClassVar[Callable[[], Autoencoder]]
    networks: ClassVar[Mapping[str, Callable[[], Autoencoder]]] = {}
    image_shape: ClassVar[Shape]
    latent_shape: ClassVar[tuple[int, ...]]

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Versions of PyTorch and of the entropy coder."""
        return {"torch": torch.__version__, **entropy.version()}

    @classmethod
    def default_points(cls, shape: Shape) -> list[dict[str, Value]]:
        """Every value of ``latent`` in its sweep; in tiles where the shape is not the network's own.

        ``int8`` is left out while the weights have no tables for it.
        """
        paths = [weights_path(cls, variant) for variant in cls.networks or ("",)]
        lacking = any(path.is_file() and not has_tables(path) for path in paths)
        points = [point for point in super().default_points(shape) if not (lacking and point.get("latent") == "int8")]
        tiled = shape != cls.image_shape
        return [{**point, "tiles": tiled} if "tiles" in point else point for point in points]

    @classmethod
    def tables_for(cls, network: Autoencoder, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Tables for ``int8``, where ``latent`` offers it; see :mod:`codecbench.learned.training.fit_latents`."""
        latent = settings_of(cls).get("latent")
        return fit_latents.fit_tables(network, images).tables() if latent and "int8" in latent.choices else {}

    @classmethod
    def judge_tables(
        cls, network: Autoencoder, tables: Mapping[str, torch.Tensor], images: torch.Tensor
    ) -> dict[str, Any]:
        """The bits of a latent of held-out images, and how much quantising it raises the error."""
        if not tables:
            return {}
        coder = LatentCoder.of(tables, len(tables["mean"]), cls.name)
        found = fit_latents.judge(network, coder, images)
        return {"excess": fit_latents.EXCESS, **{f"held_out_{key}": value for key, value in found.items()}}

    def check_shape(self, shape: Shape) -> None:
        """Takes images of the network's shape; with ``tiles`` any size of as many channels.

        Raises:
            UnsupportedImageError: any other shape.
        """
        as_many_channels = shape[2] == self.image_shape[2]
        if self.tiles:
            super().check_shape(shape)
        if shape == self.image_shape or (self.tiles and as_many_channels):
            return
        taken = f"blocks of {format_shape(self.image_shape)}" if self.tiles else format_shape(self.image_shape)
        can_tile = "tiles" in self.settings and not self.tiles and as_many_channels
        hint = "; with tiles=true it takes any size" if can_tile else ""
        raise UnsupportedImageError(f"{self.name} takes {taken} images, not {format_shape(shape)}{hint}")

    @property
    def latent_dtype(self) -> np.dtype[np.floating]:
        """The type of the numbers in a stream of float latents."""
        return np.dtype(DTYPES[self.latent])

    def latents(self, images: Images) -> Latents:
        """The latents of uint8 images (N, H, W, C) of ``image_shape``: float32, (N, *latent_shape).

        Raises:
            UnsupportedImageError: images of another shape.
            WeightsError: see :meth:`encode`.
        """
        if images.shape[1:] != self.image_shape:
            shapes = f"{format_shape(self.image_shape)}, not of {format_shape(images.shape[1:])}"
            raise UnsupportedImageError(f"{self.name} has latents of images of {shapes}")
        return np.concatenate([self._latents_of(images[part]) for part in tiling.batches(len(images), BATCH)])

    def encode(self, images: Images) -> list[bytes]:
        """Encodes uint8 images (N, H, W, C).

        Numbers too large for the stream's type saturate at its largest finite one.

        Raises:
            UnsupportedImageError: see :meth:`check_shape`.
            WeightsError: the network gives numbers that are not numbers; its weights are damaged.
        """
        height, width = images.shape[1:3]
        self.check_shape((height, width, images.shape[3]))
        header = pack_numbers((height, width)) if self.tiles else b""
        blocks = tiling.block_count(height, width, self.image_shape[:2])
        if self.latent == "int8":
            coder = self._coder()
            symbols, classes = self._symbols(images)
            of_image = [slice(start, start + blocks) for start in range(0, len(symbols), blocks)]
            return [header + coder.encode(symbols[part], classes[part]) for part in of_image]
        largest = float(min(np.finfo(self.latent_dtype).max, np.finfo(np.float32).max))
        found = [
            (classes.astype(np.uint8), np.clip(latents, -largest, largest).astype(self.latent_dtype))
            for latents, classes in self._analysed(images)
        ]
        labels, numbers = (np.concatenate(arrays).reshape(len(images), -1) for arrays in zip(*found, strict=True))
        if self.shipped_network().classes == 1:
            labels = labels[:, :0]
        return [header + label.tobytes() + row.tobytes() for label, row in zip(labels, numbers, strict=True)]

    def decode_float(self, bitstreams: Sequence[bytes]) -> FloatImages:
        """Decodes to float32 images (N, H, W, C) in [0, 1].

        Raises: BitstreamError: a stream was truncated or altered, or has numbers that are not finite; in tiles, also a
        stream of another size than the first. WeightsError: the weights are missing, or have no tables for ``int8``.
        """
        sizes = [self._size(stream) for stream in bitstreams]
        check_shapes([size for size, _ in sizes], self.name)
        (height, width), _ = sizes[0]
        blocks = tiling.block_count(height, width, self.image_shape[:2])
        payloads = [stream[start:] for stream, (_, start) in zip(bitstreams, sizes, strict=True)]
        read = self._read_symbols if self.latent == "int8" else self._read_numbers
        latents = read(payloads, blocks)
        images = np.empty((len(bitstreams), height, width, self.image_shape[2]), np.float32)
        for part in tiling.batches(len(bitstreams) * blocks, BATCH):
            restored = self._restore(*latents(part))
            if not np.isfinite(restored).all():
                raise BitstreamError(f"{self.name}: the latent's numbers overflow the decoder")
            tiling.join(restored, np.arange(part.start, part.stop), images)
        return images

    def container_bytes(self, bitstream: bytes) -> int:
        """The bytes of height and width; none without ``tiles``, since the codec's settings fix the shape."""
        return self._size(bitstream)[1]

    def estimate_bits(self, images: Images) -> npt.NDArray[np.float64] | None:
        """The information of the symbols under their tables, for ``int8``; (N,)."""
        if self.latent != "int8":
            return None
        return self._coder().bits(*self._symbols(images)).reshape(len(images), -1).sum(1)

    @torch.inference_mode()
    def _classes_of(self, blocks: Images, latents: Latents) -> Classes:
        """The classes of blocks (B, H, W, C): int32, (B,)."""
        network = self.shipped_network()
        if network.classes == 1:
            return np.zeros(len(blocks), np.int32)
        images = to_tensor(blocks, self.device)
        return network.choose(images, torch.from_numpy(latents).to(self.device)).int().cpu().numpy()

    @torch.inference_mode()
    def _restore(self, latents: Latents, classes: Classes) -> FloatImages:
        """Blocks (B, H, W, C) from latents (B, *latent_shape) and their classes (B,)."""
        labels = torch.from_numpy(classes.astype(np.int64)).to(self.device)
        images = self.shipped_network().restore(torch.from_numpy(latents).to(self.device), labels)
        return images.permute(0, 2, 3, 1).cpu().numpy()

    @torch.inference_mode()
    def _latents_of(self, blocks: Images) -> Latents:
        latents: Latents = self.shipped_network().encoder(to_tensor(blocks, self.device)).cpu().numpy()
        if np.isnan(latents).any():
            raise WeightsError(f"{self.name}: the encoder gives values that are not numbers; train it anew")
        return latents

    def _analysed(self, images: Images) -> Iterator[tuple[Latents, Classes]]:
        """Latents and classes of the blocks of all images, in turn, some at a time."""
        (height, width), block = images.shape[1:3], self.image_shape[:2]
        for part in tiling.batches(len(images) * tiling.block_count(height, width, block), BATCH):
            whole = (height, width) == block
            blocks = images[part] if whole else tiling.cut(images, block, np.arange(part.start, part.stop))
            latents = self._latents_of(blocks)
            yield latents, self._classes_of(blocks, latents)

    def _symbols(self, images: Images) -> tuple[Symbols, Classes]:
        """Symbols and classes of the blocks of all images."""
        coder = self._coder()
        chosen = [coder.quantise(latents, classes) for latents, classes in self._analysed(images)]
        return np.concatenate([symbols for symbols, _ in chosen]), np.concatenate([classes for _, classes in chosen])

    def _coder(self) -> LatentCoder:
        return _coder_of(self.shipped_network(), self.weights_path(), self.latent_shape[0], self.name)

    def _size(self, bitstream: bytes) -> tuple[tuple[int, int], int]:
        """Height and width of the image of a stream, and the number of bytes that code them."""
        if not self.tiles:
            return self.image_shape[:2], 0
        (height, width), start = unpack_numbers(bitstream, 2, self.name)
        if min(height, width) < 1 or height * width > MAX_PIXELS:
            raise BitstreamError(f"{self.name}: the header tells of an image of {format_shape((height, width))}")
        return (height, width), start

    def _read_numbers(self, payloads: Sequence[bytes], blocks: int) -> Callable[[slice], tuple[Latents, Classes]]:
        """Float latents and classes of a part of all blocks."""
        label_bytes = blocks if (known := self.shipped_network().classes) > 1 else 0
        expected = label_bytes + blocks * math.prod(self.latent_shape) * self.latent_dtype.itemsize
        for payload in payloads:
            if len(payload) != expected:
                raise BitstreamError(f"{self.name}: a stream has {expected} bytes, this one {len(payload)}")
        numbers = np.frombuffer(b"".join(payload[label_bytes:] for payload in payloads), self.latent_dtype)
        numbers = numbers.reshape(-1, *self.latent_shape)
        classes = np.zeros(len(numbers), np.int32)
        if label_bytes:
            classes = np.frombuffer(b"".join(payload[:label_bytes] for payload in payloads), np.uint8).astype(np.int32)
        if classes.max() >= known:
            raise BitstreamError(f"{self.name}: class {classes.max()} of {known}")

        def latents(part: slice) -> tuple[Latents, Classes]:
            with np.errstate(over="ignore", invalid="ignore"):
                found = numbers[part].astype(np.float32)
            if not np.isfinite(found).all():
                raise BitstreamError(f"{self.name}: the stream holds numbers that are not finite")
            return found, classes[part]

        return latents

    def _read_symbols(self, payloads: Sequence[bytes], blocks: int) -> Callable[[slice], tuple[Latents, Classes]]:
        """The same from range-coded symbols."""
        coder, places = self._coder(), math.prod(self.latent_shape[1:])
        read = [coder.decode(payload, blocks, places, self.name) for payload in payloads]
        symbols, classes = (np.concatenate(arrays) for arrays in zip(*read, strict=True))
        return lambda part: (coder.dequantise(symbols[part]).reshape(-1, *self.latent_shape), classes[part])


@functools.lru_cache(maxsize=16)
def _coder_of(network: Autoencoder, path: Path, channels: int, owner: str) -> LatentCoder:
    """The coder of a network's shipped tables; made once, since networks are loaded once."""
    tables = shipped_tables(path)
    if not tables:
        raise WeightsError(f"{owner}: {path} holds no tables for latent=int8; train it anew")
    coder = LatentCoder.of(tables, channels, owner)
    if len(coder.front) != network.classes:
        raise WeightsError(f"{owner}: {path} holds tables of {len(coder.front)} classes, not {network.classes}")
    return coder


def to_tensor(images: Images, device: str) -> torch.Tensor:
    """uint8 (N, H, W, C) to float32 (N, C, H, W) in [0, 1] on a device."""
    array = np.require(images, np.uint8, ["C", "W"])  # PyTorch warns of arrays that cannot be written to
    return torch.from_numpy(array).to(device).permute(0, 3, 1, 2).float() / 255.0
