"""Writing decoded images, without loss and whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path

from codecbench.errors import StoreError, UsageError
from codecbench.plugins.codec import Images
from codecbench.store.io import write_whole
from codecbench.text import format_shape

FORMATS = {
    ".bmp": "BMP",
    ".pgm": "PPM",
    ".png": "PNG",
    ".pnm": "PPM",
    ".ppm": "PPM",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""Pillow's names of what is written, by suffix: formats that keep every pixel."""
STANDARD = "-"
"""Stands for standard input or output where a file is asked for."""


def check_suffix(path: str) -> str:
    """Which format a file gets: Pillow's name; PNG for standard output.

    Raises:
        UsageError: a suffix of no format that keeps every pixel.
    """
    suffix = ".png" if path == STANDARD else Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(
            f"{path}: decoded images are written without loss, so not as {suffix or 'a file without suffix'}; "
            f"allowed: {', '.join(sorted(FORMATS))}"
        )
    return FORMATS[suffix]


def image_bytes(image: Images, path: str) -> bytes:
    """An image as the content of a file.

    Args:
        image: uint8 (H, W, C), C = 1 or 3.
        path: of the file; its suffix decides on the format.

    Raises:
        UsageError: the format does not keep such an image.
    """
    from PIL import Image

    kind = check_suffix(path)
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
    """Makes sure that a file can be written: replacing a file is allowed, anything else of that name is not.

    Args:
        path: where to write.
        source: what is read.

    Returns:
        The path, with links followed, so that what they point at is replaced and not the link.

    Raises:
        UsageError: no name, a folder, a device, a folder that is not there, or the very file that is read.
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
    """Writes a file whole, or leaves the one that was there.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        write_whole(target, content)
    except StoreError as error:
        cause = error.__cause__
        why = getattr(cause, "strerror", None) or cause or error
        raise StoreError(f"cannot write {target}: {why}") from cause
