"""``codecbench compare``."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import click

from codecbench.cli.console import print_table

if TYPE_CHECKING:
    from codecbench.analysis.compare import Comparison
    from codecbench.analysis.compare.points import Row
    from codecbench.report import tables
    from codecbench.store.io import Point

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
    "ssim=0.001, encode_s=10%, decode_s=10%, encode_latency_s=10%, decode_latency_s=10%.",
)
@click.option("--dataset", metavar="NAME", help="One of the runs' datasets [all].")
@click.option(
    "--codecs", metavar="SPECS", help="Only these codecs, or only some of their points if settings are given [all]."
)
@click.option(
    "--confidence",
    type=float,
    default=0.95,
    show_default=True,
    help="Confidence level of the intervals, between 0 and 1.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print the table of all points as CSV, with every digit.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def compare(
    a: str,
    b: str,
    limits: tuple[str, ...],
    dataset: str | None,
    codecs: str | None,
    confidence: float,
    as_csv: bool,
    as_json: bool,
) -> int:
    """Show what changed from run A, the baseline, to run B: codecs, machine, rates, distortions and times.

    Rates and distortions are compared image by image, with confidence intervals; times by a test over their rounds, and
    against a threshold only if both runs measured them on the same machine. Measures nothing.
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
    found = comparing.compare(*stores, dataset=dataset, codecs=codecs, confidence=confidence, fail_above=fail_above)
    if as_json:
        click.echo(json.dumps(found.as_record(), indent=1, ensure_ascii=False, allow_nan=False))
    elif as_csv:
        click.echo(found.table.to_csv(index=False, lineterminator="\n"), nl=False)
    else:
        show(found)
    if fail_above and not as_json:
        verdict(found, fail_above, err=as_csv)
    return 1 if found.failures else 0


def show(found: Comparison) -> None:
    """Prints a comparison: what differs, then rates and distortions, then times."""
    click.echo(f"A  {found.a}\nB  {found.b}")
    block("What differs", found.differences or ["nothing that the runs record"])
    block("Points only in A", found.only_in_a)
    block("Points only in B", found.only_in_b)
    if found.warnings:
        block("Note", found.warnings)
    show_rates(found)
    show_times(found)


def block(title: str, lines: list[str]) -> None:
    """Prints a heading with its lines; nothing where there are none."""
    if lines:
        click.echo(f"\n{title}")
        for line in lines:
            click.echo(f"  {line}")


def verdict(found: Comparison, limits: dict[str, float], err: bool) -> None:
    """Says what the thresholds found."""
    from codecbench.analysis.compare.thresholds import written
    from codecbench.text import count

    asked = ", ".join(f"{key}={written(key, limit)}" for key, limit in limits.items())
    lines = [*(f"passed over: {line}" for line in found.passed_over), *(f"worse: {line}" for line in found.failures)]
    click.echo(f"\nThresholds ({asked}): {count(len(found.failures), 'failure')}", err=err)
    for line in lines:
        click.echo(f"  {line}", err=err)


