"""``codecbench bd``."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import click

from codecbench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

RATES = {"whole": "whole files", "payload": "files without their container's bytes"}


@click.command()
@click.argument("folder", metavar="RUN")
@click.option("--anchor", metavar="CODEC", help="What the others are compared with [jpeg, else the longest curve].")
@click.option("--curve", metavar="SETTINGS", help="Which of the anchor's curves [its best].")
@click.option("--by", default="psnr_db", show_default=True, metavar="MEASURE", help="The quality held equal.")
@click.option("--rate", type=click.Choice(["whole", "payload"]), default="whole", show_default=True)
@click.option("--method", type=click.Choice(["pchip", "cubic", "akima"]), default="pchip", show_default=True)
@click.option("--dataset", metavar="NAME", help="One of the run's datasets [all].")
@click.option("--at", metavar="LEVEL[,LEVEL...]", help="Instead: sizes at these levels of quality, such as 30,35,40.")
@click.option(
    "--replicates",
    type=click.IntRange(0, 10_000),
    default=200,
    show_default=True,
    help="Of the bootstrap over images, for the intervals; 0 for none.",
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
    """How many per cent more or fewer bits each codec needs than the anchor at equal quality (BD-rate).

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
        _show(table)
    else:
        _show_savings(table)


def _levels(text: str) -> list[float]:
    """The numbers of ``30,35,40``."""
    try:
        levels = [float(part) for part in text.split(",")]
    except ValueError:
        levels = [math.nan]
    if not all(map(math.isfinite, levels)):
        raise UsageError(f"--at {text} is not allowed; allowed: numbers, such as 30,35,40")
    return levels


def _show(table: pd.DataFrame) -> None:
    """Prints the table of ``codecbench.analysis.bd_rate.table``, a dataset at a time."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 160)
    first = table.iloc[0]
    click.echo(
        f"Bits against {first['anchor']} at equal {first['quality']}, {RATES[first['rate']]}; {first['method']}\n"
    )
    several = bool((table["curve"] != "").any())
    intervals = bool(table.loc[table["status"] != "anchor", "low_percent"].notna().any())
    heads = ["codec", *["curve"] * several, "BD-rate", *["95 % interval"] * intervals]
    for dataset, rows in table.groupby("dataset", sort=False):
        curve = rows["anchor_curve"].iloc[0]
        click.echo(f"{dataset}" + f": {first['anchor']} with {curve}" * bool(curve))
        shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for head in [*heads, "from", "to", "points", ""]:
            shown.add_column(head, overflow="fold", justify="left" if head in ("codec", "curve", "") else "right")
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
                told = math.isfinite(row["low_percent"]) and row["status"] != "anchor"
                cells.append(f"{row['low_percent']:+,.1f} to {row['high_percent']:+,.1f}" if told else "–")
            ends = [f"{row[end]:.4g}" for end in ("from_quality", "to_quality")]
            status = "; ".join(text for text in (row["status"], row["note"]) if text)
            shown.add_row(*(Text(cell) for cell in [*cells, *ends, str(row["points"]), status]))
        if shown.row_count:
            console.print(shown)
        _tell(without)
    if several:
        click.echo("* of a codec's curves the one of fewest bits.")
    _tell_marks(table, "bd_rate_percent")
    click.echo(
        "BD-rate: the mean difference of log rate over the qualities from … to …, which both codecs reach; it hides "
        "where curves cross."
    )


def _name(row: dict[Any, Any]) -> str:
    """The codec, and the curve where it has several."""
    return f"{row['codec']} ({row['curve']})" if row["curve"] else str(row["codec"])


def _tell_marks(table: pd.DataFrame, column: str) -> None:
    """Explains the marks of the rows that have a number."""
    for mark, words in (("†", "trained on other data"), ("‡", "measured on its own training images")):
        if (table.loc[table[column].notna(), "mark"] == mark).any():
            click.echo(f"{mark} {words}.")


def _tell(without: dict[str, list[str]]) -> None:
    """Prints who has no number, by reason."""
    from codecbench.text import join_words

    for status, names in without.items():
        click.echo(f"{join_words(names)}: {status}")
    click.echo()


def _show_savings(table: pd.DataFrame) -> None:
    """Prints the table of ``codecbench.analysis.sizes.table``, a dataset at a time."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 160)
    first = table.iloc[0]
    click.echo(f"Bytes an image at equal {first['quality']}, {RATES[first['rate']]}, against {first['anchor']}\n")
    levels = list(dict.fromkeys(table["quality_at"]))
    for dataset, rows in table.groupby("dataset", sort=False):
        curve = rows["anchor_curve"].iloc[0]
        click.echo(f"{dataset}" + f": {first['anchor']} with {curve}" * bool(curve))
        shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        shown.add_column("codec", overflow="fold")
        for level in levels:
            shown.add_column(f"{level:g}", justify="right")
            shown.add_column("", justify="right")
        without: dict[str, list[str]] = {}
        for _, members in rows.groupby(["codec", "curve"], sort=False):
            own = members.to_dict("records")
            if members["bits_per_image"].isna().all():
                for status in dict.fromkeys("; ".join(filter(None, (r["status"], r["note"]))) for r in own):
                    without.setdefault(status, []).append(_name(own[0]))
                continue
            cells = [f"{_name(own[0])} {own[0]['mark']}".strip()]
            for row in own:
                there, against = row["bytes_per_image"], row["against_anchor_percent"]
                star = "*" * row["best"]
                cells += ["–" if math.isnan(there) else f"{there:,.0f}{star}", ""]
                cells[-1] = "" if math.isnan(against) or row["status"] == "anchor" else f"{against:+,.1f} %"
            shown.add_row(*map(Text, cells))
        if shown.row_count:
            console.print(shown)
        _tell(without)
    _tell_marks(table, "bits_per_image")
    click.echo("* the fewest bytes at this quality. – where a codec does not reach it: nothing is extrapolated.")
