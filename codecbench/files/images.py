"""A person's own image files: what is read of them and how, what is refused, and how decoded images are written.

Nothing is changed quietly. Palettes, CMYK and YCbCr become RGB, black-and-white becomes gray, and the EXIF rotation is
applied, because that is how every viewer shows the file. An image that would lose something (an alpha channel, more
than 8 bits per sample, further frames) is refused unless :class:`Rules` say what to do, and so is one that cannot be
read to its end. Images are written without loss, and a file is written whole or not at all.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from codecbench.errors import DatasetError, StoreError, UsageError
from codecbench.plugins.codec import Images, Shape
from codecbench.store.io import write_whole
from codecbench.text import format_shape

READ_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that are read, whatever the suffix, by Pillow's names: none that runs another program, as EPS does."""

SUFFIXES = frozenset(
    {
        *(".avif", ".bmp", ".gif", ".j2k", ".jp2", ".jpe", ".jpeg", ".jpg"),
        *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
    }
)
"""Suffixes of image files that are read."""

OTHER_IMAGE_SUFFIXES = frozenset(
    {
        *(".arw", ".cr2", ".cr3", ".dng", ".exr", ".hdr", ".heic", ".heif", ".hif", ".jxl", ".jxr"),
        *(".nef", ".orf", ".psd", ".qoi", ".raf", ".rw2", ".svg", ".tga", ".xcf"),
    }
)
"""Suffixes of image files that are not read: such a file is refused, not overlooked."""

MAX_FILE_PIXELS = 89_478_485
"""Larger images are refused as decompression bombs (Pillow's own limit)."""

WRITTEN_FORMATS = {
    **{".bmp": "BMP", ".pgm": "PPM", ".png": "PNG", ".pnm": "PPM", ".ppm": "PPM"},
    **{".tif": "TIFF", ".tiff": "TIFF"},
}
"""Formats that are written, by suffix, by Pillow's names: those that keep every pixel."""
STANDARD = "-"
"""Stands for standard input or output where a file is asked for."""

_GRAY = {"1", "L"}
_COLOUR = {"RGB", "CMYK", "YCbCr", "P", "RGBX", "HSV"}
_ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}
_DEEP = {"I", "I;16", "I;16B", "I;16L", "I;16N"}


@dataclass(frozen=True)
class Rules:
    """What to do with images that cannot be measured as they are; every rule may be ``refuse``."""

    alpha: str = "refuse"  # or "drop" (colours as stored), "white" or "black" (laid over that background)
    depth16: str = "refuse"  # or "scale": 16-bit gray is divided by 257 and rounded; Pillow reads the upper 8 of colour
    frames: str = "refuse"  # or "first": the first of several frames or pages


def image_shape(path: Path, rules: Rules) -> Shape:
    """The shape that :func:`read_image` will return, from the header if that suffices; raises the same errors."""
    with _opened(path, rules) as image:
        width, height = image.size
        if _orientation(image, path) in (5, 6, 7, 8):
            if image.format == "TIFF":  # Pillow may have turned it already; only the decoded image shows that
                width, height = ImageOps.exif_transpose(image).size
            else:
                width, height = height, width
        return height, width, 1 if image.mode in _GRAY | _DEEP | {"LA", "La"} else 3


