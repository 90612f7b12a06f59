"""What the codecs of published file formats share: the walk over a stream's structure before a library reads it.

A library is given a stream only after the codec's own :meth:`FormatCodec.inspect` has walked its outer structure. That
finds streams cut short (some decoders accept them silently), data after the end, and headers that claim more pixels
than ``codecbench.MAX_PIXELS`` before anything is allocated for them.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

import codecbench as cb

_GRAY = b"L"  # no file of a format that is marked with it begins with this letter


@dataclass(frozen=True)
class Layout:
    """What a stream's outer structure says about the image, whose sides are in pixels."""

    width: int
    height: int
    container_bytes: int  # headers and tables rather than image data
    gray: bool = False  # the image has one channel, even if the format itself stores three
    image: bytes | None = None  # the part of the stream that the library reads; None for all of it


class FormatCodec(cb.PerImageCodec):
    """Base of the codecs whose streams are files of a published format, one image at a time."""

    max_side: ClassVar[int] = cb.MAX_PIXELS
    """Longest side that the format or its library takes, in pixels."""
    has_gray: ClassVar[bool] = True
    """False: gray images are stored as RGB with equal channels, and marked by one byte ``L`` before the file."""

    @abc.abstractmethod
    def write(self, image: cb.Images) -> bytes:
        """Compresses one uint8 image (H, W, C) whose shape has been checked; C = 3 if the format has no gray."""

    @abc.abstractmethod
    def inspect(self, data: bytes) -> Layout:
        """Walks the outer structure of a stream, allocating nothing.

        Raises:
            ValueError: the structure is broken, ends early, or is none that this codec writes.
        """

    @abc.abstractmethod
    def read(self, data: bytes, layout: Layout) -> cb.Images:
        """Decodes a stream that :meth:`inspect` has accepted: uint8 (H, W, C).

        Raises:
            Exception: whatever the library raises; :meth:`decode_image` turns it into ``BitstreamError``.
        """

    def check_shape(self, shape: cb.Shape) -> None:
        """Refuses images with a side beyond the format's limit."""
        super().check_shape(shape)
        if max(shape[:2]) > self.max_side:
            limit = f"takes images of up to {self.max_side} pixels a side"
            raise cb.UnsupportedImageError(f"{self.name} {limit}, not {cb.format_shape(shape)}")

    def encode_image(self, image: cb.Images) -> bytes:
        """Compresses one uint8 image (H, W, C) with C = 1 or 3."""
        height, width, channels = image.shape
        self.check_shape((height, width, channels))
        if channels == 1 and not self.has_gray:
            return _GRAY + self.write(np.repeat(image, 3, axis=2))
        return self.write(image)

    def decode_image(self, bitstream: bytes) -> cb.Images:
        """Restores one uint8 image (H, W, C) with C = 1 or 3.

        Raises:
            BitstreamError: the stream is empty, cut short, damaged, of another format, or of an image that this codec
                does not write (too large, animated, with alpha, more than 8 bits).
        """
        layout = self._layout(bitstream)
        try:
            return self.read(bitstream if layout.image is None else layout.image, layout)
        except cb.BitstreamError:
            raise
        except Exception as error:  # libraries and their bindings raise whatever they happen to raise
            raise cb.BitstreamError(f"{self.name}: not a stream that can be decoded ({cb.one_line(error)})") from error

    def container_bytes(self, bitstream: bytes) -> int:
        """Bytes of a stream that are headers and tables rather than image data, the mark of gray images included."""
        return self._layout(bitstream).container_bytes

    def _layout(self, bitstream: bytes) -> Layout:
        marked = not self.has_gray and bitstream[:1] == _GRAY
        try:
            if not bitstream:
                raise ValueError("the stream is empty")
            layout = self.inspect(bitstream[1:] if marked else bitstream)
            if min(layout.width, layout.height) < 1 or layout.width * layout.height > cb.MAX_PIXELS:
                raise ValueError(f"the header claims {layout.width}×{layout.height} pixels")
        except ValueError as error:
            raise cb.BitstreamError(f"{self.name}: {error}") from error
        if marked:
            layout = replace(layout, gray=True, container_bytes=layout.container_bytes + 1, image=bitstream[1:])
        return layout


class LossyOrLossless(FormatCodec):
    """A format with a setting ``mode``, which is ``lossy`` or ``lossless``."""

    mode: str

    @property
    def lossless(self) -> bool:
        """True in lossless mode."""
        return self.mode == "lossless"


def sweep(key: str, values: Iterable[cb.Value], **fixed: cb.Value) -> list[dict[str, cb.Value]]:
    """Points of a rate–distortion curve: one setting takes each of some values, others are fixed."""
    return [{**fixed, key: value} for value in values]
