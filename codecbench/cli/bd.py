"""``codecbench bd``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from codecbench.cli import options
from codecbench.cli.console import print_csv, print_table, say
from codecbench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from codecbench.report.tables import Column

RATES = {"whole": "whole files", "payload": "files without their container's bytes"}
MARKS = (("†", "trained on other data"), ("‡", "measured on its own training images"))
ANCHOR = "anchor"
"""The status of the anchor's own row."""
Record = dict[Any, Any]


@click.command()
@click.argument("folder", metavar="RUN")
@click.option("--anchor", metavar="CODEC", help="The codec to compare with [jpeg, else the longest curve].")
@click.option("--curve", metavar="SETTINGS", help="Which of the anchor's curves [its best].")
@click.option("--by", default="psnr_db", metavar="MEASURE", help="The quality held equal.")
@click.option(
    "--rate",
    type=click.Choice(["whole", "payload"]),
    default="whole",
    help="Count whole files, or only their payload, without headers.",
)
@click.option(
    "--method", type=click.Choice(["pchip", "cubic", "akima"]), default="pchip", help="How curves are interpolated."
)
@options.one_dataset
@click.option("--at", metavar="LEVEL[,LEVEL...]", help="Show file sizes at these levels of quality, such as 30,35,40.")
@click.option(
    "--replicates",
    type=click.IntRange(0, 10_000),
    default=200,
    help="Bootstrap replicates over the images, for the confidence intervals; 0 for no intervals.",
)
@options.csv
def bd(
    folder: str, anchor: str | None, method: str, at: str | None, replicates: int, as_csv: bool, **asked: Any
) -> None:
    """Show how many per cent more or fewer bits each codec needs than the anchor at equal quality (BD-rate).

    The difference of log rate is averaged over the qualities that both codecs reach. Measures nothing.
    """
    from codecbench import api

    run = api.load_run(folder)
    if at is None:
        table = run.bd_rates(anchor, method=method, replicates=replicates, **asked)
    else:
        table = run.savings(anchor, levels=_levels(at), **asked)
    if as_csv:
        print_csv(table)
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
    from codecbench.report.tables import Column, words

    first = table.iloc[0]
    say(f"Bits against {first['anchor']} at equal {first['quality']}, {RATES[first['rate']]}; {first['method']}\n")
    several = bool((table["curve"] != "").any())
    curves = table.groupby(["dataset", "codec"])["curve"].transform("size")
    table = table.assign(star=(table["best"] & (curves > 1)).map({True: "*", False: ""}))
    columns = [words("codec", lambda row: f"{row['codec']} {row['mark']}".strip())]
    if several:
        columns.append(words("curve", lambda row: f"{row['curve']} {row['star']}".strip()))
    columns.append(Column("BD-rate", lambda row: f"{row['bd_rate_percent']:+,.1f} %"))
    if table.loc[table["status"] != ANCHOR, "low_percent"].notna().any():
        columns.append(Column("95 % interval", _interval))
    columns += [
        Column("from", lambda row: f"{row['from_quality']:.4g}"),
        Column("to", lambda row: f"{row['to_quality']:.4g}"),
        Column("points", lambda row: str(row["points"])),
        words("", _why),
    ]
    for rows in _datasets(table):
        known = rows["bd_rate_percent"].notna()
        without = [(row["status"], _name(row)) for row in rows[~known].to_dict("records")]
        _print_dataset(columns, rows[known].to_dict("records"), without)
    if several:
        say("* the curve of this codec with the fewest bits.")
    _print_marks(table, "bd_rate_percent")
    say(
        "BD-rate: the mean difference of log rate over the qualities from … to …, which both codecs reach; it hides "
        "where curves cross."
    )


def _print_sizes(table: pd.DataFrame) -> None:
    """Prints the table of ``codecbench.analysis.sizes``, one dataset at a time."""
    from codecbench.report.tables import Column, of, words

    first = table.iloc[0]
    say(f"Bytes per image at equal {first['quality']}, {RATES[first['rate']]}, against {first['anchor']}\n")
    columns = [words("codec", lambda own: f"{_name(own[0])} {own[0]['mark']}".strip())]
    for place, level in enumerate(dict.fromkeys(table["quality_at"])):
        columns.append(Column(f"{level:g}", of(place, _size)))
        columns.append(Column("", of(place, _against)))
    for rows in _datasets(table):
        known, without = [], []
        for _, members in rows.groupby(["codec", "curve"], sort=False):
            own = members.to_dict("records")
            if members["bits_per_image"].notna().any():
                known.append(own)
            else:
                without += [(_why(row), _name(row)) for row in own]
        _print_dataset(columns, known, without)
    _print_marks(table, "bits_per_image")
    say("* the fewest bytes at this quality. – the codec does not reach it: nothing is extrapolated.")


def _interval(row: Record) -> str:
    known = math.isfinite(row["low_percent"]) and row["status"] != ANCHOR
    return f"{row['low_percent']:+,.1f} to {row['high_percent']:+,.1f}" if known else "–"


def _size(row: Record) -> str:
    return "–" if math.isnan(row["bytes_per_image"]) else f"{row['bytes_per_image']:,.0f}" + "*" * row["best"]


def _against(row: Record) -> str:
    percent = row["against_anchor_percent"]
    return "" if math.isnan(percent) or row["status"] == ANCHOR else f"{percent:+,.1f} %"


def _why(row: Record) -> str:
    return "; ".join(text for text in (row["status"], row["note"]) if text)


def _datasets(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows of each dataset, after a line with its name."""
    for dataset, rows in table.groupby("dataset", sort=False):
        first = rows.iloc[0]
        say(f"{dataset}" + f": {first['anchor']} with {first['anchor_curve']}" * bool(first["anchor_curve"]))
        yield rows


def _print_dataset(columns: Sequence[Column], records: Sequence[Any], without: Sequence[tuple[str, str]]) -> None:
    """Prints the records of a dataset, then the codecs that have no number, given with their reasons."""
    from codecbench.report.tables import table_of
    from codecbench.text import join_words

    if records:
        print_table(table_of("", columns, records))
    for reason in dict.fromkeys(reason for reason, _ in without):
        say(f"{join_words(list(dict.fromkeys(name for why, name in without if why == reason)))}: {reason}")
    say()


def _name(row: Record) -> str:
    """The codec, and its curve if it has several."""
    return f"{row['codec']} ({row['curve']})" if row["curve"] else str(row["codec"])


def _print_marks(table: pd.DataFrame, column: str) -> None:
    """Explains the marks of the rows that have a number."""
    for mark, words in MARKS:
        if (table.loc[table[column].notna(), "mark"] == mark).any():
            say(f"{mark} {words}.")
