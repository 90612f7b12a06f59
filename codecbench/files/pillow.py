"""Image files through Pillow, which is asked nothing that the file itself says differently."""

from __future__ import annotations

import hashlib
import io
import warnings
from typing import Any

import numpy as np
from PIL import Image

from codecbench.files import structure
from codecbench.files.header import Header, Refused, Samples, check_size, is_foreign, widened

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "WEBP")
"""Formats that are read through Pillow, by its names: none that runs another program, as EPS does."""

_LOSSY = {"AVIF": "AVIF", "JPEG": "JPEG", "MPO": "JPEG", "WEBP": "WebP", "JPEG2000": "JPEG 2000"}

_CHECKS = {"PNG": structure.check_png, "JPEG": structure.check_jpeg, "MPO": structure.check_jpeg}
_WHOLE: set[bytes] = set()
"""Digests of files that were checked: a run reads every image for many points, and checks take as long as decoding."""


def pillow_header(data: bytes) -> Header:
    """The header of an image file; :class:`Refused` for what is not read, and whatever Pillow raises."""
    if data[8:12] == b"WEBP":
        check_size(*structure.webp_size(data))  # Pillow takes the memory of the whole canvas to say its size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the size is checked below; Pillow warns of damaged metadata
        Image.init()  # so that OPEN holds what this Pillow was built with
        image = Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])
        check_size(image.height, image.width)
        if image.mode == "F":
            raise Refused("has floating samples; unsigned ones are read")
        bits, lossy = _bits(image), str(image.format) in _LOSSY
        if image.format in ("JPEG", "MPO"):
            structure.check_jpeg_header(data, image.height * image.width)
        elif image.format == "WEBP":
            lossy = b"VP8 " in data
        elif image.format == "AVIF":
            deep, lossy = structure.avif_header(data)
            bits = 10 if deep else 8
        elif image.format == "JPEG2000":
            bits, reversible, mapped = structure.jpeg2000_header(data)
            lossy = not reversible
            if bits != 8 and mapped:
                raise Refused(f"has {bits} bits per sample and a palette or YCbCr; convert it first")
        chunks = dict(structure.png_chunks(data)) if image.format == "PNG" else {}  # Pillow would decode it for this
        exif = chunks.get(b"eXIf") or image.info.get("exif", b"")
        return Header(
            str(image.format),
            image.height,
            image.width,
            1 if _is_gray(image, data) else 3,
            lambda: _decode(image, data, bits),
            bits=bits,
            alpha="straight" if image.has_transparency_data else "",
            several=getattr(image, "is_animated", False) or _another_pnm(image, data, bits),
            orientation=_orientation(exif),
            lossy=_LOSSY[str(image.format)] if lossy else "",
            icc=is_foreign(image.info.get("icc_profile") or b""),
        )


def _another_pnm(image: Image.Image, data: bytes, bits: int) -> bool:
    """Whether another image follows in a binary PNM, which Pillow does not look for."""
    if image.format != "PPM" or data[1:2] not in b"456":
        return False
    row = -(-image.width // 8) if image.mode == "1" else image.width * len(image.getbands()) * (bits // 8)
    tiles: list[Any] = getattr(image, "tile", [])
    return data[tiles[0][2] + row * image.height :].lstrip()[:1] == b"P"


def _bits(image: Image.Image) -> int:
    """Bits per sample as stored: Pillow reduces those of colour to 8 without a word, but names them to its decoder."""
    if image.mode.startswith("I"):
        return 16
    for tile in getattr(image, "tile", ()):  # (decoder, extents, offset, arguments)
        args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if image.format != "BMP" and any(isinstance(arg, str) and ";16" in arg for arg in args):
            return 16
        if image.format == "PPM" and any(isinstance(arg, int) and arg > 255 for arg in args):
            return 16
    return 8


def _decode(image: Image.Image, data: bytes, bits: int) -> Samples:
    """The samples of an image that :func:`pillow_header` opened; refuses those that are not all there."""
    check = _CHECKS.get(str(image.format))
    if check and (digest := hashlib.sha256(data).digest()) not in _WHOLE:
        check(data)
        _WHOLE.add(digest)
    if image.format == "JPEG2000" and bits != 8:  # whose other samples Pillow shifts
        from imagecodecs import jpeg2k_decode

        deep = np.asarray(jpeg2k_decode(data))
        return widened(deep.reshape(*deep.shape[:2], -1), bits)
    clear = image.info.get("transparency")
    gray_bits = data[24] if image.format == "PNG" and data[25] == 0 else 8
    low = _low_bytes(data) if image.mode == "RGB" and bits == 16 and clear is not None else None
    image.load()
    if image.mode.startswith("I"):
        samples = np.asarray(image).astype(np.uint16)[..., np.newaxis]
        return samples if clear is None else _with_alpha(samples, samples == clear)
    if image.mode in ("L", "1") and clear is not None:
        samples = np.asarray(image.convert("L"))[..., np.newaxis]
        return _with_alpha(samples, samples == min(clear * 255 // ((1 << gray_bits) - 1), 255))
    if low is not None:
        samples = np.asarray(image)
        return _with_alpha(samples, (samples.astype(np.uint16) << 8 | low) == clear)
    gray = _is_gray(image, data)
    pixels = np.array(image.convert(("L" if gray else "RGB") + "A" * image.has_transparency_data))
    return pixels.reshape(*pixels.shape[:2], -1)


def _is_gray(image: Image.Image, data: bytes) -> bool:
    """Whether the file stores gray: Pillow opens a PNG of 16-bit gray with alpha as colour."""
    return image.mode[0] in "1LI" or (image.format == "PNG" and data[25] == 4)


def _with_alpha(samples: Samples, clear: Samples) -> Samples:
    """Samples (H, W, C) with an alpha channel: nothing where all of a pixel's samples are the transparent colour."""
    opaque = np.iinfo(samples.dtype).max * ~clear.all(axis=2, keepdims=True)
    return np.concatenate([samples, opaque.astype(samples.dtype)], axis=2)


def _low_bytes(data: bytes) -> Samples:
    """The lower bytes of a PNG's 16-bit colours: those that Pillow takes for the upper ones in the other byte order."""
    image = Image.open(io.BytesIO(data), formats=["PNG"])
    tiles: list[Any] = image.tile
    image.tile = [tile._replace(args="RGB;16L") for tile in tiles]
    image.info.pop("transparency")
    return np.asarray(image)


def _orientation(exif: bytes) -> int:
    """The orientation in a block of EXIF data; 1 where it has none or is damaged."""
    tags = Image.Exif()
    try:
        tags.load(exif)
        return int(tags.get(0x0112, 1))
    except Exception:  # Pillow raises whatever it likes on damaged blocks
        return 1
