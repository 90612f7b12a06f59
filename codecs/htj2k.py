"""High-Throughput JPEG 2000 through imagecodecs, as OpenJPH writes it; lossy and lossless."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import codecbench as cb

from ._codestream import CAP, COD, COM, QCD, SIZ, main_header, walk
from ._format import Layout, LossyOrLossless, sweep
from ._imagecodecs import ImagecodecsCodec, raising

_ONE_PIXEL = struct.pack(">II", 1, 1)  # the sides of the image, and of its tile
_DEPTH = 36  # offset of the first component's bits per sample, less one, in the SIZ segment
_FINER_BITS = 4


@cb.register_codec
@dataclass(frozen=True)
class Htj2k(LossyOrLossless, ImagecodecsCodec):
    """High-Throughput JPEG 2000 (ISO/IEC 15444-15): the wavelets of JPEG 2000 with a fast block coder.

    Lossy images use the irreversible 9/7 wavelet and are quantised in steps of ``step``, a share of the samples'
    range: 0.0039 is about one level. There is no rate control. Lossless ones use the reversible 5/3 wavelet, and
    ``step`` means nothing. RGB goes through the standard's colour transform. Streams are bare codestreams, without the
    comment of 25 bytes that holds OpenJPH's version.
    """

    part = "HTJ2K"

    mode: str = cb.setting("lossy", choices=("lossy", "lossless"), help="9/7 or 5/3 wavelet")
    step: float = cb.setting(
        0.02, low=0.0005, high=0.5, help="quantisation step of lossy images; 1 is the samples' range"
    )
    decompositions: int = cb.setting(5, low=1, high=10, help="levels of the wavelet transform")

    @classmethod
    def default_points(cls, shape: cb.Shape) -> list[dict[str, cb.Value]]:
        """Ten steps from half of the range to half a level, and lossless."""
        curve = sweep("step", (0.5, 0.3, 0.18, 0.11, 0.07, 0.045, 0.028, 0.016, 0.008, 0.003), mode="lossy")
        return [*curve, {"mode": "lossless"}]

    def compress(self, image: cb.Images) -> bytes:
        """Compresses one image (H, W) or (H, W, 3), and removes the comment."""
        quantised = {"reversible": True} if self.lossless else {"reversible": False, "level": self.step}
        stream = bytes(self.call("encode", image, resolutions=self.decompositions, **quantised))
        comment = main_header(stream)[0][COM]
        return stream[: comment.start - 4] + stream[comment.stop :]

    def inspect(self, data: bytes) -> Layout:
        """Walks the marker segments of the codestream; everything but the packets is container.

        OpenJPH trusts the main header: exponents that do not fit make it write out of bounds. So but for the image's
        size that header must be the one that this codec writes at its settings.
        """
        found = walk(data, {SIZ, CAP, COD, QCD})
        own = _main_header(self.mode, self.step, self.decompositions, found.channels)
        sides = struct.pack(">II", found.width, found.height)
        if not data.startswith(own.replace(_ONE_PIXEL, sides)):
            raise ValueError("the main header is none that this codec writes at these settings")
        return Layout(found.width, found.height, len(data) - found.packet_bytes, found.channels == 1)

    def read(self, data: bytes, layout: Layout) -> cb.Images:
        """Decodes with OpenJPH: uint8 (H, W, C).

        OpenJPH 0.26 clips the samples of lossy images at the top to one level too many: 256, which imagecodecs stores
        as 0. So the header given to it claims four more bits per sample, and the result is rounded and clipped here.
        The quantisation steps are relative to the samples' range, so the image is the same in finer levels.
        """
        segments, _ = main_header(data)
        if data[segments[COD].start + 9] == 1:  # the reversible wavelet
            return self.samples(self._decoded(data), layout)
        finer = bytearray(data)
        for component in range(1 if layout.gray else 3):
            finer[segments[SIZ].start + _DEPTH + 3 * component] += _FINER_BITS
        decoded = self._decoded(bytes(finer))
        if decoded.dtype != np.uint16:
            raise cb.BitstreamError(f"{self.name}: the stream contradicts itself about the depth of its samples")
        half = np.uint16(1 << _FINER_BITS - 1)
        return self.samples(np.minimum((decoded + half) >> _FINER_BITS, 255).astype(np.uint8), layout)

    def _decoded(self, data: bytes) -> Any:
        with raising(self.name):  # imagecodecs 2026.3 returns unfinished images otherwise
            return self.call("decode", data)


@cache
def _main_header(mode: str, step: float, decompositions: int, channels: int) -> bytes:
    """The main header of an image of one pixel."""
    image = np.zeros((1, 1) if channels == 1 else (1, 1, channels), np.uint8)
    stream = Htj2k(mode=mode, step=step, decompositions=decompositions).compress(image)
    return stream[: main_header(stream)[1]]
