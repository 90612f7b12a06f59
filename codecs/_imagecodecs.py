"""What the codecs that work through imagecodecs share: finding the library, writing, reading, versions.

imagecodecs wraps the formats' own libraries. It is an optional dependency: a plugin cannot be imported without it, and
is then listed with the reason.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

import codecbench as cb

from ._format import FormatCodec, Layout


def library(part: str) -> Any:
    """The module imagecodecs, if it has a part, given by the name of its class of constants, such as ``"JPEGXL"``.

    Raises:
        PluginError: it is not installed, or was built without that part; the message says what to install.
    """
    try:
        imagecodecs = importlib.import_module("imagecodecs")
    except ImportError as error:
        raise cb.PluginError("imagecodecs is not installed; pip install codecbench[imagecodecs]") from error
    if not getattr(getattr(imagecodecs, part, None), "available", False):
        version = getattr(imagecodecs, "__version__", "unknown")
        raise cb.PluginError(f"imagecodecs {version} comes without {part}; pip install -U codecbench[imagecodecs]")
    return imagecodecs


class ImagecodecsCodec(FormatCodec):
    """Base of the codecs that imagecodecs reads and writes, one image at a time, in one thread."""

    part: ClassVar[str]
    """Of imagecodecs, such as ``"JPEGXL"``; its functions begin with the same in small letters."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        library(cls.part)

    def write(self, image: cb.Images) -> bytes:
        """Compresses one uint8 image (H, W, C)."""
        image = image[:, :, 0] if image.shape[2] == 1 else image
        return self.compress(np.ascontiguousarray(image))

    def compress(self, image: cb.Images) -> bytes:
        """Compresses one image as imagecodecs takes it: contiguous, (H, W) if it is gray, else (H, W, 3)."""
        return bytes(self.call("encode", image))

    def read(self, data: bytes, layout: Layout) -> cb.Images:
        """Decodes one image: uint8 (H, W, C)."""
        return self.samples(self.call("decode", data), layout)

    def samples(self, decoded: npt.NDArray[Any], layout: Layout) -> cb.Images:
        """A decoded image in the shape of the layout, (H, W, C)."""
        stored = (layout.height, layout.width) if layout.gray else (layout.height, layout.width, 3)
        if layout.gray and not self.has_gray and decoded.shape == (*stored, 3):
            if (decoded != decoded[:, :, :1]).any():
                raise cb.BitstreamError(f"{self.name}: the stream is marked as gray, but its channels differ")
            decoded = decoded[:, :, 0]
        if decoded.shape != stored or decoded.dtype != np.uint8:
            raise cb.BitstreamError(f"{self.name}: the stream contradicts itself about the shape of its image")
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
    """Raises what an extension module only prints, because it cannot raise it itself, as ``BitstreamError``."""
    ignored: list[str] = []
    hooks = sys.unraisablehook, sys.excepthook
    # Cython prints such an exception with the one hook, and hands it to the other.
    sys.excepthook = lambda *found: None
    sys.unraisablehook = lambda found: ignored.append(cb.one_line(found.exc_value or RuntimeError()))
    try:
        yield
    finally:
        sys.unraisablehook, sys.excepthook = hooks
    if ignored:
        raise cb.BitstreamError(f"{owner}: not a stream that can be decoded ({ignored[0]})")


def named_version(text: str) -> dict[str, str]:
    """A library's name and version from a text of imagecodecs: ``libjxl 0.11.2``, ``charls-2.4.3``."""
    name, version, *_ = [*re.split(r"[ -]", text, maxsplit=1), "unknown"]
    return {name: version}
