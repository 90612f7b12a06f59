"""``codecbench data get``."""

from __future__ import annotations

import click

from codecbench.cli.console import say
from codecbench.cli.options import data_folder


@click.group()
def data() -> None:
    """Download data sets."""


@data.command()
@click.argument("name", metavar="NAME")
@click.option("--yes", is_flag=True, help="Download without asking, even if it is large.")
@data_folder
def get(name: str, yes: bool, data_dir: str | None) -> None:
    """Download and verify a data set: mnist, stl10."""
    from codecbench.data import data_root
    from codecbench.plugins.registry import DATASETS

    dataset = DATASETS.get(name)()
    root = data_root(data_dir)
    if not dataset.downloads:
        say(f"{name} needs no download")
        return
    say(f"{name}: {dataset.downloads}, into {root}")
    if dataset.ask_first and not yes and not _confirmed():
        raise click.ClickException(f"{name} was not downloaded; --yes begins without asking")
    dataset.download(root, say)


def _confirmed() -> bool:
    try:
        return click.confirm("Begin?")
    except click.Abort:  # no terminal to ask, or Ctrl-C
        say()
        return False
