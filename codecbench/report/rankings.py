"""Rankings: every table that compares codecs, dataset by dataset; the important ones open, the rest behind a click."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from codecbench.analysis import per_image
from codecbench.analysis import sets as whole_sets
from codecbench.analysis.points import constant_settings, is_exact
from codecbench.columns import MEANINGS
from codecbench.report import markup, ranked
from codecbench.report.context import Context, Section
from codecbench.report.tables import Column, Row, Table, number, with_best, with_short_settings, word
from codecbench.text import (
    count,
    format_rate,
    format_seconds,
    format_shape,
    format_significant,
    format_span,
    join_words,
)


@dataclass(frozen=True)
class Ranking:
    """The tables of one dataset, the important ones first."""

    label: str
    about: str  # its images in a few words
    tables: list[Table] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)  # what cannot be shown, and why
    codecs: list[dict[str, Any]] = field(default_factory=list)  # all points by codec, for the long tables


def section(context: Context) -> Section | None:
    """The tables of every dataset; None where nothing was tried."""
    if context.points.empty:
        return None
    found = [ranking(context, label) for label in context.datasets]
    sets = sets_table(context)
    html = context.render("rankings.html.j2", datasets=found, sets=sets, meaning=MEANINGS, anchor=context.anchor)
    text = _markdown(found, sets)
    return Section("rankings", "Rankings", html, text, data={}, scripts=("rankings.js",), style="words.css")


def _markdown(rankings: Sequence[Ranking], sets: Table | None) -> str:
    """The same tables, but for the long ones of all points, which ``summary.csv`` has."""
    lines = ["## Rankings", ""]
    for one in rankings:
        lines += [f"### {markup.markdown(one.label)}", "", markup.markdown(one.about), ""]
        lines += [table.markdown(4) for table in one.tables]
        lines += [f"- {markup.prose_markdown(line)}" for line in one.lacking] + [""]
    if sets is not None:
        lines.append(sets.markdown(3))
    return "\n".join(lines)


def ranking(context: Context, dataset: str) -> Ranking:
    """The tables of one dataset."""
    points, anchor = context.of(dataset), context.anchor
    measured = points[points["images"] > 0]
    found = Ranking(dataset, about(context, dataset))
    found.codecs.extend(_codec(members) for _, members in points.groupby("codec", sort=True))
    if measured.empty:
        found.lacking.append("Nothing was measured here yet: there is nothing to compare.")
        return found
    found.tables.append(ranked.overview_table(points))
    if len(set(measured["codec"])) == 1:
        found.lacking.append("Only one codec was measured here: there is nothing to compare it with.")
        return found
    lossy = measured[~is_exact(measured)]
    if lossy.empty:
        found.lacking.append("Every codec here restores every pixel: there are no qualities to compare at.")
    elif anchor not in set(lossy["codec"]):
        who = f"`{anchor}` has no lossy point here" if anchor else "no codec here has a curve"
        found.lacking.append(f"No BD-rates and savings: {who} to compare others with.")
    else:
        found.tables.extend(ranked.bd_tables(points, anchor, context.resampled))
        found.tables.extend(filter(None, [ranked.savings_table(points, anchor)]))
        contrasts = per_image.contrasts(context.store, points, dataset, anchor, count=_EVERY)
        found.tables.extend(
            filter(
                None, [ranked.contrast_table(contrasts, dataset, anchor, context.pictures.images(dataset).__contains__)]
            )
        )
    if measured["encode_s"].notna().any():
        found.tables.extend(ranked.pareto_tables(points))
    return found


_EVERY = 1 << 62
"""Of the images named in contrasts: all."""


def about(context: Context, dataset: str) -> str:
    """A dataset's images in a few words."""
    record = context.manifest["datasets"][dataset]
    shapes = [format_shape(shape) for shape in context.read.shapes.get(dataset, ())]
    of = "" if not shapes else f", of {len(shapes)} shapes" if len(shapes) > 4 else ", " + join_words(shapes)
    return f"{record['images']:,} of {count(record['total'], 'image')}{of}"


def sets_table(context: Context) -> Table | None:
    """Whole sets as one stream; None where the run has none. Never in one column with figures of single images."""
    table = whole_sets.table(context.store)
    if table.empty:
        return None
    table = with_short_settings(table, table)
    rows = []
    for _, record in table.sort_values(["dataset", "bits_per_pixel", "codec"], kind="stable").iterrows():
        status = str(record["status"] or "")
        cells = [
            word(str(record["dataset"])),
            word(str(record["short"]) or "–", str(record["settings"])),
            number(record["images"], lambda value: f"{value:,.0f}"),
            number(record["set_bytes"], lambda value: f"{value:,.0f}") if not status else word(status),
            number(record["bits_per_pixel"], format_rate),
            number(record["bits_per_image"] / 8, format_significant),
            number(record["encode_s"], format_seconds),
            number(record["decode_s"], format_seconds),
        ]
        rows.append(Row(str(record["codec"]), tuple(cells)))
    rows = _best_sets(rows)
    columns = (
        Column("Codec", numeric=False),
        Column("Dataset", numeric=False),
        Column("Settings", numeric=False),
        Column("Images", "images in the stream"),
        Column("Bytes of the set", "length of the one stream of all images"),
        Column("bpp", "its bits over the pixels of all images"),
        Column("Bytes per image", "length of the stream over the number of its images"),
        Column("Encode", "seconds for the whole set"),
        Column("Decode", "seconds for the whole set"),
    )
    text = (
        "All images of a set in one stream, as papers quote general-purpose compressors and bits-back coders. One "
        "image cannot be decoded without the others, so **none of these figures compares with those of single images**."
    )
    return Table("The whole set as one stream", columns, tuple(rows), text)


def _best_sets(rows: list[Row]) -> list[Row]:
    """Marks the smallest of each dataset."""
    for name in dict.fromkeys(row.cells[0].text for row in rows):
        rows = with_best(rows, 4, among=lambda row, name=name: row.cells[0].text == name)  # type: ignore[misc]
    return rows


def _codec(members: pd.DataFrame) -> dict[str, Any]:
    """What the long table says about one codec on one dataset."""
    measured = members[members["images"] > 0]
    parts = [count(len(members), "point")]
    if len(measured):
        low, high = measured["bits_per_pixel"].min(), measured["bits_per_pixel"].max()
        parts.append(format_span(low, high, format_rate, "bits per pixel"))
    low, high = members["psnr_db"].min(), members["psnr_db"].max()
    if not math.isnan(low):
        parts.append(format_span(low, high, "{:.1f}".format, "dB"))
    if is_exact(members).any():
        parts.append("every pixel restored" + ("" if is_exact(members).all() else " at some"))
    if members["failed"].sum():
        parts.append(f"{count(int(members['failed'].sum()), 'image')} failed")
    return {
        "name": members["codec"].iloc[0],
        "label": members["label"].iloc[0],
        "mark": members["mark"].iloc[0],
        "said": ", ".join(parts),
        "shared": constant_settings(list(members["settings"])),
        "rows": with_short_settings(members, members).assign(restored=is_exact(members)).to_dict("records"),
    }
