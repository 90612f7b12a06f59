"""What the codecs that work through imagecodecs share: finding the library, writing, reading, versions.

imagecodecs wraps the formats' own libraries. It is an optional dependency: a plugin imports this module first, so that
without the library the plugin is listed with the reason, and the others go on working.
"""

from __future__ import annotations

import abc
import contextlib
import importlib
import re
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from codecbench.errors import BitstreamError, PluginError
from codecbench.plugins.codec import Images
from codecbench.text import one_line

from ._format import FormatCodec, Layout

Samples = npt.NDArray[np.uint8]
"""One image as imagecodecs takes it: (H, W) where it is gray, else (H, W, 3); contiguous."""


def library(part: str) -> Any:
    """imagecodecs, where it is installed and holds one of its parts.

    Args:
        part: name of the part's class of constants in imagecodecs, such as ``"JPEGXL"``.

    Raises:
        PluginError: it is not installed, or was built without that part; the message says what to install.
    """
    try:
        imagecodecs = importlib.import_module("imagecodecs")
    except ImportError as error:
        raise PluginError("imagecodecs is not installed; pip install codecbench[imagecodecs]") from error
    if not getattr(getattr(imagecodecs, part, None), "available", False):
        version = getattr(imagecodecs, "__version__", "unknown")
        raise PluginError(f"imagecodecs {version} comes without {part}; pip install -U codecbench[imagecodecs]")
    return imagecodecs


class ImagecodecsCodec(FormatCodec):
    """Base of the codecs that imagecodecs reads and writes, one image at a time, in one thread.

    Attributes:
        part: of imagecodecs, such as ``"JPEGXL"``; its functions begin with the same in small letters.
        needs_rgb: the format knows no gray; such images are written with three equal channels, and marked.
    """

    part: ClassVar[str]
    needs_rgb: ClassVar[bool] = False

    @abc.abstractmethod
    def write(self, image: Samples) -> bytes:
        """Compresses one image whose shape has been checked."""

    def encode_image(self, image: Images) -> bytes:
        """Compresses one uint8 image (H, W, C) with C = 1 or 3.

        Raises:
            UnsupportedImageError: see :meth:`check_shape`.
        """
        height, width, channels = image.shape
        self.check_shape((height, width, channels))
        if channels == 1 and not self.needs_rgb:
            image = image[:, :, 0]
        elif channels == 1:
            image = np.repeat(image, 3, axis=2)
        return self.write(np.ascontiguousarray(image))

    def read(self, data: bytes, layout: Layout) -> Images:
        """Decodes with imagecodecs: uint8 (H, W, C).

        Raises:
            BitstreamError: the image has another shape or type than the layout says.
            Exception: whatever imagecodecs raises.
        """
        return self.samples(self.call("decode", data), layout)

    def samples(self, decoded: npt.NDArray[Any], layout: Layout) -> Images:
        """A decoded image in the shape of the layout, (H, W, C).

        Raises:
            BitstreamError: it is of another shape or type, or its three channels differ though it is marked as gray.
        """
        stored = (layout.height, layout.width) if layout.gray else (layout.height, layout.width, 3)
        if layout.gray and self.needs_rgb and decoded.shape == (*stored, 3):
            if (decoded != decoded[:, :, :1]).any():
                raise BitstreamError(f"{self.name}: the stream is marked as gray, but its channels differ")
            decoded = decoded[:, :, 0]
        if decoded.shape != stored or decoded.dtype != np.uint8:
            raise BitstreamError(f"{self.name}: the stream contradicts itself about the shape of its image")
        return decoded.reshape(layout.height, layout.width, -1)

    @classmethod
    def call(cls, what: str, *arguments: Any, **options: Any) -> Any:
        """One of the part's functions: ``"encode"``, ``"decode"`` or ``"version"``."""
        return _function(cls.part, what)(*arguments, **options)

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Versions of imagecodecs and of the format's library inside it."""
        return {"imagecodecs": str(library(cls.part).__version__), **named_version(str(cls.call("version")))}


@cache
def _function(part: str, what: str) -> Any:
    return getattr(library(part), f"{part.lower()}_{what}")  # looking it up takes as long as QOI does for a digit


@contextlib.contextmanager
def raising(owner: str) -> Iterator[None]:
    """Raises what an extension module cannot raise itself, and only prints.

    Args:
        owner: the codec's name, for messages.

    Raises:
        BitstreamError: an exception was ignored within.
    """
    ignored: list[str] = []
    hooks = sys.unraisablehook, sys.excepthook
    # Cython prints such an exception with the one hook, and hands it to the other.
    sys.excepthook = lambda *found: None
    sys.unraisablehook = lambda found: ignored.append(one_line(found.exc_value or RuntimeError()))
    try:
        yield
    finally:
        sys.unraisablehook, sys.excepthook = hooks
    if ignored:
        raise BitstreamError(f"{owner}: not a stream that can be decoded ({ignored[0]})")


def named_version(text: str) -> dict[str, str]:
    """A library's name and version from what imagecodecs tells: ``libjxl 0.11.2``, ``charls-2.4.3``."""
    name, version, *_ = [*re.split(r"[ -]", text, maxsplit=1), "unknown"]
    return {name: version}
