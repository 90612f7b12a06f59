"""``codecbench report``."""

from __future__ import annotations

from pathlib import Path

import click

from codecbench.cli.console import say


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True)
@click.option("--out", metavar="DIR", help="The folder for the report [RUN itself; for several runs results/A+B].")
@click.option("--anchor", metavar="CODEC", help="The codec that others are compared with [jpeg, if it has a curve].")
@click.option("--open", "open_it", is_flag=True, help="Open the report in the browser.")
def report(folders: tuple[str, ...], out: str | None, anchor: str | None, open_it: bool) -> None:
    """Draw the table, the figures and the report of RUN again, without measuring.

    Several runs give one report. Datasets with the same images are shown together; a codec whose source, libraries or
    weights differ between runs is marked with the name of the run.
    """
    from codecbench.report import report_of

    page = report_of([Path(folder) for folder in folders], Path(out) if out else None, anchor)
    say(f"report  {page}")
    if open_it:
        open_page(page)


def open_page(page: Path) -> None:
    """Opens a page in the browser; says on stderr where it is if there is none."""
    import webbrowser

    try:
        opened = webbrowser.open(page.resolve().as_uri())
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        say(f"no browser could be started; open {page.resolve()}", err=True)
