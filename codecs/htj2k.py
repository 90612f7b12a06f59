"""High-Throughput JPEG 2000 through imagecodecs, as OpenJPH writes it; lossy and lossless."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from codecbench.errors import BitstreamError
from codecbench.plugins.codec import Images, Shape
from codecbench.plugins.registry import register_codec
from codecbench.plugins.settings import Value, setting

from ._format import Layout
from ._imagecodecs import ImagecodecsCodec, Samples, library, raising

_SOC, _SIZ, _CAP, _COD, _QCD = b"\xff\x4f", b"\xff\x51", b"\xff\x50", b"\xff\x52", b"\xff\x5c"
_COM, _SOT, _SOD, _EOC = b"\xff\x64", b"\xff\x90", b"\xff\x93", b"\xff\xd9"
_SIZE = struct.Struct(">H8IH")  # capabilities, image and tile: size, offset; components
_HT = 0x4000  # in the capabilities: part 15 is needed
_CODE_BLOCK = b"\x04\x04"  # 64×64
_DEPTH = 42  # offset of the first component's bits a sample, less one, in the stream
_FINER_BITS = 4

library("HTJ2K")


@register_codec
@dataclass(frozen=True)
class Htj2k(ImagecodecsCodec):
    """High-Throughput JPEG 2000 (ISO/IEC 15444-15): the wavelets of JPEG 2000 with a fast block coder.

    Lossy images use the irreversible 9/7 wavelet and are quantised in steps of ``step``, a share of the samples'
    range: 0.0039 is about one level. There is no rate control. Lossless ones use the reversible 5/3 wavelet, and
    ``step`` means nothing. RGB goes through the standard's colour transform. Streams are bare codestreams; the comment
    in which OpenJPH tells its version, 25 bytes, is left out.
    """

    part: ClassVar[str] = "HTJ2K"

    mode: str = setting("lossy", choices=("lossy", "lossless"), help="9/7 or 5/3 wavelet")
    step: float = setting(0.02, low=0.0005, high=0.5, help="quantisation step of lossy images; 1 is the samples' range")
    decompositions: int = setting(5, low=1, high=10, help="levels of the wavelet transform")

    @property
    def lossless(self) -> bool:
        """True in lossless mode."""
        return self.mode == "lossless"

    @classmethod
    def default_points(cls, shape: Shape) -> list[dict[str, Value]]:
        """Ten steps from half of the range to half a level, and lossless."""
        steps = (0.5, 0.3, 0.18, 0.11, 0.07, 0.045, 0.028, 0.016, 0.008, 0.003)
        curve: list[dict[str, Value]] = [{"mode": "lossy", "step": step} for step in steps]
        return [*curve, {"mode": "lossless"}]

    def write(self, image: Samples) -> bytes:
        """Compresses one image (H, W) or (H, W, 3), and leaves the comment out."""
        quantised = {"reversible": True} if self.lossless else {"reversible": False, "level": self.step}
        stream = bytes(self.call("encode", image, resolutions=self.decompositions, **quantised))
        comment = stream.index(_COM)
        return stream[:comment] + stream[comment + 2 + int.from_bytes(stream[comment + 2 : comment + 4], "big") :]

    def inspect(self, bitstream: bytes) -> Layout:
        """Walks the marker segments of the codestream; everything but the packets is container.

        A codestream may describe far more structure than its bytes fill (tiles, layers, precincts), for which a decoder
        allocates. So only what this codec writes passes: one tile in one part, one layer, code blocks of 64×64.

        Raises:
            BitstreamError: lengths that do not fit, a missing end marker, or a structure that this codec does
                not write.
        """
        if not bitstream.startswith(_SOC + _SIZ):
            raise BitstreamError(f"{self.name}: the stream does not begin with the header of JPEG 2000")
        if not bitstream.endswith(_EOC):
            raise BitstreamError(f"{self.name}: the end-of-codestream marker is missing; is the stream cut short?")
        position, segments = 2, {}
        for marker in (_SIZ, _CAP, _COD, _QCD):
            length = int.from_bytes(bitstream[position + 2 : position + 4], "big")
            if bitstream[position : position + 2] != marker or length < 2:
                raise BitstreamError(f"{self.name}: no segment of the marker {marker.hex()} at byte {position}")
            segments[marker] = bitstream[position + 4 : position + 2 + length]
            position += 2 + length
        tile = bitstream[position : position + 14]
        if len(tile) < 14 or tile[:6] != _SOT + b"\x00\x0a\x00\x00" or tile[10] or tile[12:] != _SOD:
            raise BitstreamError(f"{self.name}: no tile follows the main header")
        if int.from_bytes(tile[6:10], "big") + position + 2 != len(bitstream):
            raise BitstreamError(f"{self.name}: the tile's length does not fit the stream")
        width, height, channels = self._size(segments[_SIZ])
        self._check_coding(segments, channels)
        return Layout(width, height, position + 14 + 2, channels == 1)

    def _size(self, segment: bytes) -> tuple[int, int, int]:
        """Width, height and number of components, from the SIZ segment."""
        if len(segment) < _SIZE.size:
            raise BitstreamError(f"{self.name}: the size of the image is cut short")
        needs, width, height, left, top, tile_width, tile_height, *offset, channels = _SIZE.unpack_from(segment)
        one_tile = (tile_width, tile_height) == (width, height) and not (left or top or any(offset))
        if needs != _HT or channels not in (1, 3) or segment[_SIZE.size :] != b"\x07\x01\x01" * channels:
            raise BitstreamError(f"{self.name}: the image is not 8-bit gray or RGB of high throughput")
        if not one_tile:
            raise BitstreamError(f"{self.name}: the image is not one tile")
        return width, height, channels

    def _check_coding(self, segments: dict[bytes, bytes], channels: int) -> None:
        """Refuses coding parameters that this codec does not write."""
        cap, cod, qcd = segments[_CAP], segments[_COD], segments[_QCD]
        transform = b"\x00\x02\x00\x01" + bytes([channels == 3])  # position first, one layer, colour transform
        known = len(cod) == 10 and cod[:5] == transform and cod[6:9] == _CODE_BLOCK + b"\x40" and cod[9] < 2
        bands = 1 + 3 * cod[5] if known and 1 <= cod[5] <= 10 else 0
        width = 1 if known and cod[9] else 2
        if len(cap) != 6 or cap[:4] != b"\x00\x02\x00\x00" or not bands or len(qcd) != 1 + width * bands:
            raise BitstreamError(f"{self.name}: the coding parameters are none that this codec writes")

    def read(self, data: bytes, layout: Layout) -> Images:
        """Decodes with OpenJPH: uint8 (H, W, C).

        OpenJPH 0.26 clips the samples of lossy images at the top to one level too many: 256, which imagecodecs stores
        as 0. So the header is told of four bits a sample more, and what comes out is rounded and clipped here. The
        quantisation steps are relative to the samples' range, so the image is the same in finer levels.

        Raises:
            BitstreamError: the stream contradicts itself.
            Exception: whatever imagecodecs raises.
        """
        cod = data.index(_COD)
        if data[cod + 13] == 1:  # the reversible wavelet
            return self.samples(self._decoded(data), layout)
        finer = bytearray(data)
        for component in range(1 if layout.gray else 3):
            finer[_DEPTH + 3 * component] += _FINER_BITS
        decoded = self._decoded(bytes(finer))
        if decoded.dtype != np.uint16:
            raise BitstreamError(f"{self.name}: the stream contradicts itself about the depth of its samples")
        half = np.uint16(1 << _FINER_BITS - 1)
        return self.samples(np.minimum((decoded + half) >> _FINER_BITS, 255).astype(np.uint8), layout)

    def _decoded(self, data: bytes) -> Any:
        with raising(self.name):  # imagecodecs 2026.3 hands out unfinished images otherwise
            return self.call("decode", data)
