"""``codecbench compare``."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from codecbench.cli import options
from codecbench.cli.console import print_csv, print_table, say
from codecbench.text import count

if TYPE_CHECKING:
    from codecbench.analysis.compare import Comparison
    from codecbench.report.tables import Column
    from codecbench.store.io import Point

Row = dict[Any, Any]
"""What there is of one measure of a point."""
SHOWN = {"bits": "bits %", "mse": "MSE %", "psnr_db": "PSNR dB", "ssim": "SSIM"}
"""Measures of the printed table, with their heads."""
NOTES = 6
"""Notes below a table; further ones are counted."""
TIME_HEADS = {
    "encode_s": "encode",
    "decode_s": "decode",
    "encode_latency_s": "encode one image",
    "decode_latency_s": "decode one image",
}


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--fail-above",
    "limits",
    metavar="KEY=VALUE",
    multiple=True,
    help="Exit with 1 if B is significantly worse by more than this (repeatable): bits=0.5%, mse=1%, psnr_db=0.05, "
    "psnr_of_mean_mse_db=0.05, ssim=0.001, encode_s=10%, decode_s=10%, encode_latency_s=10%, decode_latency_s=10%; "
    "also if B lacks a point of A, or failed there.",
)
@click.option("--allow-missing", is_flag=True, help="Points of A that B lacks, or that failed there, are no failure.")
@click.option(
    "--strict", is_flag=True, help="Fail also where a threshold could not be judged, such as times of a busy machine."
)
@click.option("--dataset", metavar="NAME", help="One of the runs' datasets [all].")
@click.option(
    "--codecs", metavar="SPECS", help="Only these codecs, or only some of their points if settings are given [all]."
)
@click.option("--confidence", type=float, default=0.95, help="Confidence level of the intervals, between 0 and 1.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the table of all points as CSV, with every digit.")
@options.json
def compare(a: str, b: str, limits: tuple[str, ...], as_csv: bool, as_json: bool, **asked: Any) -> int:
    """Show what changed from run A, the baseline, to run B: codecs, machine, rates, distortions and times.

    Rates and distortions are compared image by image, with confidence intervals; times by a test over their rounds, and
    against a threshold only if both runs measured them on the same machine. Measures nothing. Exit codes: 0 if no
    threshold is exceeded, 1 if one is, 2 if the command cannot be carried out.
    """
    from pathlib import Path

    from codecbench.analysis import compare as comparing
    from codecbench.analysis.compare import thresholds
    from codecbench.errors import UsageError
    from codecbench.store.folder import RunFolder

    if as_csv and as_json:
        raise UsageError("--csv and --json cannot be used together")
    fail_above = thresholds.read(limits)
    stores = [RunFolder.existing(Path(folder)) for folder in (a, b)]
    found = comparing.compare(*stores, fail_above=fail_above, **asked)
    if as_json:
        say(json.dumps(found.as_record(), indent=1, ensure_ascii=False, allow_nan=False))
    elif as_csv:
        print_csv(found.table)
    else:
        show(found)
    if fail_above and not as_json:
        verdict(found, fail_above, err=as_csv)
    return 1 if found.failures else 0


def show(found: Comparison) -> None:
    """Prints a comparison: what differs, then rates and distortions, then times."""
    say(f"A  {found.a}\nB  {found.b}")
    block("What differs", found.differences or ["nothing that the runs record"])
    block("Points only in A", found.only_in_a)
    block("Points only in B", found.only_in_b)
    block("Note", found.warnings)
    show_rates(found)
    show_times(found)


def block(title: str, lines: list[str]) -> None:
    """Prints a heading with its lines; nothing where there are none."""
    if lines:
        say(f"\n{title}")
        for line in lines:
            say(f"  {line}")


def verdict(found: Comparison, limits: dict[str, float], err: bool) -> None:
    """Says what the thresholds found."""
    from codecbench.analysis.compare.thresholds import written

    asked = ", ".join(f"{key}={written(key, limit)}" for key, limit in limits.items())
    say(f"\nThresholds ({asked}): {count(len(found.failures), 'failure')}", err=err)
    passed_over = [f"passed over: {line}" for line in found.passed_over if line not in found.failures]
    for line in [*passed_over, *(f"fails: {line}" for line in found.failures)]:
        say(f"  {line}", err=err)


def show_rates(found: Comparison) -> None:
    """Prints rates and distortions of the points that differ, and counts those that do not."""
    from codecbench.analysis.compare.points import SAME, UNTESTED
    from codecbench.report.tables import Column, of

    groups: dict[Point, dict[str, Row]] = defaultdict(dict)
    for row in found.rates.to_dict("records"):
        if row["measure"] in SHOWN:
            groups[row["dataset"], row["codec"], row["settings"]][row["measure"]] = row
    if not groups:
        return
    changed = [
        {"place": place, "images": max(row["n"] for row in rows.values()), **dict.fromkeys(SHOWN), **rows}
        for place, rows in groups.items()
        if any(row["verdict"] != SAME and row["a"] != row["b"] for row in rows.values())
    ]
    how_many = _how_many(len(changed), len(groups))
    say(f"\nRates and distortions, B less A, intervals of {100 * found.confidence:g} %: {how_many}")
    if not changed:
        return
    measured = [[point[name] for name in SHOWN if point[name]] for point in changed]
    columns = [*_place([point["place"] for point in changed]), Column("images", lambda point: f"{point['images']:,}")]
    columns += [Column(head, of(name, rate_cell)) for name, head in SHOWN.items()]
    _print_rows(columns, changed)
    notes = Counter(note for rows in measured for note in dict.fromkeys(row["note"] for row in rows if row["note"]))
    lines = [f"{note} ({count(number, 'point')})" for note, number in notes.items()]
    more = [f"and {len(lines) - NOTES} more notes, see --csv"] if len(lines) > NOTES else []
    tested = any(row["verdict"] != UNTESTED for rows in measured for row in rows)
    legend = ["± half the interval of the mean over the images; * significant"] if tested else []
    for line in [*legend, *lines[:NOTES], *more]:
        say(f"  {line}")


def rate_cell(row: Row | None) -> str:
    """A difference with half its interval, a star where it is significant."""
    from codecbench.analysis.compare import points as contrasts
    from codecbench.analysis.compare import thresholds

    if row is None:
        return "–"
    if row["verdict"] == contrasts.SAME:
        return "identical"
    if math.isnan(row["difference"]):
        return "0 in A *" if row["verdict"] == contrasts.WORSE else "0 in A"
    text = thresholds.amount(row["measure"], row["difference"])
    if not math.isnan(row["low"]):
        text += f" ± {thresholds.amount(row['measure'], (row['high'] - row['low']) / 2)[1:]}"
    return text + (" *" if row["verdict"] in (contrasts.BETTER, contrasts.WORSE) else "")


def show_times(found: Comparison) -> None:
    """Prints per codec how times changed, then the points whose change is significant."""
    import pandas as pd

    from codecbench.analysis.compare.points import BETTER, WORSE
    from codecbench.report.tables import Column, words
    from codecbench.text import format_seconds

    if found.overall.empty:
        return
    say("\nTimes, B over A, geometric mean over the points")
    time_of = words("time of", lambda row: TIME_HEADS[row["measure"]])
    columns = [
        *(words("dataset", "dataset"), words("codec", "codec"), time_of),
        Column("points", lambda row: str(row["points"])),
        Column("B/A", lambda row: f"{row['ratio']:.3f}"),
        Column("slower *", lambda row: str(row["slower"])),
        Column("faster *", lambda row: str(row["faster"])),
    ]
    _print_rows(columns, found.overall.to_dict("records"))
    moved = found.times[found.times["verdict"].isin({BETTER, WORSE})]
    if len(moved):
        say("")
        places = list(moved[["dataset", "codec", "settings"]].itertuples(index=False, name=None))
        columns = [
            *(*_place(places), time_of),
            Column("A", lambda row: format_seconds(row["a"])),
            Column("B", lambda row: format_seconds(row["b"])),
            Column("B/A", lambda row: f"{row['b'] / row['a']:.3f}"),
            Column("p", lambda row: f"{row['p_value']:.2g}"),
            words("", "note"),
        ]
        _print_rows(columns, moved.assign(place=pd.Series(places, moved.index)).to_dict("records"))
    if found.times["p_value"].notna().any():
        level = 1.0 - found.confidence
        say(f"  * by Mann and Whitney's U over the rounds at {level:.2g}, corrected for a codec's number of points")


def _how_many(changed: int, all_points: int) -> str:
    if not changed:
        return "identical" if all_points == 1 else f"identical at all {all_points:,} points"
    return f"{changed:,} of {count(all_points, 'point')} {'differs' if changed == 1 else 'differ'}"


def _place(points: Sequence[Point]) -> list[Column]:
    """The columns that name a point, of its settings those that distinguish some points of a codec."""
    from codecbench.analysis.points import short_settings, telling_settings
    from codecbench.report.tables import words

    settings: dict[str, list[str]] = {}
    for _, codec, text in points:
        settings.setdefault(codec, []).append(text)
    keys = {codec: telling_settings(own) for codec, own in settings.items()}
    return [
        words("dataset", lambda row: row["place"][0]),
        words("codec", lambda row: row["place"][1]),
        words("settings", lambda row: short_settings(row["place"][2], keys[row["place"][1]])),
    ]


def _print_rows(columns: Sequence[Column], records: Sequence[Any]) -> None:
    from codecbench.report.tables import table_of

    print_table(table_of("", columns, records), indent=2)
