"""What the codecs that work through Pillow share: writing, guarded reading, versions.

Pillow is given a stream only after the codec's own :meth:`PillowCodec.inspect` has walked its outer
structure. That finds streams cut short (some decoders accept them silently), data behind the end, and
headers that claim more pixels than ``codecbench.codec.MAX_PIXELS`` before anything is allocated for
them.
"""

from __future__ import annotations

import abc
import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import PIL
from PIL import Image, ImageFile, features

from codecbench.codec import MAX_PIXELS, Images, PerImageCodec, format_shape
from codecbench.errors import BitstreamError, UnsupportedImageError, one_line
from codecbench.records import Shape


@dataclass(frozen=True)
class Layout:
    """What a stream's outer structure says.

    Attributes:
        width: of the image, in pixels.
        height: of the image, in pixels.
        container_bytes: bytes that are headers and tables rather than image data.
        gray: the image has one channel, also where the format itself stores three.
        image: the part of the stream that Pillow reads; all of it where this is None.
    """

    width: int
    height: int
    container_bytes: int
    gray: bool
    image: bytes | None = None


class PillowCodec(PerImageCodec):
    """Base of the codecs that Pillow reads and writes, one image at a time.

    Attributes:
        plugin: Pillow's class for the format; no other format is ever tried.
        libraries: names of Pillow's features whose versions decide the bytes.
        max_side: longest side that the format or its library takes, in pixels.
    """

    plugin: ClassVar[type[ImageFile.ImageFile]]
    libraries: ClassVar[tuple[str, ...]] = ()
    max_side: ClassVar[int] = MAX_PIXELS

    @abc.abstractmethod
    def options(self, gray: bool) -> dict[str, Any]:
        """What ``Image.save`` is told, for gray or for RGB images."""

    @abc.abstractmethod
    def inspect(self, bitstream: bytes) -> Layout:
        """Walks the outer structure of a stream, allocating nothing.

        Raises:
            BitstreamError: the structure is broken, ends early, or is none that this codec writes.
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

    def encode_image(self, image: Images) -> bytes:
        """Compresses one uint8 image (H, W, C) with C = 1 or 3.

        Raises:
            UnsupportedImageError: see :meth:`check_shape`.
        """
        height, width, channels = image.shape
        self.check_shape((height, width, channels))
        gray = channels == 1
        mode = "L" if gray else "RGB"
        picture = Image.frombuffer(mode, (width, height), np.ascontiguousarray(image), "raw", mode, 0, 1)
        buffer = io.BytesIO()
        picture.save(buffer, format=self.plugin.format, **self.options(gray))
        return buffer.getvalue()

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
        except Exception as error:  # Pillow's plugins raise whatever their parsers happen to raise
            raise BitstreamError(f"{self.name}: not a stream that can be decoded ({one_line(error)})") from error

    def read(self, data: bytes, layout: Layout) -> Images:
        """Decodes what :meth:`inspect` has let through, with Pillow's class for the format.

        Raises:
            Exception: whatever Pillow raises; its warnings are errors here.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with self.plugin(io.BytesIO(data)) as picture:
                if picture.size != (layout.width, layout.height):
                    raise BitstreamError(f"{self.name}: the stream contradicts itself about the size of its image")
                if getattr(picture, "n_frames", 1) != 1:
                    raise BitstreamError(f"{self.name}: the stream holds an animation")
                picture.load()
                if picture.mode not in ("L", "RGB"):
                    raise BitstreamError(f"{self.name}: the image is neither gray nor RGB but of mode {picture.mode}")
                plain: Image.Image = picture
                if layout.gray and picture.mode == "RGB":
                    plain = picture.convert("L")  # the identity where all three channels agree
                return self.pixels(plain, layout)

    def pixels(self, picture: Image.Image, layout: Layout) -> Images:
        """The samples of a decoded picture, uint8 (H, W, C), read-only.

        Raises:
            BitstreamError: it has another shape than the layout says.
        """
        shape = layout.height, layout.width, 1 if layout.gray else 3
        if (picture.height, picture.width, len(picture.getbands())) != shape:
            raise BitstreamError(f"{self.name}: the stream contradicts itself about the shape of its image")
        return np.frombuffer(picture.tobytes(), dtype=np.uint8).reshape(shape)

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

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Versions of Pillow and of the libraries inside it."""
        return {"pillow": PIL.__version__, **library_versions(cls.libraries)}


def library_versions(names: tuple[str, ...]) -> Mapping[str, str]:
    """Versions of Pillow's features, ``"unknown"`` where one does not tell; absent ones are left out."""
    return {name: features.version(name) or "unknown" for name in names if features.check(name)}
