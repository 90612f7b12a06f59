"""JPEG-LS through imagecodecs, as CharLS writes it; lossless and near-lossless."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from codecbench.errors import BitstreamError
from codecbench.plugins.codec import Shape
from codecbench.plugins.registry import register_codec
from codecbench.plugins.settings import Value, setting

from ._format import Layout
from ._imagecodecs import ImagecodecsCodec, Samples, library

_SOI, _EOI, _SOS, _SOF55, _APP8 = b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xf7", b"\xff\xe8"
_FRAME = struct.Struct(">BHHB")  # bits a sample, height, width, components
_HP1 = _APP8 + b"\x00\x07mrfx\x01"
# In entropy-coded data a zero bit follows each byte of ones, so that no marker can appear there.
_NEXT_MARKER = re.compile(rb"\xff[\x80-\xff]", re.DOTALL)
_MOST_HEADER_BYTES = 1024

library("JPEGLS")


@register_codec
@dataclass(frozen=True)
class Jpegls(ImagecodecsCodec):
    """JPEG-LS (ITU-T T.87, LOCO-I): a median edge predictor, contexts, Golomb codes; lossless or of bounded error.

    RGB images are one scan, interleaved sample by sample. The standard's first part has no colour transform;
    ``transform=hp1`` takes green from red and blue, of lossless RGB images, and says so in the marker segment that
    Hewlett-Packard's implementation introduced and CharLS understands (9 bytes). Around the frame CharLS writes a
    SPIFF header of 44 bytes, which no decoder needs; it is left out here.

    CharLS 2.4 never returns from some damaged streams. The standard lets a component be identified by any byte; the
    first one's identifier is therefore made a checksum of what follows (and costs nothing), the others count on from
    it. It finds 255 of 256 damages: that tells damage, not malice.
    """

    part: ClassVar[str] = "JPEGLS"
    max_side: ClassVar[int] = 65535  # 16 bits in the frame header

    near: int = setting(0, low=0, high=127, help="largest error of a sample, in levels; 0 is lossless")
    transform: str = setting("none", choices=("none", "hp1"), help="colour transform of lossless RGB images")

    @property
    def lossless(self) -> bool:
        """True where no error is allowed."""
        return self.near == 0

    @classmethod
    def default_points(cls, shape: Shape) -> list[dict[str, Value]]:
        """Ten bounds of the error from 60 down to 1, and lossless; of RGB images that with the colour transform too."""
        points: list[dict[str, Value]] = [{"near": near} for near in (60, 40, 28, 20, 14, 10, 7, 4, 2, 1, 0)]
        return [*points, {"near": 0, "transform": "hp1"}] if shape[2] == 3 else points

    def write(self, image: Samples) -> bytes:
        """Compresses one image (H, W) or (H, W, 3), and leaves the SPIFF header out."""
        turned = self.transform == "hp1" and self.lossless and image.ndim == 3
        if turned:
            green = image[:, :, 1]
            red, blue = (image[:, :, channel] - green + np.uint8(128) for channel in (0, 2))  # modulo 256
            image = np.stack([red, green, blue], axis=2)
        # imagecodecs takes too small a buffer for some noisy images. A sample is coded in 32 bits at most, of which
        # bytes of ones push one more out.
        stream = bytes(self.call("encode", image, level=self.near, out=_MOST_HEADER_BYTES + 5 * image.nbytes))
        body = bytearray(stream[stream.index(_SOF55) :])
        channels = body[9]
        scan = 10 + 3 * channels
        first = _identifier(bytes(body[4:10]), bytes(body[scan + 5 + 2 * channels : -2]))
        for number in range(channels):
            body[10 + 3 * number] = body[scan + 5 + 2 * number] = (first + number) % 256
        return _SOI + (_HP1 if turned else b"") + bytes(body)

    def inspect(self, bitstream: bytes) -> Layout:
        """Walks the marker segments: frame, one scan, end. All but the scan's entropy-coded data is container.

        Raises:
            BitstreamError: the segments are broken, or others than this codec writes.
        """
        if not bitstream.startswith(_SOI):
            raise BitstreamError(f"{self.name}: the stream does not begin with the marker of JPEG-LS")
        position = 2 + len(_HP1) * bitstream.startswith(_HP1, 2)
        frame, position = self._segment(bitstream, position, _SOF55)
        if len(frame) < 9:
            raise BitstreamError(f"{self.name}: the frame header is cut short")
        depth, height, width, channels = _FRAME.unpack_from(frame)
        first = frame[6]
        if depth != 8 or channels not in (1, 3) or frame[6:] != _components(first, channels, b"\x11\x00"):
            raise BitstreamError(f"{self.name}: the image is neither gray nor RGB of 8 bits")
        scan, position = self._segment(bitstream, position, _SOS)
        interleaved = b"\x02" if channels == 3 else b"\x00"
        expected = bytes([channels]) + _components(first, channels, b"\x00")
        if scan[:-3] != expected or scan[-3:-2] > b"\x7f" or scan[-2:] != interleaved + b"\x00":
            raise BitstreamError(f"{self.name}: the scan is none that this codec writes")
        found = _NEXT_MARKER.search(bitstream, position)
        if found is None:
            raise BitstreamError(f"{self.name}: the stream ends within its scan")
        if bitstream[found.start() :] != _EOI:
            raise BitstreamError(f"{self.name}: the end of the image does not follow its scan")
        if first != _identifier(frame[:6], scan[-3:] + bitstream[position : found.start()]):
            raise BitstreamError(f"{self.name}: the stream does not match its checksum")
        return Layout(width, height, len(bitstream) - (found.start() - position), gray=channels == 1)

    def _segment(self, bitstream: bytes, position: int, marker: bytes) -> tuple[bytes, int]:
        """The content of the marker segment at a position, and the position behind it."""
        length = int.from_bytes(bitstream[position + 2 : position + 4], "big")
        end = position + 2 + length
        if bitstream[position : position + 2] != marker or length < 2 or end > len(bitstream):
            what = f"no whole segment of the marker {marker.hex()} at byte {position}"
            raise BitstreamError(f"{self.name}: {what}; is the stream cut short?")
        return bitstream[position + 4 : end], end


def _components(first: int, channels: int, behind: bytes) -> bytes:
    """The components' identifiers, counted on from the first, each with the same bytes behind it."""
    return b"".join(bytes([(first + number) % 256]) + behind for number in range(channels))


def _identifier(frame: bytes, scan: bytes) -> int:
    """The first component's identifier: the lowest byte of a CRC-32.

    Args:
        frame: bits a sample, height, width and number of components, as in the frame header.
        scan: the last three bytes of the scan header and the entropy-coded data.
    """
    return zlib.crc32(scan, zlib.crc32(frame)) & 0xFF
