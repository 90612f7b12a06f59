"""``codecbench new``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from codecbench.cli.console import say


@click.command()
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["per-image", "torch"]),
    default="per-image",
    help="One image at a time with NumPy, or batches with PyTorch on a CPU or a GPU.",
)
@click.option("--codec-dir", metavar="DIR", default="codecs", help="The folder for the file.")
def new(name: str, kind: str, codec_dir: str) -> None:
    """Write the file of a new codec, DIR/NAME.py, as a starting point.

    It is a small but complete codec that passes `codecbench check`. No existing file is overwritten.
    """
    from codecbench.plugins.registry import CODECS
    from codecbench.plugins.scaffold import write_new_codec

    file = write_new_codec(name, kind, codec_dir)
    known = name in CODECS.origins()
    option = "" if known else f" --codec-dir {shlex.quote(str(Path(codec_dir)))}"
    say(f"{file}\n\nnext:")
    say(f"    codecbench check {name}{option}")
    say(f"    codecbench run --codecs {name},png{option}")
