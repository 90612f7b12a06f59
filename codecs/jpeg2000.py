"""JPEG 2000 through Pillow, as OpenJPEG writes it; lossy and lossless."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Jpeg2KImagePlugin

import codecbench as cb

from ._boxes import read_boxes
from ._codestream import COD, CODE_BLOCK, QCD, SIZ, walk
from ._format import Layout, LossyOrLossless, sweep
from ._pillow import PillowCodec

_SIGNATURE = b"\x00\x00\x00\x0cjP  \x0d\x0a\x87\x0a"
_BOXES = [b"jP  ", b"ftyp", b"jp2h", b"jp2c"]
# OpenJPEG signs its files with 37 letters; a comment of one is the shortest that Pillow writes.
_COMMENT = " "


@cb.register_codec
@dataclass(frozen=True)
class Jpeg2000(LossyOrLossless, PillowCodec):
    """JPEG 2000 (ISO/IEC 15444-1): wavelets, bit-plane coding with an arithmetic coder.

    Lossy images use the irreversible 9/7 wavelet and stop at ``psnr`` decibels, as the encoder estimates them; lossless
    ones use the reversible 5/3 wavelet, and ``psnr`` means nothing. RGB goes through the standard's colour transform.
    ``container=j2k`` is the bare codestream, which decoders read as it is; ``jp2`` adds the 85 bytes of boxes around
    it, as much as a small image itself may take.
    """

    plugin = Jpeg2KImagePlugin.Jpeg2KImageFile
    libraries = ("jpg_2000",)

    mode: str = cb.setting("lossy", choices=("lossy", "lossless"), help="9/7 or 5/3 wavelet")
    psnr: float = cb.setting(36.0, low=10, high=100, help="quality of lossy images in dB, as the encoder estimates it")
    container: str = cb.setting("j2k", choices=("j2k", "jp2"), help="bare codestream, or in a JP2 file")

    @classmethod
    def default_points(cls, shape: cb.Shape) -> list[dict[str, cb.Value]]:
        """Ten lossy qualities from 20 to 50 dB, and lossless."""
        curve = sweep("psnr", (20.0, 24.0, 27.0, 30.0, 33.0, 36.0, 39.0, 42.0, 46.0, 50.0), mode="lossy")
        return [*curve, {"mode": "lossless"}]

    def options(self, gray: bool) -> dict[str, Any]:
        """The options of ``Image.save``."""
        options = {"no_jp2": self.container == "j2k", "mct": 0 if gray else 1, "comment": _COMMENT}
        if self.lossless:
            return {**options, "irreversible": False}
        return {**options, "irreversible": True, "quality_mode": "dB", "quality_layers": [self.psnr]}

    def inspect(self, data: bytes) -> Layout:
        """Walks the boxes of a JP2 file and the marker segments of its codestream; all but the packets is container.

        Only one layer and code blocks of 64×64 pass, which is what this codec writes.
        """
        start, end = 0, len(data)
        if data.startswith(_SIGNATURE):
            boxes = read_boxes(data, 0, end)
            if [box.kind for box in boxes] != _BOXES:
                raise ValueError("the boxes are none that this codec writes")
            start, end = boxes[-1].start, boxes[-1].end
        stream = data[start:end]
        found = walk(stream, {SIZ, COD, QCD})
        coding = found.segments[COD]
        if len(coding) != 10 or coding[0] or coding[2:4] != b"\x00\x01" or coding[5] > 32 or coding[6:8] != CODE_BLOCK:
            raise ValueError("the coding parameters are none that this codec writes")
        return Layout(found.width, found.height, len(data) - found.packet_bytes, found.channels == 1, stream)
