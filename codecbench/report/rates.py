"""Curves of rate against quality: the interactive plot, and the same as static figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from codecbench import figures
from codecbench.analysis.points import is_exact, short_settings, telling_settings, varying
from codecbench.figures.style import DASHES, FOREIGN_DASHES
from codecbench.report.context import Context, Section, safe_name
from codecbench.text import count

KINDS = (
    ("rate-distortion", "psnr_db", "Bits per pixel against PSNR"),
    ("rate-ssim", "ssim", "Bits per pixel against SSIM"),
)
RATES = {
    "bits_per_pixel": "bpp",
    "bits_per_image": "bpi",
    "payload_bits_per_pixel": "pbpp",
    "payload_bits_per_image": "pbpi",
}
"""Columns of the summary, and what the page's data calls them."""


def section(context: Context) -> Section | None:
    """The curves of every dataset."""
    datasets: list[dict[str, Any]] = []
    for label in context.datasets:
        points = context.of(label)
        drawings, absent = _drawings(context, label, points), lacking(context, label)
        datasets.append({"label": label, "drawings": drawings, "lacking": absent})
    same = context.same.over("psnr_db")
    drawn = [label for label in context.datasets if figures.can_draw(context.of(label, over="psnr_db"))]
    if drawn:
        context.save("rate-distortion", figures.rate_distortion(same, drawn[:4], styles=context.styles))
    data = plot_data(context)
    html = context.render("rates.html.j2", datasets=datasets, drawable=bool(data["datasets"]), data=data)
    return Section("curves", "Curves", html, data=data, scripts=("rates.js",), style="rates.css")


def _drawings(context: Context, label: str, points: pd.DataFrame) -> list[dict[str, str]]:
    if is_exact(points)[points["images"] > 0].all():
        return []
    return [
        context.drawing(
            f"{kind}-{safe_name(label)}",
            figures.rate_distortion(context.same.over(quality), [label], quality, context.styles),
            f"{title} on {label}",
        )
        for kind, quality, title in KINDS
        if figures.can_draw(context.of(label, over=quality), quality)
    ]


def lacking(context: Context, dataset: str) -> list[str]:
    """What the plots of a dataset do not show, and why."""
    points = context.of(dataset)
    measured = points[points["images"] > 0]
    if measured.empty:
        return ["No codec has a result on this data yet: there is nothing to draw or to compare."]
    found = []
    if is_exact(measured).all():
        return ["Every codec here restores every pixel: there is no PSNR or SSIM to draw, only rates."]
    if not figures.can_draw(points):
        found.append("No curve is shown: every lossy stream measured is empty, and a log scale has no zero.")
    notes = {quality["name"]: context.same.note(dataset, quality["name"]) for quality in context.qualities}
    found += filter(None, notes.values())
    if not figures.can_draw(points, "ssim"):
        found.append("SSIM is not shown: no codec has one here (it needs images at least as large as its window).")
    empty = measured[measured["bits_per_pixel"] == 0]
    if 0 < len(empty) < len(measured):
        found.append(
            f"{count(len(empty), 'point')} with empty streams (0 bits) cannot be shown on a log scale; the table "
            "has them."
        )
    if far := int(figures.outside(points).sum()):
        found.append(
            f"{count(far, 'point')} outside the first view (below {figures.BOTTOM_DB:g} dB, above {figures.TOP_DB:g} "
            f"dB, or more than {figures.MOST_RAW:g} times the raw size); the table has them."
        )
    if beyond := int(figures.beyond_ssim(points).sum()):
        found.append(
            f"{count(beyond, 'lossy point')} with an SSIM above {figures.SSIM_TOP:g} outside the first view of SSIM; "
            "the table has them."
        )
    return found


def plot_data(context: Context) -> dict[str, Any]:
    """What the script draws: the measures of quality, and by dataset the raw rate and lines of points, by column."""
    datasets: dict[str, dict[str, Any]] = {}
    for label in context.datasets:
        points = context.of(label)
        points = points.assign(far=figures.outside(points).astype(int) + 2 * figures.beyond_ssim(points).astype(int))
        drawable = points[(points["images"] > 0) & (points["bits_per_pixel"] > 0)]
        if len(drawable):
            datasets[label] = {"raw": figures.raw_rate(drawable), "lines": _lines(context, drawable)}
    every = [line for found in datasets.values() for line in found["lines"]]
    return {
        "metrics": context.qualities,
        "payload": any("pbpp" in line["points"] for line in every),
        "intervals": any("spread" in line for line in every),
        "datasets": datasets,
    }


def _lines(context: Context, points: pd.DataFrame) -> list[dict[str, Any]]:
    """The lines of one dataset, by name; points that restore every pixel are lines of their own, without a line."""
    found: list[dict[str, Any]] = []
    for label, members in points.groupby("label", sort=True):
        codec = str(members["codec"].iloc[0])
        foreign = bool(members["out_of_domain"].any())
        about = {"codec": codec, "foreign": foreign, "mark": str(members["mark"].iloc[0])}
        keys = telling_settings(list(points.loc[points["codec"] == codec, "settings"]))
        exact = is_exact(members)
        curves = members[~exact].groupby("curve", sort=True)
        telling = [key for key in varying([str(curve) for curve in curves.groups]) if key]
        dashes = FOREIGN_DASHES if foreign else DASHES
        for number, (curve, line) in enumerate(curves):
            own = short_settings(str(curve), telling) if len(curves) > 1 else ""
            joined = bool((line["swept"] != "").all()) and len(line) > 1
            drawn = {"exact": False, "joined": joined, "dash": dashes[number % len(dashes)]}
            found.append({"name": f"{label} {own}".rstrip()} | about | drawn | _points(context, line, keys))
        if exact.any():
            drawn = {"exact": True, "joined": False, "dash": "solid"}
            found.append({"name": str(label)} | about | drawn | _points(context, members[exact], keys))
    return found


def _points(context: Context, line: pd.DataFrame, keys: list[str]) -> dict[str, Any]:
    """The points of one line by rate, and ``over`` a measure of quality those over the same images."""
    line = line.sort_values("bits_per_pixel", kind="stable")
    names = [quality["name"] for quality in context.qualities]
    found = _columns(context, line, names)
    found["points"] |= {
        "settings": [short_settings(str(settings), keys) for settings in line["settings"]],
        "failed": line["failed"].tolist(),
        "far": line["far"].tolist(),
    }
    dataset, over = str(line["dataset"].iloc[0]), {}
    for name in names:
        if context.same.note(dataset, name):
            same = context.same.over(name).loc[line.index]
            over[name] = _columns(context, same, [name], name)
    return found | ({"over": over} if over else {})


def _columns(context: Context, line: pd.DataFrame, names: list[str], over: str = "") -> dict[str, Any]:
    """The rates of points, and measures of quality; columns without any number are left out."""
    points: dict[str, Any] = {"images": line["images"].tolist()}
    spread: dict[str, Any] = {}
    places = list(zip(line["dataset"], line["codec"], line["settings"], strict=True))
    for name in [*RATES, *names]:
        if name in line and (over or line[name].notna().any()):
            points[RATES.get(name, name)] = line[name].where(line["images"] > 0).astype(float).tolist()
        if context.resampled is not None:
            means = context.resampled
            ends = np.array([means.interval(place, name, over) for place in places], dtype=float).reshape(-1, 2)
            if np.isfinite(ends).any():
                spread[RATES.get(name, name)] = [ends[:, 0].tolist(), ends[:, 1].tolist()]
    return {"points": points} | ({"spread": spread} if spread else {})
