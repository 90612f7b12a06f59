"""``codecbench bd``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from codecbench.cli.console import print_table
from codecbench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from codecbench.report.tables import Column, Row

RATES = {"whole": "whole files", "payload": "files without their container's bytes"}
MARKS = (("†", "trained on other data"), ("‡", "measured on its own training images"))
Record = dict[Any, Any]


@click.command()
@click.argument("folder", metavar="RUN")
@click.option("--anchor", metavar="CODEC", help="The codec to compare with [jpeg, else the longest curve].")
@click.option("--curve", metavar="SETTINGS", help="Which of the anchor's curves [its best].")
@click.option("--by", default="psnr_db", show_default=True, metavar="MEASURE", help="The quality held equal.")
@click.option(
    "--rate",
    type=click.Choice(["whole", "payload"]),
    default="whole",
    show_default=True,
    help="Count whole files, or only their payload, without headers.",
)
@click.option(
    "--method",
    type=click.Choice(["pchip", "cubic", "akima"]),
    default="pchip",
    show_default=True,
    help="How curves are interpolated.",
)
@click.option("--dataset", metavar="NAME", help="One of the run's datasets [all].")
@click.option("--at", metavar="LEVEL[,LEVEL...]", help="Show file sizes at these levels of quality, such as 30,35,40.")
@click.option(
    "--replicates",
    type=click.IntRange(0, 10_000),
    default=200,
    show_default=True,
    help="Bootstrap replicates over the images, for the confidence intervals; 0 for no intervals.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with every column and digit.")
def bd(
    folder: str,
    anchor: str | None,
    curve: str | None,
    by: str,
    rate: str,
    method: str,
    dataset: str | None,
    at: str | None,
    replicates: int,
    as_csv: bool,
) -> None:
    """Show how many per cent more or fewer bits each codec needs than the anchor at equal quality (BD-rate).

    The difference of log rate is averaged over the qualities that both codecs reach. Measures nothing.
    """
    from codecbench import api

    run = api.load_run(folder)
    options: dict[str, Any] = {"by": by, "rate": rate, "dataset": dataset, "curve": curve}
    if at is None:
        table = run.bd_rates(anchor, method=method, replicates=replicates, **options)
    else:
        table = run.savings(anchor, levels=_levels(at), **options)
    if as_csv:
        click.echo(table.to_csv(index=False, lineterminator="\n"), nl=False)
    elif at is None:
        _print_bd_rates(table)
    else:
        _print_sizes(table)


def _levels(text: str) -> list[float]:
    """The numbers of ``30,35,40``."""
    try:
        levels = [float(part) for part in text.split(",")]
    except ValueError:
        levels = [math.nan]
    if not all(map(math.isfinite, levels)):
        raise UsageError(f"--at {text} is not allowed; allowed: numbers, such as 30,35,40")
    return levels


def _print_bd_rates(table: pd.DataFrame) -> None:
    """Prints the table of ``codecbench.analysis.bd_rate``, one dataset at a time."""
    from codecbench.report.tables import columns, words_row

    first = table.iloc[0]
    click.echo(
        f"Bits against {first['anchor']} at equal {first['quality']}, {RATES[first['rate']]}; {first['method']}\n"
    )
    several = bool((table["curve"] != "").any())
    intervals = bool(table.loc[table["status"] != "anchor", "low_percent"].notna().any())
    titles = ["codec", *["curve"] * several, "BD-rate", *["95 % interval"] * intervals, "from", "to", "points", ""]
    for rows in _datasets(table):
        shown: list[Row] = []
        without: dict[str, list[str]] = {}
        for row in rows.to_dict("records"):
            if math.isnan(row["bd_rate_percent"]):
                without.setdefault(row["status"], []).append(_name(row))
                continue
            cells = [f"{row['codec']} {row['mark']}".strip()]
            star = "*" if row["best"] and (rows["codec"] == row["codec"]).sum() > 1 else ""
            cells += [f"{row['curve']} {star}".strip()] if several else []
            cells.append(f"{row['bd_rate_percent']:+,.1f} %")
            if intervals:
                known = math.isfinite(row["low_percent"]) and row["status"] != "anchor"
                cells.append(f"{row['low_percent']:+,.1f} to {row['high_percent']:+,.1f}" if known else "–")
            ends = [f"{row[end]:.4g}" for end in ("from_quality", "to_quality")]
            status = "; ".join(text for text in (row["status"], row["note"]) if text)
            shown.append(words_row(*cells, *ends, str(row["points"]), status))
        _print_dataset(columns(titles, ("codec", "curve", "")), shown, without)
    if several:
        click.echo("* the curve of this codec with the fewest bits.")
    _print_marks(table, "bd_rate_percent")
    click.echo(
        "BD-rate: the mean difference of log rate over the qualities from … to …, which both codecs reach; it hides "
        "where curves cross."
    )


def _print_sizes(table: pd.DataFrame) -> None:
    """Prints the table of ``codecbench.analysis.sizes``, one dataset at a time."""
    from codecbench.report.tables import columns, words_row

    first = table.iloc[0]
    click.echo(f"Bytes per image at equal {first['quality']}, {RATES[first['rate']]}, against {first['anchor']}\n")
    levels = list(dict.fromkeys(table["quality_at"]))
    titles = ["codec", *(title for level in levels for title in (f"{level:g}", ""))]
    for rows in _datasets(table):
        shown: list[Row] = []
        without: dict[str, list[str]] = {}
        for _, members in rows.groupby(["codec", "curve"], sort=False):
            own = members.to_dict("records")
            if members["bits_per_image"].isna().all():
                for status in dict.fromkeys("; ".join(filter(None, (r["status"], r["note"]))) for r in own):
                    without.setdefault(status, []).append(_name(own[0]))
                continue
            cells = [f"{_name(own[0])} {own[0]['mark']}".strip()]
            for row in own:
                size, against = row["bytes_per_image"], row["against_anchor_percent"]
                cells.append("–" if math.isnan(size) else f"{size:,.0f}" + "*" * row["best"])
                cells.append("" if math.isnan(against) or row["status"] == "anchor" else f"{against:+,.1f} %")
            shown.append(words_row(*cells))
        _print_dataset(columns(titles, ("codec",)), shown, without)
    _print_marks(table, "bits_per_image")
    click.echo("* the fewest bytes at this quality. – the codec does not reach it: nothing is extrapolated.")


def _datasets(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows of each dataset, after a line with its name."""
    for dataset, rows in table.groupby("dataset", sort=False):
        first = rows.iloc[0]
        click.echo(f"{dataset}" + f": {first['anchor']} with {first['anchor_curve']}" * bool(first["anchor_curve"]))
        yield rows


def _print_dataset(columns: tuple[Column, ...], rows: Sequence[Row], without: dict[str, list[str]]) -> None:
    """Prints the rows of a dataset, then by reason the codecs that have no number."""
    from codecbench.report.tables import Table
    from codecbench.text import join_words

    if rows:
        print_table(Table("", columns, tuple(rows)))
    for status, names in without.items():
        click.echo(f"{join_words(names)}: {status}")
    click.echo()


def _name(row: Record) -> str:
    """The codec, and its curve if it has several."""
    return f"{row['codec']} ({row['curve']})" if row["curve"] else str(row["codec"])


def _print_marks(table: pd.DataFrame, column: str) -> None:
    """Explains the marks of the rows that have a number."""
    for mark, words in MARKS:
        if (table.loc[table[column].notna(), "mark"] == mark).any():
            click.echo(f"{mark} {words}.")
