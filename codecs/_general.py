"""A base for general-purpose lossless compressors, which take an image as a string of bytes.

A stream is the shape as three variable-length integers, and the compressor's own bytes without magic numbers, names
and checksums where the format can do without: what is told by the settings or by the shape is not told again. A whole
set is the number of images and their shape, and one string of all images in their order.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from codecbench.errors import BitstreamError
from codecbench.plugins.codec import MAX_PIXELS, MAX_SET_BYTES, Codec, Images, SetCodec, Shape
from codecbench.plugins.settings import Value
from codecbench.plugins.varint import pack_numbers, unpack_numbers
from codecbench.text import format_shape

from ._filters import apply_filter, filtered_size, undo_filter
from ._shape import pack_shape, unpack_shape

SWEPT_FILTERS = ("none", "adaptive")


class GeneralCodec(SetCodec, Codec):
    """Samples row by row, channels interleaved, with or without a filter of PNG, through a compressor. Lossless.

    Attributes:
        filter: a setting of each codec: one of ``_filters.FILTERS``.
        strongest: the settings at which the compressor makes the smallest streams.
    """

    made_of: ClassVar[tuple[str, ...]] = ("codecbench.plugins.varint",)
    strongest: ClassVar[dict[str, Value]] = {}
    filter: str

    @abc.abstractmethod
    def compress(self, data: bytes) -> bytes:
        """Compresses 1 or more bytes."""

    @abc.abstractmethod
    def decompress(self, packed: bytes, size: int) -> bytes:
        """Restores what :meth:`compress` was given.

        Args:
            packed: what it gave, or anything else.
            size: how many bytes are wanted; no more than a few times as many are ever held.

        Returns:
            So many bytes.

        Raises:
            BitstreamError: ``packed`` is something else, or of another number of bytes.
        """

    def framing_bytes(self, packed: bytes) -> int:
        """How many of a compressor's bytes are headers, lengths and checksums, as far as that is plain."""
        return 0

    @property
    def lossless(self) -> bool:
        """Always true."""
        return True

    # ---- one image a stream -------------------------------------------------------------------------------------

    def encode(self, images: Images) -> list[bytes]:
        """Compresses each image by itself.

        Raises:
            UnsupportedImageError: neither gray nor RGB, or too large.
        """
        height, width, channels = images.shape[1:]
        self.check_shape((height, width, channels))
        header = pack_shape((height, width, channels))
        return [header + self.compress(rows.tobytes()) for rows in apply_filter(images, self.filter)]

    def decode(self, bitstreams: Sequence[bytes]) -> Images:
        """Restores each image by itself; filters are undone for all at once.

        Raises:
            BitstreamError: a stream is damaged, or they are of images of different shapes.
        """
        shapes, parts = set(), []
        for bitstream in bitstreams:
            shape, start = unpack_shape(bitstream, self.name)
            shapes.add(shape)
            if len(shapes) > 1:
                raise BitstreamError(f"{self.name}: streams of one batch decode to images of different shapes")
            parts.append(self._unpacked(bitstream[start:], filtered_size(shape, self.filter)))
        return self._restored(b"".join(parts), len(parts), shape)

    def container_bytes(self, bitstream: bytes) -> int:
        """The bytes of the shape, and of the compressor's own framing where that is plain."""
        start = unpack_shape(bitstream, self.name)[1]
        return start + self.framing_bytes(bitstream[start:])

    # ---- a set in one stream ------------------------------------------------------------------------------------

    def encode_set(self, images: Images) -> bytes:
        """Compresses all images in one string, each filtered by itself.

        Raises:
            UnsupportedImageError: neither gray nor RGB, or too large.
        """
        count, height, width, channels = images.shape
        self.check_shape((height, width, channels))
        self.check_set(count, (height, width, channels))
        return pack_numbers(images.shape) + self.compress(apply_filter(images, self.filter).tobytes())

    def decode_set(self, bitstream: bytes) -> Images:
        """Restores a set.

        Raises:
            BitstreamError: the stream is damaged.
        """
        (count, height, width, channels), start = unpack_numbers(bitstream, 4, self.name)
        shape = (height, width, channels)
        plausible = channels in (1, 3) and min(count, height, width) >= 1 and height * width <= MAX_PIXELS
        if not plausible or count * height * width * channels > MAX_SET_BYTES:
            raise BitstreamError(f"{self.name}: the header tells of {count} images of {format_shape(shape)}")
        size = count * filtered_size(shape, self.filter)
        return self._restored(self._unpacked(bitstream[start:], size), count, shape)

    @classmethod
    def set_points(cls, shape: Shape) -> list[dict[str, Value]]:
        """The strongest settings, with and without filter."""
        return [cls.strongest | {"filter": kind} for kind in SWEPT_FILTERS]

    @classmethod
    def default_points(cls, shape: Shape) -> list[dict[str, Value]]:
        """The levels swept without a filter, and the last of them with the adaptive one."""
        plain = [point for point in super().default_points(shape) if point["filter"] == "none"]
        return [*plain, plain[-1] | {"filter": "adaptive"}]

    # ---- both ---------------------------------------------------------------------------------------------------

    def _unpacked(self, packed: bytes, size: int) -> bytes:
        data = self.decompress(packed, size)
        if len(data) != size:
            raise BitstreamError(f"{self.name}: {size} bytes expected, {len(data)} found")
        return data

    def _restored(self, data: bytes, count: int, shape: Shape) -> Images:
        try:
            return undo_filter(np.frombuffer(data, np.uint8).reshape(count, -1), shape, self.filter)
        except ValueError as error:
            raise BitstreamError(f"{self.name}: {error}") from error

    def damaged(self, what: object) -> BitstreamError:
        """The error to raise for a stream that the compressor's library refuses."""
        return BitstreamError(f"{self.name}: {what}")
