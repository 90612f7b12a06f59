"""File sizes at fixed levels of quality, and what they save against another codec.

A BD-rate is one number for a whole range and hides where curves cross; this table has the levels one by one. Sizes are
read between measured neighbours along straight lines of log rate over quality; nothing is extrapolated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from codecbench.analysis.bd_rate import against_anchor
from codecbench.analysis.points import crossing, is_exact, read_at
from codecbench.analysis.rd_curves import NOT_AVAILABLE, RESTORES, Axes, RDCurve, format_quality, is_similarity
from codecbench.analysis.tables import typed
from codecbench.columns import described
from codecbench.errors import UsageError

PSNR_LEVELS = (30.0, 35.0, 40.0)
"""Levels of PSNR: visible loss, little loss, next to none."""
SSIM_LEVELS = (0.9, 0.95, 0.98)
COLUMNS = described(
    ("dataset codec label curve mark", "text", "the codec's curve"),
    ("anchor anchor_curve quality rate", "text", "what it is compared with, and how"),
    ("quality_at", "number", "the level, in the measure's own unit"),
    ("bits_per_image bytes_per_image bits_per_pixel", "number", "the rate there; for payload without the container"),
    ("against_anchor_percent", "number", "bits over the anchor's at the same level, less 100; -20 saves a fifth"),
    ("best", "flag", "the smallest of all codecs at this level on this dataset"),
    ("status", "text", "empty, ``anchor`` or ``not available: …``"),
    (
        "note",
        "text",
        "over how many images where it is not all; of a codec that only restores every pixel, its smallest mean size: "
        "it has every quality, and may be smaller than lossy files",
    ),
)


def table(
    points: pd.DataFrame,
    anchor: str,
    *,
    qualities_db: Sequence[float] | None = None,
    quality: str = "psnr_db",
    rate: str = "whole",
    anchor_curve: str | None = None,
) -> pd.DataFrame:
    """What every codec takes at fixed levels, with ``COLUMNS``; a row per dataset × codec × curve × level.

    ``qualities_db`` are in the measure's own unit, by default those of :func:`levels_of`; ``anchor_curve`` is as in
    ``bd_rate.table``. An unknown name is an error, and so is a level that the measure cannot have, such as 1 of SSIM.
    """
    axes = Axes.of(points, quality, rate)
    found = against_anchor(points, axes, anchor, anchor_curve)
    levels = levels_of(quality) if qualities_db is None else tuple(map(float, qualities_db))
    for level in levels:
        if not math.isfinite(float(axes.scaled(level))):
            allowed = "numbers below 1" if is_similarity(quality) else "finite numbers"
            raise UsageError(f"the level {level:g} of {quality} is not allowed; allowed: {allowed}")
    rows: list[dict[str, Any]] = []
    for curves, base in found:
        exact = _smallest_exact(points[points["dataset"] == curves[0].dataset], axes.bits_per("image"))
        here: list[dict[str, Any]] = []
        for curve in curves:
            row = curve.key | {"anchor": anchor, "anchor_curve": base.curve if base else ""}
            row |= {"quality": quality, "rate": rate}
            row["note"] = exact.get(curve.codec, "") if curve.status == RESTORES else curve.note
            here += [row | {"quality_at": level} | _at(curve, base, anchor, level) for level in levels]
        for level in levels:
            there = [row for row in here if row["quality_at"] == level and "bits_per_pixel" in row]
            if there:
                min(there, key=lambda row: float(row["bits_per_pixel"]))["best"] = True
        rows += here
    return typed(rows, COLUMNS)


def _smallest_exact(points: pd.DataFrame, column: str) -> dict[str, str]:
    """By codec, how small it is where it restores every pixel."""
    exact = points[is_exact(points)]
    sizes = exact.groupby("codec", sort=False)[column].min() / 8.0
    return {str(codec): f"{size:,.0f} bytes per image" for codec, size in sizes.items() if size > 0}


def levels_of(quality: str) -> tuple[float, ...]:
    """The default levels of a measure: none for a measure whose scale is not known."""
    if quality.endswith("_db"):
        return PSNR_LEVELS
    return SSIM_LEVELS if "ssim" in quality else ()


def _at(curve: RDCurve, base: RDCurve | None, anchor: str, level: float) -> dict[str, Any]:
    """What a curve takes at a level, and against the anchor."""
    target = float(curve.axes.scaled(level))
    low, share = crossing(curve.quality, target)
    if np.isnan(share):
        return {"status": curve.why_not_at(target)}
    bits = float(read_at(curve.members[curve.axes.bits_per("image")].to_numpy(float), low, share))
    pixels = float(read_at(curve.rate, low, share))
    row = {"bits_per_image": bits, "bytes_per_image": bits / 8.0, "bits_per_pixel": pixels}
    if curve is base:
        return row | {"against_anchor_percent": 0.0, "status": "anchor"}
    there = math.nan if base is None else float(read_at(base.rate, *crossing(base.quality, target)))
    if math.isnan(there):
        return row | {"status": f"{NOT_AVAILABLE}{anchor} has nothing at {format_quality(level, curve.axes.quality)}"}
    return row | {"against_anchor_percent": 100.0 * (pixels / there - 1.0), "status": ""}
