"""``codecbench list``."""

from __future__ import annotations

import json

import click

from codecbench.cli.options import codec_folders, data_folder, metric_folders


@click.command(name="list")
@click.option("--names", is_flag=True, help="Only the codecs' names, one a line; imports no codec.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
@data_folder
@codec_folders
@metric_folders
def list_(names: bool, as_json: bool, data_dir: str | None) -> None:
    """Show codecs, datasets and metrics."""
    from codecbench.plugins.registry import CODECS

    if names:
        click.echo("\n".join(CODECS.names()))
        return
    from codecbench.cli import listing

    content = listing.everything(data_dir)
    if as_json:
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        from codecbench.cli.console import print_listing

        print_listing(content)
