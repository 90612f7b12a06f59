"""What the codecs that work through Pillow share: writing, reading, versions."""

from __future__ import annotations

import abc
import io
import warnings
from typing import Any, ClassVar

import numpy as np
import PIL
from PIL import Image, ImageFile, features

import codecbench as cb

from ._format import FormatCodec, Layout


class PillowCodec(FormatCodec):
    """Base of the codecs that Pillow reads and writes, one image at a time."""

    plugin: ClassVar[type[ImageFile.ImageFile]]
    """Pillow's class for the format; no other format is ever tried."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """Names of Pillow's features whose versions decide the bytes."""

    @abc.abstractmethod
    def options(self, gray: bool) -> dict[str, Any]:
        """The options of ``Image.save``, for gray or for RGB images."""

    def write(self, image: cb.Images) -> bytes:
        """Compresses one uint8 image (H, W, C)."""
        height, width, channels = image.shape
        mode = "L" if channels == 1 else "RGB"
        picture = Image.frombuffer(mode, (width, height), np.ascontiguousarray(image), "raw", mode, 0, 1)
        buffer = io.BytesIO()
        picture.save(buffer, format=self.plugin.format, **self.options(channels == 1))
        return buffer.getvalue()

    def read(self, data: bytes, layout: Layout) -> cb.Images:
        """Decodes with Pillow's class for the format, whose warnings are errors here."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with self.plugin(io.BytesIO(data)) as picture:
                if picture.size != (layout.width, layout.height):
                    raise cb.BitstreamError(f"{self.name}: the stream contradicts itself about the size of its image")
                if getattr(picture, "n_frames", 1) != 1:
                    raise cb.BitstreamError(f"{self.name}: the stream holds an animation")
                picture.load()
                if picture.mode not in ("L", "RGB"):
                    raise cb.BitstreamError(
                        f"{self.name}: the image is neither gray nor RGB but of mode {picture.mode}"
                    )
                plain: Image.Image = picture
                if layout.gray and picture.mode == "RGB":
                    plain = picture.convert("L")  # the identity where all three channels agree
                return self.pixels(plain, layout)

    def pixels(self, picture: Image.Image, layout: Layout) -> cb.Images:
        """The samples of a decoded picture, uint8 (H, W, C), read-only."""
        shape = layout.height, layout.width, 1 if layout.gray else 3
        if (picture.height, picture.width, len(picture.getbands())) != shape:
            raise cb.BitstreamError(f"{self.name}: the stream contradicts itself about the shape of its image")
        return np.frombuffer(picture.tobytes(), dtype=np.uint8).reshape(shape)

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Versions of Pillow and of the libraries inside it; ``"unknown"`` if one has none."""
        found = {name: features.version(name) or "unknown" for name in cls.libraries if features.check(name)}
        return {"pillow": PIL.__version__, **found}
