"""``codecbench match``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from codecbench.cli.console import print_table

if TYPE_CHECKING:
    import pandas as pd


@click.command()
@click.argument("folder", metavar="RUN")
@click.option(
    "--codec",
    metavar="SPEC",
    required=True,
    help="The codec whose points are matched, or only some of them if settings are given.",
)
@click.option(
    "--against",
    metavar="SPEC",
    required=True,
    help="The codec whose curves are read, or only some of its points if settings are given.",
)
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
    """Find the setting at which one codec has the same error as another, and compare their sizes.

    The curves of --against are interpolated between measured points, and never extrapolated. Measures nothing.
    """
    from codecbench import api

    table = api.load_run(folder).match(codec, against, dataset=dataset, at=at, by=by)
    if as_csv:
        click.echo(table.to_csv(index=False, lineterminator="\n"), nl=False)
    else:
        _print_matches(table, at, by)


def _print_matches(matches: pd.DataFrame, at: str, by: str) -> None:
    """Prints the table of ``codecbench.analysis.match``; at least one row."""
    from codecbench.analysis import match as matching
    from codecbench.analysis.points import short_settings, telling_settings
    from codecbench.report.tables import Row, Table, columns, words_row

    ours, theirs = matches["codec"].iloc[0], matches["against"].iloc[0]
    inline = {matching.MATCHED, matching.OUTSIDE}  # their notes are about the row; the others' repeat themselves
    told = telling_settings([text for text in matches["settings"] if text])
    several = bool((matches["curve"] != "").any())

    def number(name: str) -> Callable[[Any], str]:
        measure = name.removeprefix("against_")
        return lambda row: "–" if math.isnan(row[name]) else matching.number(row[name], measure)

    def plain(write: str, name: str) -> Callable[[Any], str]:
        return lambda row: "–" if math.isnan(row[name]) else write.format(row[name])

    def place(row: Any) -> str:
        return "–" if math.isnan(row["matched"]) else f"{row['swept']} {row['matched']:.4g}"

    def sides(row: Any) -> str:
        if math.isnan(row["matched"]):
            return ""
        ends = [f"{row[end]:g}" for end in ("below", "above")]
        return " and ".join(ends) if ends[0] != ends[1] else f"measured {ends[0]}"

    def status(row: Any) -> str:
        return ": ".join(text for text in (row["status"], row["note"]) if text)

    def curve(row: Any) -> str:
        return f"{row['curve']} {'*' if row['best'] else ''}".strip()

    errors = [by] if by == "psnr_db" or at == "error" else [by, "psnr_db"]
    shown: list[tuple[str, Callable[[Any], str]]] = [("dataset", lambda row: str(row["dataset"]))]
    if told:
        shown.append(("settings", lambda row: short_settings(row["settings"], told)))
    shown += [(matching.word(name), number(name)) for name in errors]
    shown.append(("bits/image", number(matching.RATE)))
    shown += [(f"{theirs} curve", curve)] if several else []
    shown += [(f"{theirs} at", place), ("between", sides)]
    if at == "error":
        shown.append((f"{theirs} bits/image", number("against_bits_per_image")))
        shown += [("ratio of bits", plain("{:,.3f}", "bits_ratio")), ("in %", plain("{:,.1f}", "bits_percent"))]
    else:
        shown += [(f"{theirs} {matching.word(name)}", number(f"against_{name}")) for name in errors]
        shown.append(("PSNR difference", plain("{:+.2f} dB", "psnr_difference_db")))
    shown.append(("status", lambda row: status(row) if row["status"] in inline else row["status"]))

    rows: list[Row] = []
    notes: dict[str, None] = {}
    for row in matches.to_dict("records"):
        if row["status"] != matching.NO_RESULTS:
            rows.append(words_row(*(write(row) for _, write in shown)))
        if row["status"] not in inline:
            notes[f"{row['dataset']}{' '.join(('', row['curve'])).rstrip()}: {status(row)}"] = None
    click.echo(f"{ours} against {theirs}, at equal {matching.word(by if at == 'error' else matching.RATE)}\n")
    if rows:
        titles = [title for title, _ in shown]
        print_table(Table("", columns(titles, titles), tuple(rows)))
        click.echo()
    for note in notes:
        click.echo(note)
    click.echo(matching.method(at, by))
    if several:
        click.echo(
            f"* of {theirs}'s curves the one with the {'fewest bits' if at == 'error' else 'smallest error'} there."
        )
    flat = matches["status"].isin({matching.ONE_POINT, matching.NOT_NUMERIC})
    if flat.any() and not matches["status"].isin(inline).any():
        click.echo(f"{theirs} has no curve to read here. The other way round: --codec {theirs} --against {ours}")
