"""JPEG XR through imagecodecs, as jxrlib writes it; lossy and lossless."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import codecbench as cb

from ._format import Layout, LossyOrLossless, sweep
from ._imagecodecs import ImagecodecsCodec

_SIGNATURE = b"II\xbc\x01"
_DIRECTORY = 32  # offset of the tags, after the signature, the pixel format and the checksum
_TAG = struct.Struct("<HHII")  # number, type, values, value or where it is
_BYTE, _LONG, _FLOAT = 1, 4, 11
_FORMATS = {True: "24c3dd6f034efe4bb1853d77768dc908", False: "24c3dd6f034efe4bb1853d77768dc90d"}  # gray; BGR, 8 bits
_DOTS_PER_INCH = 0x42C00000  # 96, as a float
_CONTAINER_BYTES = 134
_START = struct.Struct(">8s4B")  # signature, version, how the image is cut, how its size is written, colour and depth
_SIZES = {0xC0: struct.Struct(">HH"), 0x40: struct.Struct(">II")}  # width and height less one; the long form from 4081
_MACROBLOCK = 16


@cb.register_codec
@dataclass(frozen=True)
class Jpegxr(LossyOrLossless, ImagecodecsCodec):
    """JPEG XR (ITU-T T.832, HD Photo): a lapped biorthogonal transform of 4×4 blocks, adaptive Huffman codes.

    ``quality`` is that of imagecodecs, which sets more by it than the quantiser: below 50 the blocks overlap twice, and
    RGB has its chroma at half resolution (4:2:0); from 50 on it is 4:4:4, so that rate and quality jump. Lossless
    images use the reversible form of the transform, without quantisation, and ``quality`` means nothing.

    Damaged codestreams make jxrlib read and write out of bounds. So the codestream's CRC-32 is written into four of the
    eight unused bytes between the file's signature and its tags. Other decoders skip them; this one refuses a stream
    that does not match. That finds damaged streams, but no forged ones, which can end the decoder's process.
    """

    part = "JPEGXR"
    max_side = 65535

    mode: str = cb.setting("lossy", choices=("lossy", "lossless"), help="with or without quantisation")
    quality: int = cb.setting(
        75, low=1, high=99, help="imagecodecs' quality scale; below 50 chroma is at half resolution"
    )

    @classmethod
    def default_points(cls, shape: cb.Shape) -> list[dict[str, cb.Value]]:
        """Eleven lossy qualities, and lossless."""
        return [*sweep("quality", (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 96), mode="lossy"), {"mode": "lossless"}]

    def compress(self, image: cb.Images) -> bytes:
        """Compresses one image (H, W) or (H, W, 3)."""
        stream = bytes(self.call("encode", image, level=1.0 if self.lossless else self.quality / 100))
        height, width = image.shape[:2]
        return _container(width, height, image.ndim == 2, stream[_CONTAINER_BYTES:]) + stream[_CONTAINER_BYTES:]

    def check_shape(self, shape: cb.Shape) -> None:
        """Refuses images of one column of macroblocks if the transform overlaps twice, as jxrlib does."""
        super().check_shape(shape)
        if self.mode == "lossy" and self.quality < 50 and shape[1] <= _MACROBLOCK:
            what = f"takes images of more than {_MACROBLOCK} pixels a row at qualities below 50"
            raise cb.UnsupportedImageError(f"{self.name} {what}, not {cb.format_shape(shape)}")

    def inspect(self, data: bytes) -> Layout:
        """Compares the file around the codestream with the one that this codec writes, and reads the codestream's size.

        jxrlib trusts the tags of the file and the flags of the codestream. So both must be as they are written here,
        agree about the image, and fit the checksum. Container are the 134 bytes before the codestream, and its
        header of 16 or 20.
        """
        if not data.startswith(_SIGNATURE):
            raise ValueError("the stream does not begin with the signature of JPEG XR")
        codestream = data[_CONTAINER_BYTES:]
        if len(codestream) <= _START.size + 8:
            raise ValueError("the stream ends within its header")
        name, version, cut, form, samples = _START.unpack_from(codestream)
        plain = (name, version) == (b"WMPHOTO\0", 0x11) and cut in (0, 1, 2) and samples in (0x01, 0x71)
        if not plain or form not in _SIZES:
            raise ValueError("the codestream is none of 8-bit gray or RGB that this codec writes")
        width, height = (less + 1 for less in _SIZES[form].unpack_from(codestream, _START.size))
        if max(width, height) > self.max_side:
            raise ValueError(f"the header claims {width}×{height} pixels")
        gray = samples == 0x01
        if data[:_CONTAINER_BYTES] != _container(width, height, gray, codestream):
            raise ValueError("the file does not fit its codestream; is it cut short or altered?")
        return Layout(width, height, _CONTAINER_BYTES + _START.size + _SIZES[form].size, gray)


def _container(width: int, height: int, gray: bool, codestream: bytes) -> bytes:
    """What stands before the codestream (ITU-T T.832, annex A): a directory of eight tags, as in TIFF, and a CRC-32."""
    tags = (
        (0xBC01, _BYTE, 16, 8),  # the pixel format
        (0xBC02, _LONG, 1, 0),  # not turned
        (0xBC80, _LONG, 1, width),
        (0xBC81, _LONG, 1, height),
        (0xBC82, _FLOAT, 1, _DOTS_PER_INCH),
        (0xBC83, _FLOAT, 1, _DOTS_PER_INCH),
        (0xBCC0, _LONG, 1, _CONTAINER_BYTES),
        (0xBCC1, _LONG, 1, len(codestream)),
    )
    head = _SIGNATURE + struct.pack("<I", _DIRECTORY) + bytes.fromhex(_FORMATS[gray])
    checksum = struct.pack("<II", zlib.crc32(codestream), 0)
    directory = struct.pack("<H", len(tags)) + b"".join(_TAG.pack(*tag) for tag in tags)
    return head + checksum + directory + bytes(4)  # no other directory follows
