"""``codecbench show``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codecbench.cli import options
from codecbench.cli.console import print_csv, print_table, say

if TYPE_CHECKING:
    from codecbench.report.brief import Brief
    from codecbench.report.tables import Table


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "md"]),
    default="table",
    help="csv: the columns of summary.csv; json: everything as records; md: Markdown tables.",
)
@options.one_dataset
def show(folders: tuple[str, ...], form: str, dataset: str | None) -> None:
    """Summarise RUN: the best codec for each dataset and quality, what failed, where the report is.

    Several runs are read as one. A published run, which has only its tables, can be shown as well.
    """
    from codecbench.analysis.summary import summary_of
    from codecbench.report import brief
    from codecbench.store.folder import RunFolder
    from codecbench.store.merged import MergedRuns

    stores = [RunFolder.existing(Path(folder)) for folder in folders]
    store = stores[0] if len(stores) == 1 else MergedRuns(stores)
    found = brief.brief(store, summary_of(store), dataset)
    if form == "csv":
        print_csv(found.summary)
    elif form == "json":
        say(json.dumps(found.to_json(), indent=1, ensure_ascii=False, allow_nan=False))
    elif form == "md":
        say(found.markdown(), nl=False)
    else:
        print_brief(found)


def print_brief(found: Brief, short: bool = False) -> None:
    """Prints a run in short; if ``short``, only the best codecs and what failed, as at the end of a run."""
    from codecbench.report.brief import NOTHING, READ

    if found.best:
        table = found.best_table()
        labels = ["", *(row.head for row in table.rows)]  # a dataset's name is printed once
        once = (
            replace(row, head="" if row.head == before else row.head)
            for before, row in zip(labels, table.rows, strict=False)
        )
        _print(replace(table, rows=tuple(once)))
        say(READ)
    else:
        say(NOTHING)
    if not short:
        say()
        for table in (*found.codec_tables(), *found.set_tables()):
            if table.rows:
                _print(table)
    if any(record["unsteady"] for record in (found.best if short else [*found.best, *found.codecs])):
        say("~ the machine was not quiet while this was timed")
    for line in [] if short else found.notes:
        say(line)
    for note in found.grave:
        for line in note.lines:
            say(f"{note.title.lower()}: {line}")
    if not short:
        runs = " ".join(found.runs)
        say(f"report  {found.report}" if found.report else f"no report yet; draw it: codecbench report {runs}")


def _print(table: Table) -> None:
    print_table(table)
    say()
