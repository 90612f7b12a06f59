"""A walk over codestreams of JPEG 2000 (ISO/IEC 15444-1, annex A), with either of its two block coders.

A codestream may describe far more structure than its bytes fill (tiles, layers, precincts), for which a decoder
allocates. So only what the codecs here write passes: 8-bit gray or RGB in one tile, which is in one part.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

SIZ, CAP, COD, QCD, COM = b"\xff\x51", b"\xff\x50", b"\xff\x52", b"\xff\x5c", b"\xff\x64"
CODE_BLOCK = b"\x04\x04"  # 64×64
_SOC, _SOT, _SOD, _EOC = b"\xff\x4f", b"\xff\x90", b"\xff\x93", b"\xff\xd9"
_SIZE = struct.Struct(">H8IH")  # capabilities, image and tile: size, offset; components
_TILE_BYTES = 14  # SOT segment and SOD marker


@dataclass(frozen=True)
class Codestream:
    """What a codestream says of itself; sides in pixels."""

    segments: dict[bytes, bytes]  # contents of the main header's marker segments, by marker
    capabilities: int
    width: int
    height: int
    channels: int
    packet_bytes: int  # everything else is headers


def main_header(stream: bytes) -> tuple[dict[bytes, slice], int]:
    """Where the contents of the main header's marker segments are, by marker, and the offset of the first tile part."""
    if not stream.startswith(_SOC + SIZ):
        raise ValueError("the stream does not begin with the header of JPEG 2000")
    segments: dict[bytes, slice] = {}
    position = 2
    while (marker := stream[position : position + 2]) != _SOT:
        length = int.from_bytes(stream[position + 2 : position + 4], "big")
        if marker not in (SIZ, CAP, COD, QCD, COM) or marker in segments or length < 2:
            raise ValueError(f"unexpected marker {marker.hex()} at byte {position}")
        segments[marker] = slice(position + 4, position + 2 + length)
        position += 2 + length
    return segments, position


def walk(stream: bytes, required: set[bytes]) -> Codestream:
    """Walks a codestream whose main header has some marker segments, and perhaps a comment, and no others.

    Raises:
        ValueError: lengths that do not fit, a missing end marker, or a structure that the codecs here do not write.
    """
    places, position = main_header(stream)
    if not stream.endswith(_EOC):
        raise ValueError("the end-of-codestream marker is missing; is the stream cut short?")
    if wrong := (places.keys() - {COM}) ^ required:
        raise ValueError(
            f"missing or unexpected markers in the main header: {', '.join(sorted(m.hex() for m in wrong))}"
        )
    tile = stream[position : position + _TILE_BYTES]
    if len(tile) < _TILE_BYTES or tile[2:6] != b"\x00\x0a\x00\x00" or tile[10] or tile[12:] != _SOD:
        raise ValueError("no tile follows the main header")
    if int.from_bytes(tile[6:10], "big") + position + 2 != len(stream):
        raise ValueError("the tile's length does not fit the stream")
    size = stream[places[SIZ]]
    if len(size) < _SIZE.size:
        raise ValueError("the size of the image is cut short")
    capabilities, width, height, left, top, tile_width, tile_height, *offset, channels = _SIZE.unpack_from(size)
    if channels not in (1, 3) or size[_SIZE.size :] != b"\x07\x01\x01" * channels:
        raise ValueError("the image is not 8-bit gray or RGB")
    if (tile_width, tile_height) != (width, height) or left or top or any(offset):
        raise ValueError("the image is not one tile")
    segments = {marker: stream[place] for marker, place in places.items()}
    return Codestream(segments, capabilities, width, height, channels, len(stream) - position - _TILE_BYTES - 2)
