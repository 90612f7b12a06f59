"""``codecbench decode``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from codecbench.cli import options
from codecbench.cli.console import say
from codecbench.cli.encode import write_out
from codecbench.cli.limits import limits, within


@click.command()
@click.argument("file", metavar="FILE")
@click.option("-o", "--out", metavar="IMAGE", required=True, help="The image to write; - for PNG on stdout.")
@options.device("Where to compute.")
@options.codec_folders
@limits
def decode(file: str, out: str, device: str, timeout: float | None, memory_limit: int) -> None:
    """Restore the image in FILE, which `codecbench encode` wrote, from that file alone.

    IMAGE is written without loss, as .png, .ppm, .pgm, .pnm, .bmp or .tiff. An existing file is overwritten. FILE may
    be - for standard input.
    """
    from codecbench.files import images

    images.written_format(out)
    target = None if out == images.STANDARD else images.check_target(out, file)
    name = "standard input" if file == images.STANDARD else file
    content = _read(file)
    image, notes, done = within(timeout, memory_limit, name, restore, content, device, name, out)
    for note in notes:
        say(f"note: {note}", err=True)
    write_out(image, target)
    shown = "standard output" if target is None else out
    say(f"{shown}: {done}", err=target is None)


def restore(content: bytes, device: str, name: str, out: str) -> tuple[bytes, tuple[str, ...], str]:
    """Decodes a file: the image's bytes in the format of ``out``, notes, and a line about it."""
    from codecbench.files import container, images
    from codecbench.text import format_shape

    done = container.unpack(content, device, name)
    line = f"{format_shape(done.image.shape)} from {len(content):,} bytes; {done.spec}"
    return images.image_bytes(done.image, out), done.notes, line


def _read(file: str) -> bytes:
    from codecbench.errors import UsageError
    from codecbench.files.header import Refused
    from codecbench.files.images import read_file

    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return read_file(Path(file))
    except Refused as error:
        raise UsageError(f"{file} {error}; expected a file that `codecbench encode` wrote") from None
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}") from None
