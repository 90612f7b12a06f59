"""``codecbench show``."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "md"]),
    default="table",
    show_default=True,
    help="csv: the summary's columns; json: everything as records; md: tables for GitHub.",
)
@click.option("--dataset", metavar="NAME", help="One of the run's datasets [all].")
def show(folders: tuple[str, ...], form: str, dataset: str | None) -> None:
    """Show RUN in short: the best codec for each dataset and quality, what failed, where the report is.

    Several runs are read as one. A published run without its parts will do.
    """
    from codecbench import api
    from codecbench.report import brief
    from codecbench.store.folder import RunFolder
    from codecbench.store.merged import opened

    stores = [RunFolder.existing(Path(folder)) for folder in folders]
    if len(stores) > 1:
        with opened(stores, beside=["sets"]) as together:
            found = brief.content(together, together.summary(), dataset)
    else:
        found = brief.content(stores[0], api.Run(stores[0].path).summary(), dataset)
    if form == "csv":
        click.echo(found.summary.to_csv(index=False, lineterminator="\n"), nl=False)
    elif form == "json":
        click.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False, allow_nan=False))
    elif form == "md":
        click.echo(found.markdown(), nl=False)
    else:
        from codecbench.cli.console import print_shown

        print_shown(found)
