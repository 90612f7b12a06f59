"""JPEG XL through imagecodecs, as libjxl writes it; lossy and lossless."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import codecbench as cb

from ._format import Layout, LossyOrLossless, sweep
from ._imagecodecs import ImagecodecsCodec
from ._jxl_frames import Bits, require_end

_SIGNATURE = b"\xff\x0a"
_HEADER_BYTES = 64  # no header that this codec writes takes half as many
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height
_SIDE = ((9, 1), (13, 1), (18, 1), (30, 1))  # bits, and what is added
_ENUM = ((0, 0), (0, 1), (4, 2), (6, 18))
_GRAY, _CUSTOM = 1, 2  # colour space; white point or primaries given as numbers


@cb.register_codec
@dataclass(frozen=True)
class Jxl(LossyOrLossless, ImagecodecsCodec):
    """JPEG XL (ISO/IEC 18181): a DCT of varied block sizes in the XYB colour space, or modular coding for lossless.

    Lossy images are quantised for ``distance``, the encoder's measure of visible difference (Butteraugli; 1.0 is meant
    to be barely seen); ``effort`` says how long it searches. In lossless mode ``distance`` means nothing. Streams are
    bare codestreams, without boxes. One thread encodes and one decodes.
    """

    part = "JPEGXL"
    max_side = 1 << 18  # level 5 of the codestream, ISO/IEC 18181-1, annex M

    mode: str = cb.setting("lossy", choices=("lossy", "lossless"), help="VarDCT or modular")
    distance: float = cb.setting(1.0, low=0.01, high=25, help="Butteraugli distance of lossy images; small is good")
    effort: int = cb.setting(7, low=1, high=10, help="1 is fast, 10 is small")

    @classmethod
    def default_points(cls, shape: cb.Shape) -> list[dict[str, cb.Value]]:
        """Eleven distances from 16 down to 0.2, and lossless twice; from 20 on libjxl takes twice as long.

        Lossless images are coded with libjxl's default effort and with 9; 10 takes many times as long for little.
        """
        curve = sweep("distance", (16.0, 12.0, 9.0, 7.0, 5.0, 3.5, 2.4, 1.6, 1.0, 0.5, 0.2), mode="lossy")
        return [*curve, {"mode": "lossless"}, {"mode": "lossless", "effort": 9}]

    def compress(self, image: cb.Images) -> bytes:
        """Compresses one image (H, W) or (H, W, 3)."""
        target: dict[str, Any] = {"lossless": True} if self.lossless else {"distance": self.distance}
        return bytes(self.call("encode", image, effort=self.effort, numthreads=1, **target))

    def inspect(self, data: bytes) -> Layout:
        """Reads the image's header, bit by bit, up to the first frame; it is what counts as container.

        The frames must end with the stream. Their own headers, tables of contents and entropy codes count as data:
        they are packed by the bit, and for the most part entropy-coded themselves. Only plain still images of 8-bit
        gray or RGB pass.
        """
        if not data.startswith(_SIGNATURE):
            raise ValueError("the stream does not begin with the signature of JPEG XL")
        header = Bits(data[2:_HEADER_BYTES])
        width, height = _size(header)
        gray, xyb = (False, True) if header.take(1) else _colours(header)
        if not header.take(1):  # the usual transform
            raise ValueError("the image's header is none that this codec writes")
        start = len(_SIGNATURE) + header.align()
        if start >= len(data):
            raise ValueError("the stream ends within its header")
        if width * height <= cb.MAX_PIXELS:  # others are refused for that
            require_end(data, start, width, height, xyb)
        return Layout(width, height, start, gray)

    def read(self, data: bytes, layout: Layout) -> cb.Images:
        """Decodes with libjxl, in this thread: uint8 (H, W, C)."""
        return self.samples(self.call("decode", data, numthreads=1), layout)


def _size(header: Bits) -> tuple[int, int]:
    """Width and height, in pixels (ISO/IEC 18181-1, annex D.2)."""
    small = header.take(1)

    def side() -> int:
        return 8 * (header.take(5) + 1) if small else header.number(_SIDE)

    height = side()
    ratio = header.take(3)
    if not ratio:
        return side(), height
    across, down = _RATIOS[ratio - 1]
    return height * across // down, height


def _colours(header: Bits) -> tuple[bool, bool]:
    """Reads image metadata that are not the default ones (ISO/IEC 18181-1, annex D): whether it is gray, and in XYB."""
    # Orientation, preview, animation; floating point; bits per sample; buffers of any width; extra channels.
    extra, floating, depth, _, channels = (header.take(count) for count in (1, 1, 2, 1, 2))
    if extra or floating or depth or channels:
        raise ValueError("the image is not a plain one of 8 bits")
    xyb = bool(header.take(1))
    gray = False
    if not header.take(1):
        profile, space = header.take(1), header.number(_ENUM)
        gray = space == _GRAY
        if profile or space > _GRAY or header.number(_ENUM) == _CUSTOM:
            raise ValueError("the image's colours are none that this codec writes")
        if not gray and header.number(_ENUM) == _CUSTOM:
            raise ValueError("the image's colours are none that this codec writes")
        if header.take(1):
            header.take(24)  # gamma
        else:
            header.number(_ENUM)  # transfer function
        header.number(_ENUM)  # rendering intent
    if header.take(2):
        raise ValueError("the image's header has extensions")
    return gray, xyb
