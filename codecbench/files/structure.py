"""The structure of image files where a library would overlook a fault: checksums, lengths, sizes, depths.

PNG (ISO/IEC 15948), JPEG (ITU-T T.81), WebP (RFC 9649), the boxes of JPEG 2000 (ITU-T T.800) and AVIF (ISO 14496-12).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

from codecbench.files.header import MAX_FILE_PIXELS, Refused

MAX_SCANS = 100
"""Of a JPEG file: each is decoded over the whole picture, and a progressive file has about ten."""

_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row of each interlaced pass of a PNG, and the steps to the next."""

_LUMA = (b"\x11", b"\x12", b"\x21", b"\x22")
"""Sampling factors of a JPEG's first component that libjxl takes, beside those of 1×1 of the others."""

_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples per pixel by colour type."""


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """A PNG's chunks up to IEND, as (type, content), with lengths and checksums checked."""
    position = 8
    while True:
        if position + 12 > len(data):
            raise Refused("is cut short: its last chunk is missing")
        length, kind = struct.unpack_from(">I4s", data, position)
        content, check = (
            data[position + 8 : position + 8 + length],
            data[position + 8 + length : position + 12 + length],
        )
        if len(check) < 4 or zlib.crc32(kind + content) != int.from_bytes(check):
            raise Refused(f"is damaged: the checksum of chunk {kind.decode('latin-1')} is wrong")
        yield kind, content
        if kind == b"IEND":
            return
        position += 12 + length


