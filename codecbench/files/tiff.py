"""TIFF through tifffile, by what its tags say (TIFF 6.0, Adobe 1992): a short list of layouts, all others refused."""

from __future__ import annotations

import io
import logging
from typing import Any

import numpy as np

from codecbench.files import structure
from codecbench.files.header import Alpha, Header, Refused, Samples, check_size, is_foreign, widened

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
LAYOUTS = {
    **{WHITE_IS_ZERO: ("gray", 1, (1, 2, 4, 8, 16)), BLACK_IS_ZERO: ("gray", 1, (1, 2, 4, 8, 16))},
    **{RGB: ("RGB", 3, (8, 16)), PALETTE: ("palette", 1, (1, 2, 4, 8)), CMYK: ("CMYK", 4, (8,))},
    YCBCR: ("YCbCr in JPEG", 3, (8,)),
}
"""What is read, by photometric interpretation: its name, samples of a colour, bits of a sample."""

JPEG = 7
COMPRESSIONS = (1, 2, 3, 4, 5, JPEG, 8, 32773, 32946, 34925, 50000)
"""None, three of CCITT, LZW, JPEG, Deflate, PackBits, Deflate again, LZMA, Zstandard."""

UNSPECIFIED, PREMULTIPLIED, STRAIGHT = 0, 1, 2


def tiff_header(data: bytes) -> Header:
    """The header of a TIFF file's first page; :class:`Refused` for layouts that are not read."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it warns of is refused below
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page: Any = tiff.pages[0]
        check_size(page.imagelength, page.imagewidth)
        check_size(page.tilelength, page.tilewidth)
        _check(page, len(data))
        photometric, extra = int(page.photometric), tuple(map(int, page.extrasamples))
        alphas: dict[tuple[int, ...], Alpha] = {(PREMULTIPLIED,): "premultiplied", (STRAIGHT,): "straight"}
        return Header(
            "TIFF",
            int(page.imagelength),
            int(page.imagewidth),
            1 if photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO) else 3,
            lambda: _decode(data),
            bits=int(page.bitspersample) if photometric != PALETTE else 8,
            alpha=alphas.get(extra, ""),
            several=tiff.pages.is_multipage,
            orientation=int(page.tags[274].value) if 274 in page.tags else 1,
            lossy="JPEG" if int(page.compression) == JPEG else "",
            icc=is_foreign(page.tags.valueof(34675, b"")),
        )


def _check(page: Any, file_bytes: int) -> None:
    """Refuses a page whose layout is not read, or whose strips or tiles are not all in the file."""
    photometric, bits, compression = int(page.photometric), page.bitspersample, int(page.compression)
    format_of_samples, further = int(page.sampleformat or 1), len(page.extrasamples)
    name, colours, depths = LAYOUTS.get(photometric, (f"colours of kind {photometric}", 0, ()))
    if (
        262 not in page.tags  # which has no default
        or bits not in depths
        or format_of_samples != 1
        or compression not in COMPRESSIONS
        or (photometric == YCBCR and compression != JPEG)
        or page.samplesperpixel != colours + further
        or further > (photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB))
        or (photometric == CMYK and page.tags.valueof(332, 1) != 1)  # other inks
    ):
        kind = {1: "unsigned", 2: "signed", 3: "floating"}.get(format_of_samples, "other")
        raise Refused(
            f"has {page.samplesperpixel} {kind} samples of {bits} bits ({name}), TIFF compression {compression}; read "
            "are unsigned gray, palette, RGB and CMYK, YCbCr in JPEG, an alpha channel, at most 16 bits, compressed by "
            "CCITT, LZW, JPEG, Deflate, PackBits, LZMA, Zstandard or not at all"
        )
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    whole = int(np.prod(page.chunked)) == len(segments)
    if not whole or any(count <= 0 or start + count > file_bytes for start, count in segments):
        raise Refused("is cut short: strips or tiles of its picture are missing")


def _decode(data: bytes) -> Samples:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page: Any = tiff.pages[0]
        photometric, bits = int(page.photometric), int(page.bitspersample)
        if int(page.compression) == JPEG:
            tables = (page.jpegtables or b"")[2:-2]
            for start, count in zip(page.dataoffsets, page.databytecounts, strict=True):
                structure.check_jpeg(b"\xff\xd8" + tables + data[start + 2 : start + count])
        stored = np.asarray(page.asarray())
        if page.samplesperpixel == 1:
            stored = stored.reshape(page.imagelength, page.imagewidth, 1)
        elif int(page.planarconfig) == 2:
            stored = np.moveaxis(stored, 0, -1)
        if photometric == PALETTE:
            return _coloured(stored[..., 0], np.asarray(page.colormap))
    if photometric == CMYK:
        return _from_cmyk(stored)
    samples = widened(stored, bits)
    if photometric == WHITE_IS_ZERO:
        samples[..., 0] = np.iinfo(samples.dtype).max - samples[..., 0]
    if tuple(map(int, page.extrasamples)) == (UNSPECIFIED,):
        samples = samples[..., :-1]
    return samples


def _coloured(indices: Samples, colours: Samples) -> Samples:
    """The colours (3, 2**bits) of a palette's indices; some writers fill 8 of an entry's 16 bits, as libtiff knows."""
    palette = colours if colours.max() < 256 else colours >> 8
    return np.moveaxis(palette.astype(np.uint8)[:, indices.astype(np.uint8)], 0, -1)  # of one bit they are booleans


def _from_cmyk(inks: Samples) -> Samples:
    """RGB of inks (H, W, 4) without a profile, as Pillow converts them."""
    from PIL import Image

    return np.asarray(Image.fromarray(np.ascontiguousarray(inks), "CMYK").convert("RGB"))
