"""AVIF through Pillow, as libavif and libaom write it; lossy and lossless."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import AvifImagePlugin, ImageFile

from codecbench.errors import BitstreamError, PluginError, UnsupportedImageError
from codecbench.plugins.codec import Images, Shape
from codecbench.plugins.registry import register_codec
from codecbench.plugins.settings import Value, setting

from ._boxes import Box, only_box, read_boxes
from ._format import Layout
from ._imagecodecs import library, named_version
from ._pillow import PillowCodec

_SEQUENCE_HEADER = 1  # OBU types of the AV1 specification, section 6.2.2
_TEMPORAL_DELIMITER = 2
_EXACT = 100  # the quality at which libavif quantises nothing
_FULL_BOX = 4  # version and flags before the boxes inside "meta"


@register_codec
@dataclass(frozen=True)
class Avif(PillowCodec):
    """AVIF (AV1 Image File Format): a key frame of AV1 in an ISO base media file.

    Gray images are stored as AV1's monochrome (4:0:0), of which the file's ``av1C`` box tells the
    decoder. One thread encodes and one decodes.

    In lossless mode ``quality`` and ``subsampling`` mean nothing: nothing is quantised, and green, blue and red
    themselves are coded, at full resolution. Pillow has no way to ask for that (its quality 100 still converts RGB to
    YCbCr, which rounds), so RGB images are then written by the libavif of imagecodecs, and refused where that is not
    installed. Pillow decodes all of them.
    """

    plugin: ClassVar[type[ImageFile.ImageFile]] = AvifImagePlugin.AvifImageFile
    libraries: ClassVar[tuple[str, ...]] = ("avif",)
    max_side: ClassVar[int] = 32768  # libavif's default limit for decoding

    mode: str = setting("lossy", choices=("lossy", "lossless"), help="lossless codes RGB itself, not YCbCr")
    quality: int = setting(60, low=0, high=100, help="libavif's quality scale")
    subsampling: str = setting("4:2:0", choices=("4:4:4", "4:2:2", "4:2:0"), help="chroma subsampling of RGB images")
    speed: int = setting(6, low=0, high=10, help="effort: 0 is slow and small, 10 is fast")

    @property
    def lossless(self) -> bool:
        """True in lossless mode."""
        return self.mode == "lossless"

    @classmethod
    def default_points(cls, shape: Shape) -> list[dict[str, Value]]:
        """Ten lossy qualities, for RGB images with chroma at half resolution and at full, and lossless."""
        curves: list[dict[str, Value]] = [
            {"mode": "lossy", "quality": quality, "subsampling": subsampling}
            for subsampling in (("4:2:0", "4:4:4") if shape[2] == 3 else ("4:2:0",))
            for quality in (10, 20, 30, 40, 50, 60, 70, 80, 90, 97)
        ]
        return [*curves, {"mode": "lossless"}]

    def options(self, gray: bool) -> dict[str, Any]:
        """What ``Image.save`` is told."""
        subsampling = "4:0:0" if gray else self.subsampling
        quality = 100 if self.lossless else self.quality
        return {"quality": quality, "subsampling": subsampling, "speed": self.speed, "max_threads": 1}

    def check_shape(self, shape: Shape) -> None:
        """Refuses lossless RGB images where imagecodecs is not installed.

        Raises:
            UnsupportedImageError: those; also images that are neither gray nor RGB, or too large.
        """
        super().check_shape(shape)
        if self.lossless and shape[2] == 3:
            try:
                library("AVIF")
            except PluginError as error:
                raise UnsupportedImageError(f"{self.name}: no lossless RGB images: {error}") from error

    def encode_image(self, image: Images) -> bytes:
        """Compresses one uint8 image (H, W, C) with C = 1 or 3.

        Raises:
            UnsupportedImageError: see :meth:`check_shape`.
        """
        height, width, channels = image.shape
        if not self.lossless or channels != 3:
            return super().encode_image(image)
        self.check_shape((height, width, channels))
        avif = library("AVIF")
        asked = {"level": _EXACT, "pixelformat": "444", "matrix": avif.AVIF.MATRIX_COEFFICIENTS.IDENTITY}
        return bytes(avif.avif_encode(np.ascontiguousarray(image), speed=self.speed, numthreads=1, **asked))

    def decode_image(self, bitstream: bytes) -> Images:
        """Restores one uint8 image (H, W, C).

        Raises:
            BitstreamError: the stream is empty, cut short, damaged or foreign.
        """
        usual = AvifImagePlugin.DEFAULT_MAX_THREADS  # the only way to tell Pillow's decoder
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
        try:
            return super().decode_image(bitstream)
        finally:
            AvifImagePlugin.DEFAULT_MAX_THREADS = usual

    def inspect(self, bitstream: bytes) -> Layout:
        """Walks the boxes down to the image's properties, and reads the size in the AV1 sequence header.

        Everything outside the payload of ``mdat`` is container.

        Raises:
            BitstreamError: boxes that do not fit, or anything but a single still picture without alpha.
        """
        boxes = read_boxes(bitstream, 0, len(bitstream), self.name)
        if not boxes or boxes[0].kind != b"ftyp":
            raise BitstreamError(f"{self.name}: the stream does not begin with the header of AVIF")
        meta, data = only_box(boxes, b"meta", self.name), only_box(boxes, b"mdat", self.name)
        inner = read_boxes(bitstream, meta.start + _FULL_BOX, meta.end, self.name)
        properties = self._inside(bitstream, self._inside(bitstream, inner, b"iprp"), b"ipco")
        configuration = only_box(properties, b"av1C", self.name)
        if configuration.end - configuration.start < 4:
            raise BitstreamError(f"{self.name}: the configuration of the image is cut short")
        gray = bool(bitstream[configuration.start + 2] & 0x10)
        width, height = self._frame_size(bitstream[data.start : data.end])
        return Layout(width, height, len(bitstream) - (data.end - data.start), gray)

    def _inside(self, bitstream: bytes, boxes: list[Box], kind: bytes) -> list[Box]:
        box = only_box(boxes, kind, self.name)
        return read_boxes(bitstream, box.start, box.end, self.name)

    def _frame_size(self, data: bytes) -> tuple[int, int]:
        """Width and height in the sequence header (AV1 specification, 5.5.1): what a decoder allocates."""
        position = 0
        while len(data) >= position + 2:
            kind, extended, sized = data[position] >> 3 & 15, data[position] & 4, data[position] & 2
            length = data[position + 1]  # one byte of LEB128 is enough for both kinds
            if not sized or extended or length > 0x7F:
                break
            position += 2
            if kind == _SEQUENCE_HEADER:
                bits = "".join(f"{byte:08b}" for byte in data[position : position + length])
                if len(bits) < 18 or bits[3:5] != "11":  # still_picture, reduced_still_picture_header
                    break
                middle = 18 + int(bits[10:14], 2) + 1
                end = middle + int(bits[14:18], 2) + 1
                if len(bits) < end:
                    break
                return int(bits[18:middle], 2) + 1, int(bits[middle:end], 2) + 1
            if kind != _TEMPORAL_DELIMITER:
                break
            position += length
        raise BitstreamError(f"{self.name}: the image data does not begin with a still picture of AV1")

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Versions of Pillow, libavif, and the AV1 encoder and decoder inside it; also of imagecodecs' libavif."""
        imagecodecs: dict[str, str] = {}
        with contextlib.suppress(PluginError):  # for lossless RGB images alone
            libraries = named_version(library("AVIF").avif_version())
            imagecodecs = {"imagecodecs": str(library("AVIF").__version__), **libraries}
        found = {codec: AvifImagePlugin.get_codec_version(codec) for codec in ("aom", "dav1d", "rav1e", "svt")}
        return {**super().versions(), **imagecodecs, **{codec: version for codec, version in found.items() if version}}
