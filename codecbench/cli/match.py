"""``codecbench match``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from codecbench.cli import options
from codecbench.cli.console import print_csv, print_table, say

if TYPE_CHECKING:
    import pandas as pd


@click.command()
@click.argument("folder", metavar="RUN")
@click.option(
    "--codec", metavar="SPEC", required=True, help="The codec whose points are matched; settings narrow them."
)
@click.option("--against", metavar="SPEC", required=True, help="The codec whose curves are read; settings narrow them.")
@options.one_dataset
@click.option("--at", type=click.Choice(["error", "bytes"]), default="error", help="What is held equal.")
@click.option(
    "--by",
    metavar="MEASURE",
    default="mse",
    help="mse, mse_float (before clipping and rounding), psnr_db, psnr_of_mean_mse_db, ssim, or a plugin metric in "
    "this run.",
)
@options.csv
def match(folder: str, codec: str, against: str, dataset: str | None, at: str, by: str, as_csv: bool) -> None:
    """Find the setting at which one codec has the same error as another, and compare their sizes.

    The curves of --against are interpolated between measured points, and never extrapolated. Measures nothing.
    """
    from codecbench import api

    table = api.load_run(folder).match(codec, against, dataset=dataset, at=at, by=by)
    if as_csv:
        print_csv(table)
    else:
        _print_matches(table, at, by)


def _print_matches(matches: pd.DataFrame, at: str, by: str) -> None:
    """Prints the table of ``codecbench.analysis.match``; at least one row."""
    from codecbench.analysis import match as matching
    from codecbench.analysis.points import short_settings, telling_settings
    from codecbench.report.tables import table_of, words

    ours, theirs = matches["codec"].iloc[0], matches["against"].iloc[0]
    inline = {matching.MATCHED, matching.OUTSIDE}  # their notes are about the row; the others' repeat themselves
    keys = telling_settings([text for text in matches["settings"] if text])
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

    def explained(row: Any) -> str:
        return ": ".join(text for text in (row["status"], row["note"]) if text)

    errors = matching.Asked(at, by, up=False).errors
    columns = [words("dataset", "dataset")]
    if keys:
        columns.append(words("settings", lambda row: short_settings(row["settings"], keys)))
    columns += [words(matching.word(name), number(name)) for name in errors]
    columns.append(words("bits/image", number(matching.RATE)))
    if several:
        columns.append(words(f"{theirs} curve", lambda row: f"{row['curve']} {'*' * row['best']}".strip()))
    columns += [words(f"{theirs} at", place), words("between", sides)]
    if at == "error":
        columns.append(words(f"{theirs} bits/image", number("against_bits_per_image")))
        columns.append(words("ratio of bits", plain("{:,.3f}", "bits_ratio")))
        columns.append(words("in %", plain("{:,.1f}", "bits_percent")))
    else:
        columns += [words(f"{theirs} {matching.word(name)}", number(f"against_{name}")) for name in errors]
        columns.append(words("PSNR difference", plain("{:+.2f} dB", "psnr_difference_db")))
    columns.append(words("status", lambda row: explained(row) if row["status"] in inline else row["status"]))

    records = matches.to_dict("records")
    measured = [row for row in records if row["status"] != matching.NO_RESULTS]
    apart = [row for row in records if row["status"] not in inline]
    say(f"{ours} against {theirs}, at equal {matching.word(by if at == 'error' else matching.RATE)}\n")
    if measured:
        print_table(table_of("", columns, measured))
        say()
    for note in dict.fromkeys(f"{row['dataset']} {row['curve']}".rstrip() + f": {explained(row)}" for row in apart):
        say(note)
    say(matching.method(at, by))
    if several:
        say(f"* of {theirs}'s curves the one with the {'fewest bits' if at == 'error' else 'smallest error'} there.")
    flat = matches["status"].isin({matching.ONE_POINT, matching.NOT_NUMERIC})
    if flat.any() and not matches["status"].isin(inline).any():
        say(f"{theirs} has no curve to read here. The other way round: --codec {theirs} --against {ours}")
