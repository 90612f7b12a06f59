"""What the codecs of published file formats share: the walk over a stream's structure before a library sees it.

A library is given a stream only after the codec's own :meth:`FormatCodec.inspect` has walked its outer structure. That
finds streams cut short (some decoders accept them silently), data behind the end, and headers that claim more pixels
than ``codecbench.plugins.codec.MAX_PIXELS`` before anything is allocated for them.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

from codecbench.errors import BitstreamError, UnsupportedImageError
from codecbench.plugins.codec import MAX_PIXELS, Images, PerImageCodec, Shape
from codecbench.text import format_shape, one_line


@dataclass(frozen=True)
class Layout:
    """What a stream's outer structure says.

    Attributes:
        width: of the image, in pixels.
        height: of the image, in pixels.
        container_bytes: bytes that are headers and tables rather than image data.
        gray: the image has one channel, also where the format itself stores three.
        image: the part of the stream that the library reads; all of it where this is None.
    """

    width: int
    height: int
    container_bytes: int
    gray: bool
    image: bytes | None = None


class FormatCodec(PerImageCodec):
    """Base of the codecs whose streams are files of a published format, one image at a time.

    Attributes:
        max_side: longest side that the format or its library takes, in pixels.
    """

    max_side: ClassVar[int] = MAX_PIXELS

    @abc.abstractmethod
    def inspect(self, bitstream: bytes) -> Layout:
        """Walks the outer structure of a stream, allocating nothing.

        Raises:
            BitstreamError: the structure is broken, ends early, or is none that this codec writes.
        """

    @abc.abstractmethod
    def read(self, data: bytes, layout: Layout) -> Images:
        """Decodes what :meth:`inspect` has let through: uint8 (H, W, C).

        Raises:
            Exception: whatever the library raises; :meth:`decode_image` turns it into ``BitstreamError``.
        """

    def check_shape(self, shape: Shape) -> None:
        """Refuses images with a side beyond the format's limit.

        Raises:
            UnsupportedImageError: a side is too long, or the image is neither gray nor RGB, or too large.
        """
        super().check_shape(shape)
        if max(shape[:2]) > self.max_side:
            raise UnsupportedImageError(
                f"{self.name} takes images of up to {self.max_side} pixels a side, not {format_shape(shape)}"
            )

    def decode_image(self, bitstream: bytes) -> Images:
        """Restores one uint8 image (H, W, C) with C = 1 or 3.

        Raises:
            BitstreamError: the stream is empty, cut short, damaged, of another format, or of an image that
                this codec does not write (too large, animated, with alpha, more than 8 bits).
        """
        layout = self._checked_layout(bitstream)
        try:
            return self.read(bitstream if layout.image is None else layout.image, layout)
        except BitstreamError:
            raise
        except Exception as error:  # libraries and their bindings raise whatever they happen to raise
            raise BitstreamError(f"{self.name}: not a stream that can be decoded ({one_line(error)})") from error

    def _checked_layout(self, bitstream: bytes) -> Layout:
        if not bitstream:
            raise BitstreamError(f"{self.name}: the stream is empty")
        layout = self.inspect(bitstream)
        if min(layout.width, layout.height) < 1 or layout.width * layout.height > MAX_PIXELS:
            raise BitstreamError(f"{self.name}: the header tells of {layout.width}×{layout.height} pixels")
        return layout

    def container_bytes(self, bitstream: bytes) -> int:
        """Bytes of a stream that are headers and tables rather than image data.

        Raises:
            BitstreamError: the structure of the stream is broken.
        """
        return self._checked_layout(bitstream).container_bytes
