"""Rankings: every table that compares codecs, dataset by dataset; the important ones open, the rest behind a click."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from codecbench.analysis import per_image
from codecbench.analysis import sets as whole_sets
from codecbench.analysis.points import constant_settings, is_exact
from codecbench.columns import MEANINGS
from codecbench.report import image_by_image, markup, ranked
from codecbench.report.context import Context, Section
from codecbench.report.tables import Table, with_short_settings, with_unsteady_ways
from codecbench.text import count, format_rate, format_shape, format_span, join_words


@dataclass(frozen=True)
class Ranking:
    """The tables of one dataset, the important ones first."""

    label: str
    about: str  # its images in a few words
    tables: list[Table]
    lacking: list[str]  # what cannot be shown, and why
    codecs: list[dict[str, Any]]  # all points by codec, for the long tables


def section(context: Context) -> Section | None:
    """The tables of every dataset; None where nothing was tried."""
    if context.points.empty:
        return None
    found = [ranking(context, label) for label in context.datasets]
    sets = ranked.sets_table(whole_sets.table(context.store))
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
    tables, lacking = _tables(context, dataset)
    codecs = [_codec(members) for _, members in context.of(dataset).groupby("codec", sort=True)]
    return Ranking(dataset, about(context, dataset), tables, lacking, codecs)


def _tables(context: Context, dataset: str) -> tuple[list[Table], list[str]]:
    """The tables that compare codecs, and in words what cannot be compared."""
    points, same, anchor = context.of(dataset), context.of(dataset, over="psnr_db"), context.anchor
    measured = points[points["images"] > 0]
    if measured.empty:
        return [], ["Nothing was measured here yet: there is nothing to compare."]
    tables, lacking = [ranked.overview_table(points, same)], []
    if len(set(measured["codec"])) == 1:
        return tables, ["Only one codec was measured here: there is nothing to compare it with."]
    lossy = measured[~is_exact(measured)]
    if lossy.empty:
        lacking.append("Every codec here restores every pixel: there are no qualities to compare at.")
    elif anchor not in set(lossy["codec"]):
        who = f"`{anchor}` has no lossy point here" if anchor else "no codec here has a curve"
        lacking.append(f"No BD-rates and savings: {who} to compare others with.")
    else:
        contrasts = per_image.contrasts(context.store, same, dataset, anchor, count=EVERY)
        shown = context.pictures.images(dataset)
        tables += ranked.bd_tables(context.same, dataset, anchor)
        tables += filter(None, [ranked.savings_table(same, anchor)])
        tables += filter(None, [image_by_image.contrast_table(contrasts, dataset, anchor, shown)])
    if measured["encode_s"].notna().any():
        tables += ranked.pareto_tables(points, same)
    return tables, lacking


EVERY = 1 << 62
"""Of the images named in contrasts: all."""


def about(context: Context, dataset: str) -> str:
    """A dataset's images in a few words."""
    record = context.manifest["datasets"][dataset]
    shapes = [format_shape(shape) for shape in context.read.shapes.get(dataset, ())]
    of = "" if not shapes else f", of {len(shapes)} shapes" if len(shapes) > 4 else ", " + join_words(shapes)
    return f"{record['images']:,} of {count(record['total'], 'image')}{of}"


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
    rows = with_unsteady_ways(with_short_settings(members, members)).to_dict("records")
    return {
        "label": members["label"].iloc[0],
        "mark": members["mark"].iloc[0],
        "about": ", ".join(parts),
        "shared": constant_settings(list(members["settings"])),
        "rows": rows,
    }
