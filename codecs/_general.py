"""A base for general-purpose lossless compressors, which take an image as a string of bytes.

A stream is the shape as three variable-length integers, and the compressor's own bytes without the magic numbers and
checksums that its format can do without: what the settings or the shape say is not stored. A whole set is the number of
images and their shape, and one string of all images in their order.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

import codecbench as cb

from ._filters import FILTERS, apply_filter, filtered_size, undo_filter
from ._shape import unpack_shape

SWEPT_FILTERS = ("none", "adaptive")


def row_filter() -> str:
    """The setting ``filter``, which each of these codecs has as its last."""
    return cb.setting("none", choices=FILTERS, sweep=SWEPT_FILTERS, help="PNG's row filter, applied before compression")


def unpack(unpacker: Any, packed: bytes, size: int) -> bytes:
    """Decompresses ``size`` bytes with a decompressor object of Python's bz2, lzma or zlib.

    Raises:
        ValueError: the compressed data does not end with its last byte, or stands for more.
    """
    data: bytes = unpacker.decompress(packed, size + 1)
    if len(data) == size and not unpacker.eof:
        data += unpacker.decompress(b"", 1)  # bz2 looks at the end only when it is asked for more
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("the stream is cut short, or does not end where it should")
    return data


class GeneralCodec(cb.SetCodec, cb.Codec):
    """Samples row by row, channels interleaved, with or without a row filter of PNG, through a compressor. Lossless."""

    strongest: ClassVar[dict[str, cb.Value]] = {}
    """The settings at which the compressor makes the smallest streams."""
    lossless = True
    filter: str

    @abc.abstractmethod
    def compress(self, data: bytes) -> bytes:
        """Compresses 1 or more bytes."""

    @abc.abstractmethod
    def decompress(self, packed: bytes, size: int) -> bytes:
        """Restores ``size`` bytes from what :meth:`compress` returned; never holds more than a few times as many.

        Raises:
            Exception: of any kind, if ``packed`` is anything else.
        """

    def framing_bytes(self, packed: bytes) -> int:
        """How many of a compressor's bytes are headers, lengths and checksums, where the format makes that plain."""
        return 0

    # ---- one image a stream -------------------------------------------------------------------------------------

    def encode(self, images: cb.Images) -> list[bytes]:
        """Compresses each image by itself."""
        height, width, channels = images.shape[1:]
        self.check_shape((height, width, channels))
        header = cb.pack_numbers((height, width, channels))
        return [header + self.compress(rows.tobytes()) for rows in apply_filter(images, self.filter)]

    def decode(self, bitstreams: Sequence[bytes]) -> cb.Images:
        """Restores each image by itself; the filter is undone for all of them at once."""
        shapes, parts = set(), []
        for bitstream in bitstreams:
            shape, start = unpack_shape(bitstream, self.name)
            shapes.add(shape)
            if len(shapes) > 1:
                raise cb.BitstreamError(f"{self.name}: streams of one batch decode to images of different shapes")
            parts.append(self._unpacked(bitstream[start:], filtered_size(shape, self.filter)))
        return self._restored(b"".join(parts), len(parts), shape)

    def container_bytes(self, bitstream: bytes) -> int:
        """The bytes of the shape, and of the compressor's own framing."""
        start = unpack_shape(bitstream, self.name)[1]
        return start + self.framing_bytes(bitstream[start:])

    @classmethod
    def default_points(cls, shape: cb.Shape) -> list[dict[str, cb.Value]]:
        """The levels swept without a filter, and the last of them with the adaptive one."""
        plain = [point for point in super().default_points(shape) if point["filter"] == "none"]
        return [*plain, plain[-1] | {"filter": "adaptive"}]

    # ---- a set in one stream ------------------------------------------------------------------------------------

    def encode_set(self, images: cb.Images) -> bytes:
        """Compresses all images in one string, each filtered by itself."""
        count, height, width, channels = images.shape
        self.check_shape((height, width, channels))
        self.check_set(count, (height, width, channels))
        return cb.pack_numbers(images.shape) + self.compress(apply_filter(images, self.filter).tobytes())

    def decode_set(self, bitstream: bytes) -> cb.Images:
        """Restores a set."""
        (count, height, width, channels), start = cb.unpack_numbers(bitstream, 4, self.name)
        shape = (height, width, channels)
        try:
            self.check_shape(shape)
            self.check_set(count, shape)
        except cb.UnsupportedImageError as error:
            what = f"the header claims {count} images of {cb.format_shape(shape)}"
            raise cb.BitstreamError(f"{self.name}: {what}") from error
        size = count * filtered_size(shape, self.filter)
        return self._restored(self._unpacked(bitstream[start:], size), count, shape)

    @classmethod
    def set_points(cls, shape: cb.Shape) -> list[dict[str, cb.Value]]:
        """The strongest settings, with and without filter."""
        return [cls.strongest | {"filter": kind} for kind in SWEPT_FILTERS]

    # ---- both ---------------------------------------------------------------------------------------------------

    def _unpacked(self, packed: bytes, size: int) -> bytes:
        try:
            data = self.decompress(packed, size)
        except (cb.BitstreamError, MemoryError):
            raise
        except Exception as error:  # every library has exceptions of its own
            raise cb.BitstreamError(f"{self.name}: {error}") from error
        if len(data) != size:
            raise cb.BitstreamError(f"{self.name}: {size} bytes expected, {len(data)} found")
        return data

    def _restored(self, data: bytes, count: int, shape: cb.Shape) -> cb.Images:
        try:
            return undo_filter(np.frombuffer(data, np.uint8).reshape(count, -1), shape, self.filter)
        except ValueError as error:
            raise cb.BitstreamError(f"{self.name}: {error}") from error
