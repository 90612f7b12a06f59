"""``codecbench encode``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codecbench.cli import options
from codecbench.cli.console import say
from codecbench.cli.limits import limits, within

if TYPE_CHECKING:
    from codecbench.files.container import Packed
    from codecbench.files.images import Rules
    from codecbench.plugins.codec import Images


@click.command()
@click.argument("image", metavar="IMAGE")
@click.option("-c", "--codec", "spec", metavar="SPEC", required=True, help="The codec, with one value per setting.")
@click.option("-o", "--out", metavar="FILE", required=True, help="The file to write, usually *.cb; - for stdout.")
@click.option(
    "--alpha",
    type=click.Choice(["refuse", "drop", "white", "black"]),
    default="refuse",
    help="For an image with an alpha channel: drop it, or put the image on white or black.",
)
@click.option(
    "--depth16",
    type=click.Choice(["refuse", "scale"]),
    default="refuse",
    help="For an image with more than 8 bits per sample: scale it to 8.",
)
@click.option(
    "--frames",
    type=click.Choice(["refuse", "first"]),
    default="refuse",
    help="For an image with several frames or pages: take the first.",
)
@options.device("Where to compute.")
@options.codec_folders
@limits
def encode(
    image: str,
    spec: str,
    out: str,
    alpha: str,
    depth16: str,
    frames: str,
    device: str,
    timeout: float | None,
    memory_limit: int,
) -> None:
    """Compress IMAGE with any codec, into a file that `codecbench decode` reads.

    IMAGE is a PNG, JPEG, PPM, TIFF, BMP, GIF, WebP, AVIF or JPEG 2000 file, or - for standard input. The file has
    the name and settings of the codec, its stream and a checksum. An existing file is overwritten.
    """
    from codecbench.errors import UsageError
    from codecbench.files import images

    if Path(out).suffix.lower() in images.SUFFIXES | images.OTHER_IMAGE_SUFFIXES:
        raise UsageError(f"{out}: what is written is no {Path(out).suffix} image; name it {Path(out).stem}.cb")
    target = None if out == images.STANDARD else images.check_target(out, image)
    given = sys.stdin.buffer.read() if image == images.STANDARD else None
    rules = images.Rules(alpha, depth16, frames)
    content, done = within(timeout, memory_limit, image, compress, image, given, rules, spec, device)
    write_out(content, target)
    say(f"{'standard output' if target is None else out}: {done}", err=target is None)


def compress(image: str, given: bytes | None, rules: Rules, spec: str, device: str) -> tuple[bytes, str]:
    """Compresses an image, of which standard input has ``given`` the bytes: those of the file, and a line about it."""
    from codecbench.environment import resolve_device
    from codecbench.errors import UnsupportedImageError, UsageError
    from codecbench.files import container
    from codecbench.plan.planner import open_codec

    codec = open_codec(spec)
    codec = codec.on(resolve_device(device, codec.uses_device))
    pixels = _read(image, given, rules)
    try:
        packed = container.pack(pixels, codec)
    except UnsupportedImageError as error:
        raise UsageError(f"{image}: {error}") from None
    return packed.content, _cost(pixels, packed)


def _read(image: str, given: bytes | None, rules: Rules) -> Images:
    """Reads an image; what would help is named as an option of this command."""
    from codecbench.errors import DatasetError
    from codecbench.files.images import read_image

    try:
        return read_image(Path(image if given is None else "standard input"), rules, given)
    except DatasetError as error:  # its remedies are written as settings of the data set folder:PATH
        raise DatasetError(re.sub(r"\b(alpha|depth16|frames)=(\w+)", r"--\1 \2", str(error))) from None


def _cost(pixels: Images, packed: Packed) -> str:
    """One line: what it costs, and what became of the image."""
    import numpy as np

    from codecbench.measure.distortion import mse, psnr_db
    from codecbench.text import format_shape

    bits = 8 * packed.stream_bytes / (pixels.shape[0] * pixels.shape[1])
    error = float(mse(pixels[np.newaxis], packed.image[np.newaxis])[0])
    quality = "every pixel restored" if error == 0 else f"PSNR {float(psnr_db(error)):.2f} dB"
    extra = len(packed.content) - packed.stream_bytes
    return (
        f"{len(packed.content):,} bytes, {packed.stream_bytes:,} of the codec and {extra} of the container; "
        f"{format_shape(pixels.shape)}, {bits:.3f} bits per pixel without the container, {quality}; {packed.spec}"
    )


def write_out(content: bytes, target: Path | None) -> None:
    """Writes a file, or to standard output where there is no target; a UsageError if that is a terminal."""
    from codecbench.errors import UsageError
    from codecbench.files.images import write_file

    if target is not None:
        write_file(target, content)
    elif sys.stdout.isatty():
        raise UsageError("standard output is a terminal; send it to a file or a pipe, or name one with -o")
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
