"""JPEG-LS through imagecodecs, as CharLS writes it; lossless and near-lossless."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

import numpy as np

import codecbench as cb

from ._format import Layout, sweep
from ._imagecodecs import ImagecodecsCodec

_SOI, _EOI, _SOS, _SOF55, _APP8 = b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xf7", b"\xff\xe8"
_FRAME = struct.Struct(">BHHB")  # bits per sample, height, width, components
_HP1 = _APP8 + b"\x00\x07mrfx\x01"
# In entropy-coded data a zero bit follows each byte of ones, so that no marker can appear there.
_NEXT_MARKER = re.compile(rb"\xff[\x80-\xff]", re.DOTALL)
_MOST_HEADER_BYTES = 1024


@cb.register_codec
@dataclass(frozen=True)
class Jpegls(ImagecodecsCodec):
    """JPEG-LS (ITU-T T.87, LOCO-I): a median edge predictor, contexts, Golomb codes; lossless or of bounded error.

    RGB images are one scan, interleaved sample by sample. The standard's first part has no colour transform;
    ``transform=hp1`` takes green from red and blue, of lossless RGB images, and says so in the marker segment that
    Hewlett-Packard's implementation introduced and CharLS understands (9 bytes). Around the frame CharLS writes a
    SPIFF header of 44 bytes, which no decoder needs; it is left out here.

    CharLS 2.4 never returns from some damaged streams. The standard lets a component be identified by any byte; the
    first one's identifier is therefore a checksum of what follows (it costs nothing), and the others count on from it.
    It finds 255 of 256 damaged streams, but no forged ones.
    """

    part = "JPEGLS"
    max_side = 65535  # 16 bits in the frame header

    near: int = cb.setting(0, low=0, high=127, help="largest error of a sample, in levels; 0 is lossless")
    transform: str = cb.setting("none", choices=("none", "hp1"), help="colour transform of lossless RGB images")

    @property
    def lossless(self) -> bool:
        """True if no error is allowed."""
        return self.near == 0

    @classmethod
    def default_points(cls, shape: cb.Shape) -> list[dict[str, cb.Value]]:
        """Ten bounds of the error from 60 down to 1, and lossless; of RGB images that with the colour transform too."""
        points = sweep("near", (60, 40, 28, 20, 14, 10, 7, 4, 2, 1, 0))
        return [*points, {"near": 0, "transform": "hp1"}] if shape[2] == 3 else points

    def compress(self, image: cb.Images) -> bytes:
        """Compresses one image (H, W) or (H, W, 3), and removes the SPIFF header."""
        turned = self.transform == "hp1" and self.lossless and image.ndim == 3
        if turned:
            green = image[:, :, 1]
            red, blue = (image[:, :, channel] - green + np.uint8(128) for channel in (0, 2))  # modulo 256
            image = np.stack([red, green, blue], axis=2)
        # imagecodecs takes too small a buffer for some noisy images. A sample is coded in 32 bits at most, of which
        # bytes of ones push one more out.
        stream = bytes(self.call("encode", image, level=self.near, out=_MOST_HEADER_BYTES + 5 * image.nbytes))
        position = 2
        while not stream.startswith(_SOF55, position):
            _, position = _segment(stream, position, _APP8)
        body = bytearray(stream[position:])
        channels = body[9]
        scan = 10 + 3 * channels
        first = _identifier(bytes(body[4:10]), bytes(body[scan + 5 + 2 * channels : -2]))
        for number in range(channels):
            body[10 + 3 * number] = body[scan + 5 + 2 * number] = (first + number) % 256
        return _SOI + (_HP1 if turned else b"") + bytes(body)

    def inspect(self, data: bytes) -> Layout:
        """Walks the marker segments: frame, one scan, end. All but the scan's entropy-coded data is container."""
        if not data.startswith(_SOI):
            raise ValueError("the stream does not begin with the marker of JPEG-LS")
        position = 2 + len(_HP1) * data.startswith(_HP1, 2)
        frame, position = _segment(data, position, _SOF55)
        if len(frame) < 9:
            raise ValueError("the frame header is cut short")
        depth, height, width, channels = _FRAME.unpack_from(frame)
        first = frame[6]
        if depth != 8 or channels not in (1, 3) or frame[6:] != _components(first, channels, b"\x11\x00"):
            raise ValueError("the image is neither gray nor RGB of 8 bits")
        scan, position = _segment(data, position, _SOS)
        interleaved = b"\x02" if channels == 3 else b"\x00"
        expected = bytes([channels]) + _components(first, channels, b"\x00")
        if scan[:-3] != expected or scan[-3:-2] > b"\x7f" or scan[-2:] != interleaved + b"\x00":
            raise ValueError("the scan is none that this codec writes")
        found = _NEXT_MARKER.search(data, position)
        if found is None:
            raise ValueError("the stream ends within its scan")
        if data[found.start() :] != _EOI:
            raise ValueError("the end of the image does not follow its scan")
        if first != _identifier(frame[:6], scan[-3:] + data[position : found.start()]):
            raise ValueError("the stream does not match its checksum")
        return Layout(width, height, len(data) - (found.start() - position), gray=channels == 1)


def _segment(stream: bytes, position: int, marker: bytes) -> tuple[bytes, int]:
    """The content of the marker segment at a position, and the position after it."""
    length = int.from_bytes(stream[position + 2 : position + 4], "big")
    end = position + 2 + length
    if stream[position : position + 2] != marker or length < 2 or end > len(stream):
        what = f"no whole segment of the marker {marker.hex()} at byte {position}"
        raise ValueError(f"{what}; is the stream cut short?")
    return stream[position + 4 : end], end


def _components(first: int, channels: int, suffix: bytes) -> bytes:
    """The components' identifiers, counted on from the first, each followed by the same bytes."""
    return b"".join(bytes([(first + number) % 256]) + suffix for number in range(channels))


def _identifier(frame: bytes, scan: bytes) -> int:
    """The first component's identifier: the lowest byte of the CRC-32 of two parts of the stream.

    These are the frame header up to the number of components, and, from the last three bytes of the scan header on, the
    entropy-coded data.
    """
    return zlib.crc32(scan, zlib.crc32(frame)) & 0xFF