def show_rates(found: Comparison) -> None:
    """Prints rates and distortions of the points that differ, and counts those that do not."""
    from codecbench.analysis.compare import points as contrasts
    from codecbench.report import tables
    from codecbench.text import count

    groups: dict[Point, dict[str, Row]] = {}
    for row in found.rates.to_dict("records"):
        if row["measure"] in SHOWN:
            point = (row["dataset"], row["codec"], row["settings"])
            groups.setdefault(point, {})[row["measure"]] = {str(key): value for key, value in row.items()}
    if not groups:
        return
    changed = {point: rows for point, rows in groups.items() if changes(rows)}
    how_many = _how_many(len(changed), len(groups))
    click.echo(f"\nRates and distortions, B less A, intervals of {100 * found.confidence:g} %: {how_many}")
    if not changed:
        return
    table: list[tables.Row] = []
    told = _told(list(changed))
    notes: dict[str, int] = {}
    for point, rows in changed.items():
        images = max(row["n"] for row in rows.values())
        cells = (rate_cell(rows.get(name)) for name in SHOWN)
        table.append(tables.words_row(*_place(point, told), f"{images:,}", *cells))
        for note in dict.fromkeys(row["note"] for row in rows.values() if row["note"]):
            notes[note] = notes.get(note, 0) + 1
    _print_rows(["dataset", "codec", "settings", "images", *SHOWN.values()], table)
    lines = [f"{note} ({count(number, 'point')})" for note, number in notes.items()]
    more = [f"and {len(lines) - NOTES} more notes, see --csv"] if len(lines) > NOTES else []
    tested = any(row["verdict"] != contrasts.UNTESTED for rows in changed.values() for row in rows.values())
    legend = ["± half the interval of the mean over the images; * significant"] if tested else []
    for line in [*legend, *lines[:NOTES], *more]:
        click.echo(f"  {line}")


def changes(rows: dict[str, Row]) -> bool:
    """Whether any measure of a point differs at all."""
    from codecbench.analysis.compare import points as contrasts

    return any(row["verdict"] != contrasts.SAME and row["a"] != row["b"] for row in rows.values())


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
    from codecbench.analysis.compare import points as contrasts
    from codecbench.report import tables
    from codecbench.text import format_seconds

    if found.overall.empty:
        return
    click.echo("\nTimes, B over A, geometric mean over the points")
    overall = [
        tables.words_row(
            *(row["dataset"], row["codec"], TIME_HEADS[row["measure"]]),
            *(str(row["points"]), f"{row['ratio']:.3f}", str(row["slower"]), str(row["faster"])),
        )
        for row in found.overall.to_dict("records")
    ]
    _print_rows(["dataset", "codec", "time of", "points", "B/A", "slower *", "faster *"], overall)
    moved = found.times[found.times["verdict"].isin({contrasts.BETTER, contrasts.WORSE})]
    if len(moved):
        click.echo("")
        points = list(moved[["dataset", "codec", "settings"]].itertuples(index=False, name=None))
        told = _told(points)
        rows = [
            tables.words_row(
                *_place(point, told),
                TIME_HEADS[row["measure"]],
                *(format_seconds(row["a"]), format_seconds(row["b"]), f"{row['b'] / row['a']:.3f}"),
                *(f"{row['p_value']:.2g}", row["note"]),
            )
            for point, row in zip(points, moved.to_dict("records"), strict=True)
        ]
        _print_rows(["dataset", "codec", "settings", "time of", "A", "B", "B/A", "p", ""], rows)
    if found.times["p_value"].notna().any():
        level = 1.0 - found.confidence
        click.echo(
            f"  * by Mann and Whitney's U over the rounds at {level:.2g}, corrected for a codec's number of points"
        )


def _how_many(changed: int, all_points: int) -> str:
    from codecbench.text import count

    if not changed:
        return "identical" if all_points == 1 else f"identical at all {all_points:,} points"
    return f"{changed:,} of {count(all_points, 'point')} {'differs' if changed == 1 else 'differ'}"


def _told(points: list[Point]) -> dict[str, list[str]]:
    """By codec the settings that tell its points apart."""
    from codecbench.analysis.points import telling_settings

    names = dict.fromkeys(codec for _, codec, _ in points)
    return {name: telling_settings([text for _, codec, text in points if codec == name]) for name in names}


def _place(point: Point, told: dict[str, list[str]]) -> tuple[str, str, str]:
    from codecbench.analysis.points import short_settings

    label, codec, settings = point
    return label, codec, short_settings(settings, told[codec])


def _print_rows(titles: list[str], rows: list[tables.Row]) -> None:
    from codecbench.report import tables

    columns = tables.columns(titles, ("dataset", "codec", "settings", "time of", ""))
    print_table(tables.Table("", columns, tuple(rows)), indent=2)
