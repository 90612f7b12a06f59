"""AVIF through Pillow, as libavif and libaom write it; lossy and lossless."""

from __future__ import annotations

import contextlib
import itertools
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import AvifImagePlugin

import codecbench as cb

from ._boxes import only_box, read_boxes
from ._format import Layout, LossyOrLossless, sweep
from ._imagecodecs import library, named_version
from ._pillow import PillowCodec

_SEQUENCE_HEADER = 1  # OBU types of the AV1 specification, section 6.2.2
_TEMPORAL_DELIMITER = 2
_EXACT = 100  # the quality at which libavif quantises nothing
_QUALITIES = (10, 20, 30, 40, 50, 60, 70, 80, 90, 97)
_EXTENT = struct.Struct(">II")  # where the image's data are, and how many; the end of the box "iloc"
_FULL_BOX = 4  # version and flags before the boxes inside "meta"


@cb.register_codec
@dataclass(frozen=True)
class Avif(LossyOrLossless, PillowCodec):
    """AVIF (AV1 Image File Format): a key frame of AV1 in an ISO base media file.

    Gray images are stored as AV1's monochrome (4:0:0), which the file's ``av1C`` box records. One thread encodes and
    one decodes.

    In lossless mode ``quality`` and ``subsampling`` mean nothing: nothing is quantised, and green, blue and red
    themselves are coded, at full resolution. Pillow has no way to ask for that (its quality 100 still converts RGB to
    YCbCr, which rounds), so RGB images are then written by the libavif of imagecodecs, and refused where that is not
    installed. Pillow decodes all of them.
    """

    plugin = AvifImagePlugin.AvifImageFile
    libraries = ("avif",)
    max_side = 32768  # libavif's default limit for decoding

    mode: str = cb.setting("lossy", choices=("lossy", "lossless"), help="lossless codes RGB itself, not YCbCr")
    quality: int = cb.setting(60, low=0, high=100, help="libavif's quality scale")
    subsampling: str = cb.setting("4:2:0", choices=("4:4:4", "4:2:2", "4:2:0"), help="chroma subsampling of RGB images")
    speed: int = cb.setting(6, low=0, high=10, help="effort: 0 is slow and small, 10 is fast")

    @classmethod
    def default_points(cls, shape: cb.Shape) -> list[dict[str, cb.Value]]:
        """Ten lossy qualities, for RGB images with chroma at half resolution and at full, and lossless."""
        chroma = ("4:2:0", "4:4:4") if shape[2] == 3 else ("4:2:0",)
        curves = [sweep("quality", _QUALITIES, mode="lossy", subsampling=subsampling) for subsampling in chroma]
        return [*itertools.chain(*curves), {"mode": "lossless"}]

    def options(self, gray: bool) -> dict[str, Any]:
        """The options of ``Image.save``."""
        subsampling = "4:0:0" if gray else self.subsampling
        quality = 100 if self.lossless else self.quality
        return {"quality": quality, "subsampling": subsampling, "speed": self.speed, "max_threads": 1}

    def check_shape(self, shape: cb.Shape) -> None:
        """Refuses lossless RGB images if imagecodecs is not installed."""
        super().check_shape(shape)
        if self.lossless and shape[2] == 3:
            try:
                library("AVIF")
            except cb.PluginError as error:
                raise cb.UnsupportedImageError(f"{self.name}: no lossless RGB images: {error}") from error

    def write(self, image: cb.Images) -> bytes:
        """Compresses one uint8 image (H, W, C)."""
        if not self.lossless or image.shape[2] == 1:
            return super().write(image)
        avif = library("AVIF")
        asked = {"level": _EXACT, "pixelformat": "444", "matrix": avif.AVIF.MATRIX_COEFFICIENTS.IDENTITY}
        return bytes(avif.avif_encode(np.ascontiguousarray(image), speed=self.speed, numthreads=1, **asked))

    def read(self, data: bytes, layout: Layout) -> cb.Images:
        """Decodes with Pillow in one thread."""
        usual = AvifImagePlugin.DEFAULT_MAX_THREADS  # Pillow's decoder has no option for it
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
        try:
            return super().read(data, layout)
        finally:
            AvifImagePlugin.DEFAULT_MAX_THREADS = usual

    def inspect(self, data: bytes) -> Layout:
        """Walks the boxes down to the image's properties, and reads the size in the AV1 sequence header.

        Everything outside the payload of ``mdat`` is container. Only a single still picture without alpha passes.
        """
        boxes = read_boxes(data, 0, len(data))
        if [box.kind for box in boxes] != [b"ftyp", b"meta", b"mdat"]:
            raise ValueError("the stream does not have the boxes of an AVIF image alone")
        _, meta, media = boxes
        inner = read_boxes(data, meta.start + _FULL_BOX, meta.end)
        offset, length = _EXTENT.unpack_from(data, only_box(inner, b"iloc").end - _EXTENT.size)
        if (offset, offset + length) != (media.start, media.end):
            raise ValueError("the image is not all that the box mdat holds")
        for kind in (b"iprp", b"ipco"):
            box = only_box(inner, kind)
            inner = read_boxes(data, box.start, box.end)
        configuration = only_box(inner, b"av1C")
        if configuration.end - configuration.start < 4:
            raise ValueError("the configuration of the image is cut short")
        gray = bool(data[configuration.start + 2] & 0x10)
        width, height = _frame_size(data[media.start : media.end])
        return Layout(width, height, len(data) - (media.end - media.start), gray)

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Versions of Pillow, libavif, and the AV1 encoder and decoder inside it; also of imagecodecs' libavif."""
        imagecodecs: dict[str, str] = {}
        with contextlib.suppress(cb.PluginError):  # for lossless RGB images alone
            libraries = named_version(library("AVIF").avif_version())
            imagecodecs = {"imagecodecs": str(library("AVIF").__version__), **libraries}
        found = {codec: AvifImagePlugin.get_codec_version(codec) for codec in ("aom", "dav1d", "rav1e", "svt")}
        return {**super().versions(), **imagecodecs, **{codec: version for codec, version in found.items() if version}}


def _frame_size(data: bytes) -> tuple[int, int]:
    """Width and height in the sequence header (AV1 specification, 5.5.1): what a decoder allocates."""
    position = 0
    while len(data) >= position + 2:
        kind, extended, sized = data[position] >> 3 & 15, data[position] & 4, data[position] & 2
        length = data[position + 1]  # one byte of LEB128 is enough for either kind
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
    raise ValueError("the image data does not begin with a still picture of AV1")
