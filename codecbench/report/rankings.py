"""Rankings: every table that compares codecs, dataset by dataset; the important ones open, the rest behind a click."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from codecbench.analysis import per_image
from codecbench.analysis.points import constant_settings, restored
from codecbench.report import contrasted, look, markup, ranked
from codecbench.report.context import Context
from codecbench.report.section import Section
from codecbench.report.tables import Column, Row, Sheet, number, with_best, word
from codecbench.report.tabling import with_short_settings
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
class Ranked:
    """The tables of one dataset.

    Attributes:
        label: the dataset's label.
        about: its images in a few words.
        sheets: the tables, the important ones first.
        lacking: what cannot be shown, and why.
        codecs: all points, codec by codec, for the long tables.
    """

    label: str
    about: str
    sheets: list[Sheet] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    codecs: list[dict[str, Any]] = field(default_factory=list)


def section(context: Context) -> Section | None:
    """The tables of every dataset; None where nothing was tried."""
    if context.points.empty:
        return None
    found = [ranking(context, label) for label in context.datasets]
    sets = sets_sheet(context)
    html = context.render(
        "rankings.html.j2", datasets=found, sets=sets, meaning=markup.column_meanings(), anchor=context.anchor
    )
    return Section("rankings", "Rankings", html, data={}, scripts=("rankings.js",), style="words.css")


def markdown(context: Context) -> str:
    """The same tables in Markdown, but for the long ones of all points, which ``summary.csv`` has."""
    if context.points.empty:
        return ""
    lines = ["## Rankings", ""]
    for one in (ranking(context, label) for label in context.datasets):
        lines += [f"### {markup.markdown(one.label)}", "", markup.markdown(one.about), ""]
        lines += [sheet.markdown(4) for sheet in one.sheets]
        lines += [f"- {markup.prose_markdown(line)}" for line in one.lacking] + [""]
    if (sets := sets_sheet(context)) is not None:
        lines.append(sets.markdown(3))
    return "\n".join(lines)


def ranking(context: Context, dataset: str) -> Ranked:
    """The tables of one dataset; made once a context.

    Args:
        context: of the run.
        dataset: its label.
    """
    known: dict[str, Ranked] = context.__dict__.setdefault("_rankings", {})
    if dataset not in known:
        known[dataset] = _ranking(context, dataset)
    return known[dataset]


def _ranking(context: Context, dataset: str) -> Ranked:
    points, anchor = context.of(dataset), context.anchor
    measured = points[points["images"] > 0]
    found = Ranked(dataset, about(context, dataset))
    found.codecs.extend(_codec(members) for _, members in points.groupby("codec", sort=True))
    if measured.empty:
        found.lacking.append("Nothing was measured here yet: there is nothing to compare.")
        return found
    found.sheets.append(ranked.overview_sheet(points))
    if len(set(measured["codec"])) == 1:
        found.lacking.append("Only one codec was measured here: there is nothing to compare it with.")
        return found
    lossy = measured[~restored(measured)]
    if lossy.empty:
        found.lacking.append("Every codec here restores every pixel: there is no quality to hold equal.")
    elif anchor not in set(lossy["codec"]):
        who = f"`{anchor}` has no lossy point here" if anchor else "no codec here has a curve"
        found.lacking.append(f"No BD-rates and savings: {who} to compare others with.")
    else:
        found.sheets.extend(ranked.bd_sheets(points, anchor, context.resampled))
        found.sheets.extend(filter(None, [ranked.savings_sheet(points, anchor)]))
        contrasts = per_image.contrasts(context.store, points, dataset, anchor, count=_EVERY)
        held = look.images_in_page(context, dataset)
        found.sheets.extend(filter(None, [contrasted.contrast_sheet(contrasts, dataset, anchor, held.__contains__)]))
    if measured["encode_s"].notna().any():
        found.sheets.extend(ranked.pareto_sheets(points))
    return found


_EVERY = 1 << 62
"""Of the images named in contrasts: all."""


def about(context: Context, dataset: str) -> str:
    """A dataset's images in a few words."""
    record = context.manifest["datasets"][dataset]
    shapes = [format_shape(shape) for shape in context.read.shapes.get(dataset, ())]
    of = "" if not shapes else f", of {len(shapes)} shapes" if len(shapes) > 4 else ", " + join_words(shapes)
    return f"{record['images']:,} of {count(record['total'], 'image')}{of}"


def sets_sheet(context: Context) -> Sheet | None:
    """Whole sets as one stream; None where the run has none. Never in one column with figures of single images."""
    if importlib.util.find_spec("codecbench.store.sets") is None:
        return None
    from codecbench.store import sets

    table = sets.table(context.store)
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
        Column("Bytes of the set", "length of the one stream that holds all images"),
        Column("bpp", "its bits over the pixels of all images"),
        Column("Bytes an image", "the stream shared among its images"),
        Column("Encode", "seconds for the whole set"),
        Column("Decode", "seconds for the whole set"),
    )
    text = (
        "All images of a set in one stream, as papers quote general-purpose compressors and bits-back coders. One "
        "image cannot be had without the others, so **none of these figures compares with those of single images**."
    )
    return Sheet("The whole set as one stream", columns, tuple(rows), text)


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
    if restored(members).any():
        parts.append("every pixel restored" + ("" if restored(members).all() else " at some"))
    if members["failed"].sum():
        parts.append(f"{count(int(members['failed'].sum()), 'image')} failed")
    return {
        "name": members["codec"].iloc[0],
        "label": members["label"].iloc[0],
        "mark": members["mark"].iloc[0],
        "said": ", ".join(parts),
        "shared": constant_settings(list(members["settings"])),
        "rows": with_short_settings(members, members).assign(restored=restored(members)).to_dict("records"),
    }
