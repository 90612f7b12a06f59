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

from codecbench.analysis.bd_rate import choose_anchor, curves_by_dataset
from codecbench.analysis.points import crossing, is_exact, read_at
from codecbench.analysis.rd_curves import (
    NOT_AVAILABLE,
    RATES,
    RESTORES,
    RDCurve,
    falls_with_quality,
    format_quality,
    is_similarity,
    to_scale,
    why_no_crossing,
)
from codecbench.errors import UsageError

PSNR_LEVELS = (30.0, 35.0, 40.0)
"""Levels of PSNR: visible loss, little loss, next to none."""
SSIM_LEVELS = (0.9, 0.95, 0.98)
COLUMNS = [
    *("dataset", "codec", "label", "curve", "mark", "anchor", "anchor_curve", "quality", "rate", "quality_at"),
    *("bits_per_image", "bytes_per_image", "bits_per_pixel", "against_anchor_percent", "best", "status", "note"),
]


def table(
    points: pd.DataFrame,
    anchor: str,
    *,
    qualities_db: Sequence[float] | None = None,
    quality: str = "psnr_db",
    rate: str = "whole",
    anchor_curve: str | None = None,
) -> pd.DataFrame:
    """What every codec takes at fixed levels of quality, a row per dataset × codec × curve × level.

        quality_at                     the level, in the measure's own unit
        bits_per_image, bits_per_pixel, bytes_per_image
                                       the rate there; without the container's bytes for ``"payload"``
        against_anchor_percent         bits over the anchor's at the same level, less 100; -20 saves a fifth
        best                           the smallest of all codecs at this level on this dataset
        note                           of a codec that only restores every pixel, its smallest mean size: it has
                                       every quality, and may be smaller than lossy files
        status                         empty, ``anchor`` or ``not available: …``

    ``qualities_db`` are in the measure's own unit, by default those of :func:`levels_of`; ``anchor_curve`` is as in
    ``bd_rate.table``. An unknown name is an error, and so is a level that the measure cannot have, such as 1 of SSIM.
    """
    curves = curves_by_dataset(points, quality, rate, anchor, anchor_curve)
    falls = falls_with_quality(points, quality)
    levels = levels_of(quality) if qualities_db is None else tuple(qualities_db)
    for level in levels:
        if not math.isfinite(float(to_scale(level, quality, falls))):
            allowed = "numbers below 1" if is_similarity(quality) else "finite numbers"
            raise UsageError(f"the level {level:g} of {quality} is not allowed; allowed: {allowed}")
    rows: list[dict[str, Any]] = []
    for dataset, found in curves.items():
        base = choose_anchor([curve for curve in found if curve.codec == anchor], curve=anchor_curve)
        here: list[dict[str, Any]] = []
        exact = _smallest_exact(points[points["dataset"] == dataset], f"{RATES[rate]}bits_per_image")
        for curve in found:
            for level in levels:
                row = curve.key | {"anchor": anchor, "anchor_curve": base.curve if base else "", "quality_at": level}
                row |= {"quality": quality, "rate": rate, "best": False}
                row["note"] = exact.get(curve.codec, "") if curve.status == RESTORES else ""
                here.append(row | _at(curve, base, anchor, float(level), quality, rate, falls))
        for level in levels:
            there = [row for row in here if row["quality_at"] == level and not math.isnan(row["bits_per_pixel"])]
            if there:
                min(there, key=lambda row: float(row["bits_per_pixel"]))["best"] = True
        rows += here
    numbers = ["quality_at", "bits_per_image", "bytes_per_image", "bits_per_pixel", "against_anchor_percent"]
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(numbers, float) | {"best": bool})


def _smallest_exact(points: pd.DataFrame, column: str) -> dict[str, str]:
    """By codec, how small it is where it restores every pixel."""
    exact = points[is_exact(points)]
    sizes = exact.groupby("codec", sort=False)[column].min() / 8.0 if column in exact else pd.Series(dtype=float)
    return {str(codec): f"{size:,.0f} bytes per image" for codec, size in sizes.items() if size > 0}


def levels_of(quality: str) -> tuple[float, ...]:
    """The default levels of a measure: none for a measure whose scale is not known."""
    if quality.endswith("_db"):
        return PSNR_LEVELS
    return SSIM_LEVELS if "ssim" in quality else ()


def _at(
    curve: RDCurve, base: RDCurve | None, anchor: str, level: float, quality: str, rate: str, falls: bool
) -> dict[str, Any]:
    """What a curve takes at a level, and against the anchor."""
    target = float(to_scale(level, quality, falls))
    low, share = crossing(curve.quality, target)
    nothing = dict.fromkeys(["bits_per_image", "bytes_per_image", "bits_per_pixel", "against_anchor_percent"], math.nan)
    if np.isnan(share):
        return nothing | {"status": why_no_crossing(curve, target, quality, falls)}
    bits = float(read_at(curve.members[f"{RATES[rate]}bits_per_image"].to_numpy(float), low, share))
    pixels = float(read_at(curve.rate, low, share))
    row = {"bits_per_image": bits, "bytes_per_image": bits / 8.0, "bits_per_pixel": pixels}
    if curve is base:
        return row | {"against_anchor_percent": 0.0, "status": "anchor"}
    there = math.nan if base is None else float(read_at(base.rate, *crossing(base.quality, target)))
    if math.isnan(there):
        why = f"{NOT_AVAILABLE}{anchor} has nothing at {format_quality(level, quality)}"
        return row | {"against_anchor_percent": math.nan, "status": why}
    return row | {"against_anchor_percent": 100.0 * (pixels / there - 1.0), "status": ""}
