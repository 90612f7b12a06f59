"""JPEG 2000 through Pillow, as OpenJPEG writes it; lossy and lossless."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, ClassVar

from PIL import ImageFile, Jpeg2KImagePlugin

from codecbench.errors import BitstreamError
from codecbench.plugins.codec import Shape
from codecbench.plugins.registry import register_codec
from codecbench.plugins.settings import Value, setting

from ._boxes import only_box, read_boxes
from ._format import Layout
from ._pillow import PillowCodec

_SIGNATURE = b"\x00\x00\x00\x0cjP  \x0d\x0a\x87\x0a"
_SOC, _SIZ, _COD, _QCD, _COM = b"\xff\x4f", b"\xff\x51", b"\xff\x52", b"\xff\x5c", b"\xff\x64"
_SOT, _SOD, _EOC = b"\xff\x90", b"\xff\x93", b"\xff\xd9"
# OpenJPEG signs its files with 37 letters; a comment of one is the shortest that Pillow writes.
_COMMENT = " "
_CODE_BLOCK = b"\x04\x04"  # 64×64


@register_codec
@dataclass(frozen=True)
class Jpeg2000(PillowCodec):
    """JPEG 2000 (ISO/IEC 15444-1): wavelets, bit-plane coding with an arithmetic coder.

    Lossy images use the irreversible 9/7 wavelet and stop at ``psnr`` decibels, as the encoder
    estimates them; lossless ones use the reversible 5/3 wavelet, and ``psnr`` means nothing. RGB goes
    through the standard's colour transform. ``container=j2k`` is the bare codestream, which decoders
    read as it is; ``jp2`` adds the 85 bytes of boxes around it, as much as a small image itself may
    take.
    """

    plugin: ClassVar[type[ImageFile.ImageFile]] = Jpeg2KImagePlugin.Jpeg2KImageFile
    libraries: ClassVar[tuple[str, ...]] = ("jpg_2000",)

    mode: str = setting("lossy", choices=("lossy", "lossless"), help="9/7 or 5/3 wavelet")
    psnr: float = setting(36.0, low=10, high=100, help="quality of lossy images in dB, as the encoder estimates it")
    container: str = setting("j2k", choices=("j2k", "jp2"), help="bare codestream, or in a JP2 file")

    @property
    def lossless(self) -> bool:
        """True in lossless mode."""
        return self.mode == "lossless"

    @classmethod
    def default_points(cls, shape: Shape) -> list[dict[str, Value]]:
        """Ten lossy qualities from 20 to 50 dB, and lossless."""
        curve: list[dict[str, Value]] = [
            {"mode": "lossy", "psnr": psnr} for psnr in (20.0, 24.0, 27.0, 30.0, 33.0, 36.0, 39.0, 42.0, 46.0, 50.0)
        ]
        return [*curve, {"mode": "lossless"}]

    def options(self, gray: bool) -> dict[str, Any]:
        """What ``Image.save`` is told."""
        options = {"no_jp2": self.container == "j2k", "mct": 0 if gray else 1, "comment": _COMMENT}
        if self.lossless:
            return {**options, "irreversible": False}
        return {**options, "irreversible": True, "quality_mode": "dB", "quality_layers": [self.psnr]}

    def inspect(self, bitstream: bytes) -> Layout:
        """Walks the boxes of a JP2 file and the marker segments of its codestream.

        Everything but the packets is container.

        A codestream may describe far more structure than its bytes fill (tiles, layers, precincts), for
        which a decoder allocates. So only what this codec writes passes: one tile in one part, one
        layer, code blocks of 64×64.

        Raises:
            BitstreamError: lengths that do not fit, a missing end marker, or a structure that this
            codec does
                not write.
        """
        start, end = 0, len(bitstream)
        if bitstream.startswith(_SIGNATURE):
            box = only_box(read_boxes(bitstream, 0, end, self.name), b"jp2c", self.name)
            start, end = box.start, box.end
        stream = bitstream[start:end]
        if not stream.startswith(_SOC + _SIZ):
            raise BitstreamError(f"{self.name}: the stream does not begin with the header of JPEG 2000")
        if not stream.endswith(_EOC):
            raise BitstreamError(f"{self.name}: the end-of-codestream marker is missing; is the stream cut short?")
        segments, position = self._main_header(stream)
        tile = stream[position : position + 14]
        if len(tile) < 14 or tile[2:6] != b"\x00\x0a\x00\x00" or tile[10] or tile[12:] != _SOD:
            raise BitstreamError(f"{self.name}: no tile follows the main header")
        if int.from_bytes(tile[6:10], "big") + position + 2 != len(stream):
            raise BitstreamError(f"{self.name}: the tile's length does not fit the stream")
        width, height, channels = self._size(segments[_SIZ])
        coding = segments[_COD]
        if len(coding) != 10 or coding[0] or coding[2:4] != b"\x00\x01" or coding[5] > 32 or coding[6:8] != _CODE_BLOCK:
            raise BitstreamError(f"{self.name}: the coding parameters are none that this codec writes")
        data = len(stream) - position - 14 - 2
        return Layout(width, height, len(bitstream) - data, channels == 1, stream)

    def _main_header(self, stream: bytes) -> tuple[dict[bytes, bytes], int]:
        """The main header's marker segments by marker, and the offset of the first tile part."""
        segments: dict[bytes, bytes] = {}
        position = 2
        while (marker := stream[position : position + 2]) != _SOT:
            length = int.from_bytes(stream[position + 2 : position + 4], "big")
            if marker not in (_SIZ, _COD, _QCD, _COM) or marker in segments or length < 2:
                raise BitstreamError(f"{self.name}: unexpected marker {marker.hex()} at byte {position}")
            segments[marker] = stream[position + 4 : position + 2 + length]
            position += 2 + length
        if missing := {_SIZ, _COD, _QCD} - segments.keys():
            raise BitstreamError(f"{self.name}: the main header lacks {', '.join(sorted(m.hex() for m in missing))}")
        return segments, position

    def _size(self, segment: bytes) -> tuple[int, int, int]:
        """Width, height and number of components, from the SIZ segment."""
        if len(segment) < 36:
            raise BitstreamError(f"{self.name}: the size of the image is cut short")
        _, width, height, left, top, tile_width, tile_height, *tile_offset, channels = struct.unpack_from(
            ">H8IH", segment
        )
        one_tile = (tile_width, tile_height) == (width, height) and not (left or top or any(tile_offset))
        if channels not in (1, 3) or segment[36:] != b"\x07\x01\x01" * channels or not one_tile:
            raise BitstreamError(f"{self.name}: the image is not one tile of 8-bit gray or RGB")
        return width, height, channels
