"""``codecbench match``."""

from __future__ import annotations

import click


@click.command()
@click.argument("folder", metavar="RUN")
@click.option("--codec", metavar="SPEC", required=True, help="Whose points are matched; settings narrow to some.")
@click.option("--against", metavar="SPEC", required=True, help="The codec whose curves are read; likewise.")
@click.option("--dataset", metavar="NAME", help="One of the run's datasets [all].")
@click.option(
    "--at", type=click.Choice(["error", "bytes"]), default="error", show_default=True, help="What is held equal."
)
@click.option(
    "--by",
    metavar="MEASURE",
    default="mse",
    show_default=True,
    help="mse, mse_float (before clipping and rounding), psnr_db, ssim, or a plugin metric in this run.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with every column and digit.")
def match(folder: str, codec: str, against: str, dataset: str | None, at: str, by: str, as_csv: bool) -> None:
    """At which setting one codec has another's error, and what each costs.

    Reads the curves of --against between measured neighbours, and beyond its points says so. Measures nothing.
    """
    from codecbench import api

    table = api.load_run(folder).match(codec, against, dataset=dataset, at=at, by=by)
    if as_csv:
        click.echo(table.to_csv(index=False, lineterminator="\n"), nl=False)
    else:
        from codecbench.cli.console import print_matches

        print_matches(table, at=at, by=by)
