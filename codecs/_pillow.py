"""What the codecs that work through Pillow share: writing, reading, versions."""

from __future__ import annotations

import abc
import io
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import PIL
from PIL import Image, ImageFile, features

from codecbench.errors import BitstreamError
from codecbench.plugins.codec import Images

from ._format import FormatCodec, Layout


class PillowCodec(FormatCodec):
    """Base of the codecs that Pillow reads and writes, one image at a time.

    Attributes:
        plugin: Pillow's class for the format; no other format is ever tried.
        libraries: names of Pillow's features whose versions decide the bytes.
    """

    plugin: ClassVar[type[ImageFile.ImageFile]]
    libraries: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def options(self, gray: bool) -> dict[str, Any]:
        """What ``Image.save`` is told, for gray or for RGB images."""

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

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Versions of Pillow and of the libraries inside it."""
        return {"pillow": PIL.__version__, **library_versions(cls.libraries)}


def library_versions(names: tuple[str, ...]) -> Mapping[str, str]:
    """Versions of Pillow's features, ``"unknown"`` where one does not tell; absent ones are left out."""
    return {name: features.version(name) or "unknown" for name in names if features.check(name)}