def read_image(path: Path, rules: Rules) -> Images:
    """Reads an image file: uint8, (H, W, C), C = 1 for gray and 3 for colour, upright.

    ``DatasetError`` with file and remedy if it cannot be read to its end, or the rules refuse it.
    """
    with _opened(path, rules) as image:
        image.load()
        if image.mode in _DEEP:
            deep = np.asarray(ImageOps.exif_transpose(image)).astype(np.int64)
            if deep.min() < 0 or deep.max() > 65535:
                raise DatasetError(f"{path} has samples outside 16 bits ({deep.min()} to {deep.max()})")
            return ((deep + 128) // 257).astype(np.uint8)[..., np.newaxis]
        upright = ImageOps.exif_transpose(image)
        if _has_alpha(upright):
            upright = _without_alpha(upright, rules.alpha)
        upright = upright.convert("L" if upright.mode in _GRAY else "RGB")
        pixels = np.array(upright, np.uint8)
        return pixels[..., np.newaxis] if pixels.ndim == 2 else pixels


def _has_alpha(image: Image.Image) -> bool:
    """Whether an image has an alpha channel, a transparent colour or a transparent palette entry."""
    return image.mode in _ALPHA or "transparency" in image.info


@contextmanager
def _opened(path: Path, rules: Rules) -> Iterator[Image.Image]:
    """Opens a file and checks it against the rules; whatever goes wrong inside becomes an error of one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked below; Pillow warns of damaged metadata
            Image.init()  # so that OPEN holds what this Pillow was built with
            with Image.open(path, formats=[name for name in READ_FORMATS if name in Image.OPEN]) as image:
                _check(image, path, rules)
                yield image
    except UnidentifiedImageError as error:
        raise DatasetError(f"{path} is damaged or no image; formats read: {', '.join(READ_FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise _bomb(path, "far more pixels") from error
    except MemoryError as error:
        raise DatasetError(f"{path} does not fit into memory") from error
    except DatasetError:
        raise
    except PermissionError as error:
        raise DatasetError(f"{path} may not be read (permission denied)") from error
    except Exception as error:  # decoders raise whatever they like on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"{path} is damaged or cut short ({reason})") from error


def _bomb(path: Path, got: str) -> DatasetError:
    return DatasetError(f"{path} has {got}; at most {MAX_FILE_PIXELS} pixels are allowed (decompression bomb?)")


def _check(image: Image.Image, path: Path, rules: Rules) -> None:
    width, height = image.size
    if width * height > MAX_FILE_PIXELS:
        raise _bomb(path, f"{width}×{height} pixels")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and rules.frames == "refuse":
        raise DatasetError(f"{path} holds {frames} frames; one is allowed, frames=first takes the first")
    if image.mode not in _GRAY | _COLOUR | _ALPHA | _DEEP:
        raise DatasetError(f"{path} has mode {image.mode}; allowed: gray, palette, RGB, CMYK, YCbCr")
    if _has_alpha(image) and rules.alpha == "refuse":
        raise DatasetError(f"{path} has an alpha channel; alpha=drop, alpha=white or alpha=black takes it")
    if image.mode in _DEEP or _quietly_deep(image, path):
        if rules.depth16 == "refuse":
            raise DatasetError(f"{path} has more than 8 bits per sample; depth16=scale takes it scaled to 8")
        if image.mode in _DEEP and _has_alpha(image):
            raise DatasetError(f"{path} has 16 bits and a transparent gray; convert it first")
        if any(_args(tile)[0] == "I;12" for tile in _tiles(image)):
            raise DatasetError(f"{path} has 12 bits per sample; 8 and 16 are allowed")


def _quietly_deep(image: Image.Image, path: Path) -> bool:
    """Whether Pillow would reduce the samples of a colour image to 8 bits without saying so."""
    for tile in _tiles(image):
        args = _args(tile)
        if any(isinstance(arg, str) and re.match(r"(L|LA|RGB|RGBA|RGBa|RGBX|CMYK);16", arg) for arg in args):
            return True
        if image.format == "PPM" and any(isinstance(arg, int) and arg > 255 for arg in args):
            return True
    if image.format in ("AVIF", "JPEG2000"):
        with path.open("rb") as file:
            head = file.read(1 << 16)
        if image.format == "AVIF":  # the av1C box: bit 6 of its third byte says more than 8 bits
            found = re.search(rb"av1C.{2}(.)", head, re.DOTALL)
            return found is not None and bool(found[1][0] & 0x40)
        # The SIZ segment: 40 bytes from its marker to the first component's depth less one.
        found = re.search(rb"\xff\x4f\xff\x51.{38}(.)", head, re.DOTALL)
        return found is not None and (found[1][0] & 0x7F) > 7
    return False


def _tiles(image: Image.Image) -> list[Any]:
    """Pillow's list of tiles to decode: (decoder, extents, offset, arguments)."""
    return list(getattr(image, "tile", ()))


def _args(tile: Any) -> tuple[Any, ...]:
    return tile[3] if isinstance(tile[3], tuple) and tile[3] else (tile[3],)


def _orientation(image: Image.Image, path: Path) -> int:
    """The EXIF orientation, 1 to 8; decodes pixels only if a PNG has metadata after them."""
    if image.format == "PNG" and "exif" not in image.info and not _metadata_after_pixels(path):
        return int(Image.Image.getexif(image).get(0x0112, 1))  # PNG's own getexif decodes the whole image
    return int(image.getexif().get(0x0112, 1))


def _metadata_after_pixels(path: Path) -> bool:
    """Whether a PNG has EXIF data or text after its first pixel chunk."""
    with path.open("rb") as file:
        file.seek(8)
        pixels = False
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if pixels and kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
                return True
            pixels = pixels or kind == b"IDAT"
            file.seek(length + 4, 1)
    return False


def _without_alpha(image: Image.Image, how: str) -> Image.Image:
    gray = image.mode in _GRAY | {"LA", "La"}
    full = image.convert("RGBA")
    if how != "drop":
        ground = Image.new("RGBA", full.size, (255,) * 4 if how == "white" else (0, 0, 0, 255))
        full = Image.alpha_composite(ground, full)
    return full.convert("RGB").convert("L") if gray else full.convert("RGB")


# ---- writing ------------------------------------------------------------------------------------------------------


def written_format(path: str) -> str:
    """Pillow's name of the format that an image is written in; ``UsageError`` if it does not keep every pixel."""
    suffix = ".png" if path == STANDARD else Path(path).suffix.lower()
    if suffix not in WRITTEN_FORMATS:
        raise UsageError(
            f"{path}: decoded images are written without loss, so not as {suffix or 'a file without suffix'}; "
            f"allowed: {', '.join(sorted(WRITTEN_FORMATS))}"
        )
    return WRITTEN_FORMATS[suffix]


def image_bytes(image: Images, path: str) -> bytes:
    """An image, uint8 (H, W, C), in the format of the path's suffix; ``UsageError`` if that keeps no such image."""
    kind = written_format(path)
    wanted = {".pgm": 1, ".ppm": 3}.get(Path(path).suffix.lower())
    if wanted not in (None, image.shape[2]):
        names = {1: "gray", 3: "RGB"}
        raise UsageError(
            f"{path}: the image is {format_shape(image.shape)}, and {Path(path).suffix} holds {names[wanted or 1]} "
            "alone; .pnm takes both"
        )
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(buffer, format=kind)
    return buffer.getvalue()


def check_target(path: str, source: str) -> Path:
    """Checks that a file can be written: only a regular file may be replaced, and not the one that is read.

    Returns the path with links followed, so that the file they point at is replaced and not the link.
    """
    if not path:
        raise UsageError("an empty name is not allowed for the file to be written")
    target = Path(path).resolve()
    try:
        if target.is_dir():
            raise UsageError(f"{path} is a folder; name a file")
        if target.exists() and not target.is_file():
            raise UsageError(f"{path} is no regular file; `-o -` writes to standard output")
        if not target.parent.is_dir():
            raise UsageError(f"{path} cannot be written: there is no folder {target.parent}")
        if source != STANDARD and target.exists() and Path(source).exists() and target.samefile(source):
            raise UsageError(f"{path} is the file that is read; name another one")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    return target


def write_file(target: Path, content: bytes) -> None:
    """Writes a file whole, or leaves the one that was there; raises ``StoreError`` if it cannot be written."""
    try:
        write_whole(target, content)
    except StoreError as error:
        cause = error.__cause__
        why = getattr(cause, "strerror", None) or cause or error
        raise StoreError(f"cannot write {target}: {why}") from cause
