"""A person's own image files: what is read of them and how, what is refused, and how decoded images are written.

Nothing is changed quietly. Palettes, CMYK and YCbCr become RGB, black-and-white becomes gray, and the EXIF rotation is
applied, because that is how every viewer shows the file. An image that would lose something (an alpha channel, more
than 8 bits per sample, further frames) is refused unless :class:`Rules` say what to do, and so is one that cannot be
read to its end. Images are written without loss, and a file is written whole or not at all.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from codecbench.errors import DatasetError, StoreError, UsageError
from codecbench.files.header import Header, Refused, Samples
from codecbench.files.pillow import FORMATS, pillow_header
from codecbench.files.tiff import tiff_header
from codecbench.plugins.codec import Images, Shape
from codecbench.store.io import write_whole
from codecbench.text import format_shape

READ_FORMATS = (*FORMATS, "TIFF")
"""Formats that are read, whatever the suffix, by Pillow's names."""

SUFFIXES = frozenset(
    {
        *(".apng", ".avif", ".bmp", ".gif", ".j2c", ".j2k", ".jfi", ".jfif", ".jif", ".jp2", ".jpc", ".jpe", ".jpeg"),
        *(".jpf", ".jpg", ".jpx", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
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

MAX_FILE_BYTES = 1 << 30
"""Larger files are refused: the largest picture that is taken has no more in any format."""

WRITTEN_FORMATS = {
    **{".bmp": "BMP", ".pgm": "PPM", ".png": "PNG", ".pnm": "PPM", ".ppm": "PPM"},
    **{".tif": "TIFF", ".tiff": "TIFF"},
}
"""Formats that are written, by suffix, by Pillow's names: those that keep every pixel."""
STANDARD = "-"
"""Stands for standard input or output where a file is asked for."""


@dataclass(frozen=True)
class Rules:
    """What to do with images that cannot be measured as they are; every rule may be ``refuse``."""

    alpha: str = "refuse"  # or "drop" (colours as stored), "white" or "black" (laid over that background)
    depth16: str = "refuse"  # or "scale": gray to the nearest of 256 levels, of colours the upper 8 bits
    frames: str = "refuse"  # or "first": the first of several frames or pages


def image_shape(path: Path, rules: Rules) -> Shape:
    """The shape that :func:`read_image` will return, from the header; raises the same errors."""
    return read_header(path, rules).shape


def read_image(path: Path, rules: Rules, content: bytes | None = None) -> Images:
    """Reads an image file, or its content: uint8, (H, W, C), C = 1 for gray and 3 for colour, upright.

    ``DatasetError`` with file and remedy if it cannot be read to its end, or the rules refuse it.
    """
    header = read_header(path, rules, content)
    with _one_line(path):
        samples = header.decode()
        if samples.shape != (header.height, header.width, header.colours + bool(header.alpha)):
            raise Refused("is damaged: its picture has not the shape that its header says")
        if header.alpha:
            samples = _laid_over(samples, rules.alpha, header.alpha == "premultiplied")
        if samples.dtype == np.uint16:  # of colours the upper 8 bits, as Pillow has it
            samples = (samples.astype(np.uint32) + 128) // 257 if header.colours == 1 else samples >> 8
        return np.ascontiguousarray(_turned(samples, header.orientation), dtype=np.uint8)


def read_header(path: Path, rules: Rules, content: bytes | None = None) -> Header:
    """What an image file, or its content, says of its picture; ``DatasetError`` if the rules do not take it."""
    with _one_line(path):
        data = read_file(path) if content is None else content
        tiff = data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
        header = tiff_header(data) if tiff else pillow_header(data)
        if header.several and rules.frames == "refuse":
            raise Refused("holds several frames; one is allowed, frames=first takes the first")
        if header.alpha and rules.alpha == "refuse":
            raise Refused("has an alpha channel; alpha=drop, alpha=white or alpha=black takes it")
        if header.bits > 8 and rules.depth16 == "refuse":
            raise Refused("has more than 8 bits per sample; depth16=scale takes it scaled to 8")
        return header


def read_file(path: Path) -> bytes:
    """A regular file's bytes; :class:`Refused` for anything else, which may be waited for, and beyond the limit."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        what = f"is a link to {path.readlink()}, which does not exist" if path.is_symlink() else "does not exist"
        raise Refused(what) from error
    if not stat.S_ISREG(status.st_mode):  # a pipe or a device would be waited for
        raise Refused("is a folder" if path.is_dir() else "is no regular file")
    if status.st_size > MAX_FILE_BYTES:
        raise Refused(f"has {status.st_size} bytes; at most {MAX_FILE_BYTES} are read")
    return path.read_bytes()


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Whatever goes wrong inside becomes an error of one line that names the file."""
    try:
        yield
    except Refused as error:
        raise DatasetError(f"{path} {error}") from error
    except UnidentifiedImageError as error:
        raise DatasetError(f"{path} is damaged or no image; formats read: {', '.join(READ_FORMATS)}") from error
    except (MemoryError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path} has more pixels than fit into memory") from error
    except PermissionError as error:
        raise DatasetError(f"{path} may not be read (permission denied)") from error
    except Exception as error:  # decoders raise whatever they like on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"{path} is damaged or cut short ({reason})") from error


def _laid_over(samples: Samples, ground: str, premultiplied: bool) -> Samples:
    """Samples (H, W, C + 1) without their alpha channel: over white or black, or their colours as they are."""
    most = int(np.iinfo(samples.dtype).max)
    colours, alpha = samples[..., :-1].astype(np.uint64), samples[..., -1:].astype(np.uint64)
    if premultiplied and ground == "drop":
        colours = np.minimum((colours * most + alpha // 2) // np.maximum(alpha, 1), most)
    elif ground != "drop":
        covered = colours * most if premultiplied else colours * alpha
        behind = (most - alpha) * (most if ground == "white" else 0)
        colours = np.minimum((covered + behind + most // 2) // most, most)
    return colours.astype(samples.dtype)


def _turned(samples: Samples, orientation: int) -> Samples:
    """Samples as a viewer shows them: EXIF's orientation says which corner the first row and column are at."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples


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
