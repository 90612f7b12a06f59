"""Base class of codecs whose network was trained for rate and distortion together, with exact entropy coding."""

from __future__ import annotations

import abc
import functools
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from codecbench.errors import BitstreamError, UnsupportedImageError, WeightsError
from codecbench.learned.autoencoder import to_tensor
from codecbench.learned.codec import LearnedCodec, check_shapes
from codecbench.learned.coding import entropy
from codecbench.learned.coding.scales import ScaleTables, logistic_tables
from codecbench.learned.coding.symbols import SymbolDecoder, SymbolEncoder
from codecbench.learned.layers.exact import ACTIVATION_BITS
from codecbench.learned.layers.levels import LEVELS, round_quality
from codecbench.learned.layers.ratedistortion import RateDistortionNetwork
from codecbench.learned.tiling import Block, batches, blocks
from codecbench.learned.training import count_symbols
from codecbench.learned.weights import shipped_tables
from codecbench.plugins.codec import MAX_PIXELS, FloatCodec, FloatImages, Images, Shape
from codecbench.plugins.settings import Value
from codecbench.plugins.varint import pack_numbers, unpack_numbers
from codecbench.text import format_shape

ANY_SHAPE = "any"
"""Value of ``shape`` that leaves it to the stream."""

LARGEST_BLOCK = 768
"""Larger images are cut into blocks of this height and width."""

BATCH_PIXELS = 1 << 17
"""Pixels that go through the network at once; bounds the memory, whatever the size of the batch."""

CHECKSUM_BYTES = 2

FILL = 32
"""Most that the ``unit`` of a network may be."""

MOST_FILLED = 2 * MAX_PIXELS
"""Most pixels that an image may have once it is filled, which thin ones are many times over."""


