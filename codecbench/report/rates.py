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
        datasets.append({"label": label, "drawings": _drawings(context, label, points), "lacking": lacking(points)})
    drawn = [label for label in context.datasets if figures.can_draw(context.of(label))]
    if drawn:
        context.save("rate-distortion", figures.rate_distortion(context.points, drawn[:4], styles=context.styles))
    data = plot_data(context)
    html = context.render("rates.html.j2", datasets=datasets, drawable=bool(data["datasets"]), data=data)
    return Section("curves", "Curves", html, data=data, scripts=("rates.js",), style="rates.css")


def _drawings(context: Context, label: str, points: pd.DataFrame) -> list[dict[str, str]]:
    if is_exact(points)[points["images"] > 0].all():
        return []
    return [
        context.drawing(
            f"{kind}-{safe_name(label)}",
            figures.rate_distortion(context.points, [label], quality, context.styles),
            f"{title} on {label}",
        )
        for kind, quality, title in KINDS
        if figures.can_draw(points, quality)
    ]


def lacking(points: pd.DataFrame) -> list[str]:
    """What the plots of a dataset do not show, and why.

    Args:
        points: the marked points of one dataset.
    """
    measured = points[points["images"] > 0]
    if measured.empty:
        return ["No codec has a result on this data yet: there is nothing to draw or to compare."]
    found = []
    if is_exact(measured).all():
        return ["Every codec here restores every pixel: there is no PSNR or SSIM to draw, only rates."]
    if not figures.can_draw(points):
        found.append("No curve is shown: every lossy stream measured is empty, and a log scale has no zero.")
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
    """What the script draws: by dataset its lines, by line its points, column by column.

    Returns:
        ``metrics`` (``name``, ``title``, ``unit``, ``better``, ``stretch``), ``payload`` (whether some codec tells its
        payload), ``intervals`` (whether points have them) and ``datasets``: by label ``raw`` (bits per pixel of raw
        samples) and ``lines``.
    """
    datasets: dict[str, dict[str, Any]] = {}
    for label in context.datasets:
        points = context.of(label)
        drawable = points[(points["images"] > 0) & (points["bits_per_pixel"] > 0)]
        if len(drawable):
            far = figures.outside(points).astype(int) + 2 * figures.beyond_ssim(points).astype(int)
            lines = _lines(context, drawable, far)
            datasets[label] = {"raw": figures.raw_rate(drawable), "lines": lines}
    every = [line for found in datasets.values() for line in found["lines"]]
    return {
        "metrics": context.qualities,
        "payload": any("pbpp" in line["points"] for line in every),
        "intervals": any("spread" in line for line in every),
        "datasets": datasets,
    }


def _lines(context: Context, points: pd.DataFrame, far: pd.Series[int]) -> list[dict[str, Any]]:
    """The lines of one dataset, by name; points that restore every pixel are lines of their own, without a line."""
    found = []
    exact = is_exact(points)
    keys = {codec: telling_settings(list(members["settings"])) for codec, members in points.groupby("codec")}
    for label, members in points.groupby("label", sort=True):
        codec = str(members["codec"].iloc[0])
        lossy, lossless = members[~exact[members.index]], members[exact[members.index]]
        families = sorted(lossy["curve"].unique())
        telling = [key for key in varying(families) if key]
        foreign = bool(members["out_of_domain"].any())
        dashes = FOREIGN_DASHES if foreign else DASHES
        for number, (curve, line) in enumerate(lossy.groupby("curve", sort=True)):
            ordered = line.sort_values("bits_per_pixel", kind="stable")
            joined = bool((ordered["swept"] != "").all()) and len(ordered) > 1
            own = short_settings(str(curve), telling)
            name = f"{label} {own}" if own and len(families) > 1 else str(label)
            about = {"name": name, "codec": codec, "foreign": foreign, "mark": str(members["mark"].iloc[0])}
            about |= {"exact": False, "joined": joined, "dash": dashes[number % len(dashes)]}
            found.append(about | _columns(context, ordered, keys[codec], far))
        if len(lossless):
            ordered = lossless.sort_values("bits_per_pixel", kind="stable")
            about = {"name": str(label), "codec": codec, "foreign": foreign, "mark": str(members["mark"].iloc[0])}
            about |= {"exact": True, "joined": False, "dash": "solid"}
            found.append(about | _columns(context, ordered, keys[codec], far))
    return found


def _columns(context: Context, line: pd.DataFrame, keys: list[str], far: pd.Series[int]) -> dict[str, Any]:
    """The points of one line; columns without any number are left out."""
    points: dict[str, Any] = {
        "settings": [short_settings(str(settings), keys) for settings in line["settings"]],
        "images": line["images"].tolist(),
        "failed": line["failed"].tolist(),
        "far": far[line.index].tolist(),
    }
    measures = [*RATES, *(quality["name"] for quality in context.qualities)]
    for name in measures:
        if name in line and line[name].notna().any():
            points[RATES.get(name, name)] = line[name].astype(float).tolist()
    found: dict[str, Any] = {"points": points}
    resampled = context.resampled
    if resampled is not None:
        places = list(zip(line["dataset"], line["codec"], line["settings"], strict=True))
        spread = {}
        for name in measures:
            ends = np.array([resampled.interval(place, name) for place in places], dtype=float).reshape(-1, 2)
            if np.isfinite(ends).any():
                spread[RATES.get(name, name)] = [ends[:, 0].tolist(), ends[:, 1].tolist()]
        if spread:
            found["spread"] = spread
    return found
