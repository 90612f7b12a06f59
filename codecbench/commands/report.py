"""``codecbench report``."""

from __future__ import annotations

import click


@click.command()
@click.argument("folder", metavar="RUN")
def report(folder: str) -> None:
    """Draw the table, the figures and the report of RUN again, without measuring."""
    from codecbench import runner

    click.echo(f"report  {runner.load_run(folder).report()}")