class RateDistortionCodec(LearnedCodec, FloatCodec):
    """Codes images of any size, or of shapes that its settings fix, by networks of :class:`RateDistortionNetwork`.

    A stream is the range-coded symbols of hyper-latents and latents. With ``shape=any`` height, width and gray or
    colour precede it, as two variable-length integers; images are filled by reflection to multiples of the network's
    ``unit``, very large ones cut into blocks, gray ones coded as colour. With ``checksum`` two bytes follow.

    The probabilities of the entropy coder come from sums that are exact (:mod:`codecbench.learned.layers.exact`), so
    every machine decodes the symbols that were written. Analysis is ordinary float32, whose last bits depend on the
    batch and may decide between two symbols, hence ``exact_bytes = False``.

    Attributes:
        quality: from 1 to ``LEVELS``; rounded to 1/64.
        shape: ``any``, or a key of ``fixed``.
        checksum: of the header, and of the latents as decoders get them.
        fixed: shapes that need no header, by the setting's value.
    """

    exact_bytes: ClassVar[bool] = False
    quality: float = 1.0
    shape: str = ANY_SHAPE
    checksum: bool = False
    fixed: ClassVar[Mapping[str, Shape]]
    networks: ClassVar[Mapping[str, Callable[[], RateDistortionNetwork]]]

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Versions of PyTorch and of the entropy coder."""
        return {"torch": torch.__version__, **entropy.version()}

    @classmethod
    def default_points(cls, shape: Shape) -> list[dict[str, Value]]:
        """The sweep of ``quality``, without a header where the shape is one of the fixed ones."""
        named = next((name for name, fixed in cls.fixed.items() if fixed == shape), ANY_SHAPE)
        return [{**point, "shape": named} for point in super().default_points(shape)]

    @classmethod
    @abc.abstractmethod
    def loss_weight(cls, network: RateDistortionNetwork, quality: float) -> float:
        """The λ of a quality that a network was trained for: bits per pixel for a squared error of 1 of 255 squared."""

    @classmethod
    def tables_for(cls, network: RateDistortionNetwork, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Counts the symbols of training images; see :mod:`codecbench.learned.training.count_symbols`."""
        return count_symbols.count_tables(network, images, functools.partial(cls.loss_weight, network)).tensors()

    @classmethod
    def judge_tables(
        cls, network: RateDistortionNetwork, tables: Mapping[str, torch.Tensor], images: torch.Tensor
    ) -> dict[str, Any]:
        """The mean loss at whole qualities, of what is written with these tables and with logistic ones."""
        judged = {}
        for name, used in (("", ScaleTables.of(tables, cls.name)), ("_logistic", logistic_tables())):
            found = []
            for quality in map(float, range(1, LEVELS + 1)):
                weight = cls.loss_weight(network, quality)
                found += count_symbols.losses(network, images, quality, used, [used.slope(quality)], weight)
            judged[f"held_out_written_loss{name}"] = float(np.mean(found))
        return judged

    def check_shape(self, shape: Shape) -> None:
        """Takes gray and RGB images, or the one shape that ``shape`` names.

        Raises:
            UnsupportedImageError: any other, and an image so thin that filling it makes it far too large.
        """
        super().check_shape(shape)
        if _filled(shape) > MOST_FILLED:
            raise UnsupportedImageError(f"{self.name}: {format_shape(shape)} is too thin for so long an image")
        if self.shape != ANY_SHAPE and shape != self.fixed[self.shape]:
            taken, got = (format_shape(each) for each in (self.fixed[self.shape], shape))
            hint = "with shape=any it takes any size"
            raise UnsupportedImageError(f"{self.name} with shape={self.shape} takes {taken} images, not {got}; {hint}")

    def encode(self, images: Images) -> list[bytes]:
        """Encodes uint8 images (N, H, W, C).

        Raises:
            UnsupportedImageError: see :meth:`check_shape`.
            WeightsError: the weights are missing or damaged.
        """
        height, width, channels = images.shape[1:]
        self.check_shape((height, width, channels))
        header, streams = self._packed((height, width, channels)), []
        for writer, sums in self._written(images):
            ends = [_checksum(crc) if self.checksum else b"" for crc in sums]
            streams += [header + stream + end for stream, end in zip(writer.streams(), ends, strict=True)]
        return streams

    def decode_float(self, bitstreams: Sequence[bytes]) -> FloatImages:
        """Decodes to float32 images (N, H, W, C), nominally in [0, 1].

        Raises: BitstreamError: a stream was truncated or altered, or is of another shape than the first; with a
        checksum also one whose latents are not the encoder's. WeightsError: the weights are missing or damaged.
        """
        headers = [self._header(stream) for stream in bitstreams]
        check_shapes([other for other, _ in headers], self.name)
        shape, _ = headers[0]
        payloads = [
            stream[start : len(stream) - CHECKSUM_BYTES * self.checksum]
            for stream, (_, start) in zip(bitstreams, headers, strict=True)
        ]
        self._check_lengths(payloads, shape)
        images = np.empty((len(bitstreams), *shape), np.float32)
        for part in self._parts(len(bitstreams), shape):
            reader = SymbolDecoder(self._tables(), payloads[part], self.name)
            sums = [zlib.crc32(self._packed(shape))] * (part.stop - part.start)
            for block in self._blocks(shape):
                latents = self._code(reader, block, len(sums))
                sums = _summed(sums, latents)
                images[part, block.rows, block.columns] = self._restored(latents, block, shape[2])
            reader.finish()
            ends = [stream[-CHECKSUM_BYTES:] for stream in bitstreams[part]]
            if self.checksum and ends != [_checksum(crc) for crc in sums]:
                raise BitstreamError(f"{self.name}: the checksum is not that of the decoded latents")
        return images

    def container_bytes(self, bitstream: bytes) -> int:
        """The bytes of the header, for ``shape=any``, and of the checksum."""
        return self._header(bitstream)[1] + CHECKSUM_BYTES * self.checksum

    def estimate_bits(self, images: Images) -> npt.NDArray[np.float64]:
        """The information of the symbols under their tables; (N,)."""
        return np.concatenate([writer.bits() for writer, _ in self._written(images)])

    def _written(self, images: Images) -> Iterator[tuple[SymbolEncoder, list[int]]]:
        """The symbols of some images at a time, and the running checksums of their latents."""
        height, width, channels = images.shape[1:]
        shape, tables = (height, width, channels), self._tables()
        for part in self._parts(len(images), shape):
            writer = SymbolEncoder(tables, tables.slope(round_quality(self.quality)))
            sums = [zlib.crc32(self._packed(shape))] * (part.stop - part.start)
            for block in self._blocks(shape):
                latents = self._latents(block.filled(images[part]))
                sums = _summed(sums, self._code(writer, block, len(sums), latents))
            yield writer, sums

    def _code(
        self, coding: SymbolDecoder | SymbolEncoder, block: Block, count: int, latents: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The latents of one block of some images as the decoder gets them, encoded or decoded on the way."""
        network = self.shipped_network()
        size = (count, block.height // network.stride, block.width // network.stride)
        with _full_precision():
            return network.contexts.code(coding, size, round_quality(self.quality), latents)

    @torch.inference_mode()
    def _latents(self, images: Images) -> torch.Tensor:
        """Latents of filled blocks (N, H, W, C)."""
        pixels = to_tensor(images, self.device)
        network = self.shipped_network()
        pixels = pixels.expand(-1, network.channels, -1, -1)
        with _full_precision():
            latents = network.analyse(pixels, self._qualities(len(pixels)))
        if not bool(latents.isfinite().all()):
            raise WeightsError(f"{self.name}: the analysis gives values that are not finite numbers; train it anew")
        return latents

    @torch.inference_mode()
    def _restored(self, latents: torch.Tensor, block: Block, channels: int) -> FloatImages:
        """The pixels of one block of some images: float32, (N, rows, columns, channels)."""
        with _full_precision():
            images = self.shipped_network().synthesise(latents.float(), self._qualities(len(latents)))
        if channels < images.shape[1]:
            images = images.mean(1, keepdim=True)
        height, width = (part.stop - part.start for part in (block.rows, block.columns))
        return images[:, :, :height, :width].permute(0, 2, 3, 1).cpu().numpy()

    def _qualities(self, count: int) -> torch.Tensor:
        return torch.full((count,), round_quality(self.quality), device=self.device)

    def _tables(self) -> ScaleTables:
        return _tables_of(self.shipped_network(), self.weights_path(), self.name)

    def _packed(self, shape: Shape) -> bytes:
        """The header of an image."""
        height, width, channels = shape
        return pack_numbers((2 * height + (channels == 1), width)) if self.shape == ANY_SHAPE else b""

    def _header(self, bitstream: bytes) -> tuple[Shape, int]:
        """The shape of the image of a stream, and the number of bytes that code it."""
        if self.shape != ANY_SHAPE:
            return self.fixed[self.shape], 0
        (doubled, width), start = unpack_numbers(bitstream, 2, self.name)
        height, gray = divmod(doubled, 2)
        shape = (height, width, 1 if gray else 3)
        possible = 1 <= height * width <= MAX_PIXELS and _filled(shape) <= MOST_FILLED
        if not possible or self._packed(shape) != bitstream[:start]:
            raise BitstreamError(f"{self.name}: the header tells of no image ({format_shape((height, width))})")
        return shape, start

    def _blocks(self, shape: Shape) -> list[Block]:
        return blocks(shape[0], shape[1], LARGEST_BLOCK, self.shipped_network().unit)

    def _parts(self, count: int, shape: Shape) -> Iterator[slice]:
        """Batches of images that are processed together."""
        step = BATCH_PIXELS // (min(shape[0], LARGEST_BLOCK) * min(shape[1], LARGEST_BLOCK))
        return batches(count, step)

    def _check_lengths(self, payloads: Sequence[bytes], shape: Shape) -> None:
        """Refuses headers of larger images than the bytes can stand for, before anything of that size is allocated."""
        network = self.shipped_network()
        layout, places = network.contexts.layout, 0
        for block in self._blocks(shape):
            places += block.height * block.width // network.stride**2
        symbols = places * layout.channels + places // 16 * layout.hyper
        least = int(symbols * self._tables().least_bits / 8)
        for payload in payloads:
            if len(payload) < least:
                raise BitstreamError(f"{self.name}: such an image takes {least} bytes or more, not {len(payload)}")


@functools.lru_cache(maxsize=16)
def _tables_of(network: nn.Module, path: Path, owner: str) -> ScaleTables:
    """The shipped tables of a network; read once, since networks are loaded once."""
    return ScaleTables.of(shipped_tables(path), owner)


def _full_precision() -> AbstractContextManager[None]:
    """Convolutions in float32 on GPUs too, so that they restore the pixels that CPUs restore."""
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


def _filled(shape: Shape) -> int:
    """Pixels of an image once it is filled, at most."""
    height, width = (-(-side // FILL) * FILL for side in shape[:2])
    return height * width


def _summed(sums: Sequence[int], latents: torch.Tensor) -> list[int]:
    """Running checksums, with the latents (N, C, h, w) of one more block."""
    numbers = (latents * 2.0**ACTIVATION_BITS).to(torch.int32).cpu().numpy().astype("<i4")
    return [zlib.crc32(row.tobytes(), crc) for crc, row in zip(sums, numbers, strict=True)]


def _checksum(crc: int) -> bytes:
    return crc.to_bytes(4, "big")[-CHECKSUM_BYTES:]