def check_png(data: bytes) -> None:
    """Refuses a PNG with wrong checksums, or whose compressed rows are not all there."""
    chunks = list(png_chunks(data))
    width, height, depth, colours, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    bits = depth * _PNG_SAMPLES[colours]
    expected = 0
    for left, top, across, down in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            expected += rows * (1 + (columns * bits + 7) // 8)
    inflater, got = zlib.decompressobj(), 0
    pending = b"".join(content for kind, content in chunks if kind == b"IDAT")
    while pending and not inflater.eof and got <= expected:
        try:
            got += len(inflater.decompress(pending, 1 << 20))  # which checks Adler's sum at the end
        except zlib.error as error:
            raise Refused(f"is damaged: its compressed rows cannot be read ({error})") from error
        pending = inflater.unconsumed_tail
    if not inflater.eof or got != expected:
        raise Refused("is damaged: it has not the rows that its header says")


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The markers of a JPEG file up to that of its end, with where each and the coded data behind it begin and end."""
    marker = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
    found = marker.search(data, 2)
    while found and found[1] != b"\xd9":
        following = marker.search(data, found.end() + max(int.from_bytes(data[found.end() : found.end() + 2]), 2))
        yield found[1][0], found.end() - 2, following.end() - 2 if following else len(data)
        found = following
    if not found:
        raise Refused("is cut short: its end marker is missing")


def check_jpeg_header(data: bytes, pixels: int) -> None:
    """Refuses a JPEG of so many scans that it would be decoded for minutes, and kinds that cannot be checked."""
    markers = [marker for marker, *_ in jpeg_segments(data)]
    scans = markers.count(0xDA)
    if any(marker in range(0xC3, 0xD0) and marker not in (0xC4, 0xCC) for marker in markers):
        raise Refused("is a lossless, hierarchical or arithmetic-coded JPEG; those of Huffman codes are read")
    most = min(MAX_SCANS, 20 * MAX_FILE_PIXELS // max(pixels, 1))
    if scans > most:
        raise Refused(f"has {scans} scans; at most {most} of so many pixels are read")


def check_jpeg(data: bytes) -> None:
    """Refuses a JPEG whose coded data do not fill the picture, or are more, which libjpeg passes over without a word.

    libjxl reads every code to repack it. It does not take all kinds of JPEG, so that rare ones are not checked.
    """
    segments = list(jpeg_segments(data))
    frames = [data[start + 4 : end] for marker, start, end in segments if marker in (0xC0, 0xC1, 0xC2)]
    frame = frames[0] if frames else bytes(6)
    sampling = frame[7 : 6 + 3 * frame[5] : 3]
    progressive_restarts = {0xC2, 0xDD} <= {marker for marker, *_ in segments}
    if progressive_restarts or sampling[1:] not in (b"", b"\x11\x11") or sampling[:1] not in _LUMA:
        return
    try:
        from imagecodecs import JpegxlError, jpegxl_encode_jpeg
    except ImportError:  # on machines for which imagecodecs has no wheels
        return
    # Without metadata, which libjxl would look into; Adobe's segment says whether it is YCbCr.
    bare = [data[start:end] for marker, start, end in segments if not 0xE0 <= marker <= 0xED and marker < 0xEF]
    try:
        jpegxl_encode_jpeg(b"\xff\xd8" + b"".join(bare) + b"\xff\xd9")
    except JpegxlError as error:
        raise Refused("is damaged or cut short: its coded data do not fill the picture") from error


def webp_size(data: bytes) -> tuple[int, int]:
    """Height and width of a WebP's canvas, by its first chunk."""
    packed = int.from_bytes(data[20:30], "little")
    if data[12:16] == b"VP8X":
        return 1 + (packed >> 56), 1 + (packed >> 32 & 0xFFFFFF)
    if data[12:16] == b"VP8L":
        return 1 + (packed >> 22 & 0x3FFF), 1 + (packed >> 8 & 0x3FFF)
    return packed >> 64 & 0x3FFF, packed >> 48 & 0x3FFF


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The top boxes of an ISO base media file or JPEG 2000 file, as (type, content), whatever their sizes."""
    position = 0
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if length == 1:
            length, start = int.from_bytes(data[start : start + 8]), start + 8
        end = len(data) if length == 0 else position + length
        if end < start:
            return
        yield kind, data[start:end]
        position = end


def avif_header(data: bytes) -> tuple[bool, bool]:
    """Whether an AVIF has more than 8 bits per sample, and whether it is lossy.

    Bit 6 of the third byte of a box av1C (AV1-ISOBMFF) says the first; RGB coded as it is, matrix 0, is lossless.
    """
    meta = b"".join(content for kind, content in boxes(data) if kind in (b"meta", b"moov"))
    deep = any(flags[0] & 0x40 for flags in re.findall(rb"av1C.{2}(.)", meta, re.DOTALL))
    return deep, not re.search(rb"colrnclx.{4}\0\0", meta, re.DOTALL)


def jpeg2000_header(data: bytes) -> tuple[int, bool, bool]:
    """Bits per sample of a JPEG 2000 codestream, whether its transform loses nothing, and whether boxes map colours."""
    codestream, mapped = data, False
    if not data.startswith(b"\xff\x4f"):
        top = dict(reversed(list(boxes(data))))
        codestream = top.get(b"jp2c", b"")
        jp2h = dict(boxes(top.get(b"jp2h", b"")))
        mapped = b"pclr" in jp2h or (jp2h.get(b"colr", b"").startswith(b"\x01") and jp2h[b"colr"][3:7] == b"\0\0\0\x12")
    if codestream[2:4] != b"\xff\x51":
        raise Refused("is damaged: no JPEG 2000 codestream")
    size, components = struct.unpack_from(">H34xH", codestream, 4)
    depths = {codestream[42 + 3 * index] for index in range(components)} if len(codestream) > 4 + size else set()
    if len(depths) != 1 or max(depths) & 0x80:
        raise Refused("has JPEG 2000 components that are signed or of several depths; convert it first")
    position, reversible = 4 + size, True
    while codestream[position : position + 1] == b"\xff" and codestream[position + 1] not in (0x90, 0x93):
        if codestream[position + 1] == 0x52:  # COD: the last of its fixed fields is the transform
            reversible = codestream[position + 13] == 1
        position += 2 + int.from_bytes(codestream[position + 2 : position + 4])
    right, below, across, down, left, top = struct.unpack_from(">2I8x4I", codestream, 8)
    tiles = set()
    while codestream[position : position + 2] == b"\xff\x90":  # SOT: the number of a tile, and the length of its part
        tile, length = struct.unpack_from(">HI", codestream, position + 4)
        tiles.add(tile)
        position += length or len(codestream)
    if len(tiles) != -(-(right - left) // across) * -(-(below - top) // down):
        raise Refused("is cut short: tiles of its picture are missing")
    return depths.pop() + 1, reversible, mapped
