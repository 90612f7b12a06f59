"""File sizes at fixed levels of quality, and what they save against another codec.

A BD-rate is one number for a whole range and hides where curves cross; this table has the levels one by one. Sizes are
read between measured neighbours along straight lines of log rate over quality, as
``codecbench.analysis.points.rate_at`` reads them; nothing is extrapolated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from codecbench.analysis.bd_rate import anchor_line, check_curve
from codecbench.analysis.points import is_exact
from codecbench.analysis.rd_curves import (
    NOT_AVAILABLE,
    RATES,
    RESTORES,
    RDCurve,
    check_choice,
    crossing,
    falls_with_quality,
    format_quality,
    is_similarity,
    read_curves,
    read_log,
    to_scale,
    why_no_crossing,
)
from codecbench.errors import UsageError

LEVELS_DB = (30.0, 35.0, 40.0)
"""Levels of PSNR: visible loss, little loss, next to none."""
LEVELS_SSIM = (0.9, 0.95, 0.98)
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
    """What every codec takes at fixed levels of quality.

    Args:
        points: marked points.
        anchor: the codec that the others are compared with.
        qualities_db: the levels, in the measure's own unit; None for ``LEVELS_DB``, or ``LEVELS_SSIM`` for SSIM and
            its kin.
        quality: the measure held equal, one of ``rd_curves.known_qualities``.
        rate: ``"whole"`` or ``"payload"``.
        anchor_curve: which of the anchor's lines; None for its best, as in ``codecbench.analysis.bd_rate``.

    Returns:
        One row per dataset × codec × line × level, in the order of the points, with the columns ``COLUMNS``:

            quality_at                     the level, in the measure's own unit
            bits_per_image, bits_per_pixel, bytes_per_image
                                           the rate there; without the container's bytes for ``"payload"``
            against_anchor_percent         bits over the anchor's at the same level, less 100; -20 saves a fifth
            best                           the smallest of all codecs at this level on this dataset
            note                           of a codec that only restores every pixel, its smallest mean size: it has
                                           every quality, and may be smaller than lossy files
            status                         empty, ``anchor`` or ``not available: …``

    Raises:
        UnknownNameError: an anchor, curve, measure or rate that is not known.
        UsageError: a level that the measure cannot have, such as 1 of SSIM, where nothing differs.
    """
    check_choice("anchor", anchor, list(dict.fromkeys(points["codec"].astype(str))))
    by_dataset: dict[str, list[RDCurve]] = {}
    for line in read_curves(points, quality, rate):
        by_dataset.setdefault(line.dataset, []).append(line)
    check_curve(by_dataset, anchor, anchor_curve)
    falls = falls_with_quality(points, quality)
    levels = levels_of(quality) if qualities_db is None else tuple(qualities_db)
    for level in levels:
        if not math.isfinite(float(to_scale(level, quality, falls))):
            allowed = "numbers below 1" if is_similarity(quality) else "finite numbers"
            raise UsageError(f"the level {level:g} of {quality} is not allowed; allowed: {allowed}")
    rows: list[dict[str, Any]] = []
    for dataset, found in by_dataset.items():
        base = anchor_line([line for line in found if line.codec == anchor], curve=anchor_curve)
        here: list[dict[str, Any]] = []
        exact = _smallest_exact(points[points["dataset"] == dataset], f"{RATES[rate]}bits_per_image")
        for line in found:
            for level in levels:
                row = line.key | {"anchor": anchor, "anchor_curve": base.curve if base else "", "quality_at": level}
                row |= {"quality": quality, "rate": rate, "best": False}
                row["note"] = exact.get(line.codec, "") if line.status == RESTORES else ""
                here.append(row | _at(line, base, anchor, float(level), quality, rate, falls))
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
    """The levels of a measure when nobody names any: none for a measure whose scale is not known."""
    if quality.endswith("_db"):
        return LEVELS_DB
    return LEVELS_SSIM if "ssim" in quality else ()


def _at(
    line: RDCurve, base: RDCurve | None, anchor: str, level: float, quality: str, rate: str, falls: bool
) -> dict[str, Any]:
    """What a line takes at a level, and against the anchor."""
    target = float(to_scale(level, quality, falls))
    place = crossing(line.quality, target) if len(line.quality) else None
    nothing = dict.fromkeys(["bits_per_image", "bytes_per_image", "bits_per_pixel", "against_anchor_percent"], math.nan)
    if place is None:
        return nothing | {"status": why_no_crossing(line, target, quality, falls)}
    bits = read_log(line.members[f"{RATES[rate]}bits_per_image"].to_numpy(float), place)
    pixels = read_log(line.rate, place)
    row = {"bits_per_image": bits, "bytes_per_image": bits / 8.0, "bits_per_pixel": pixels}
    if line is base:
        return row | {"against_anchor_percent": 0.0, "status": "anchor"}
    there = crossing(base.quality, target) if base is not None and len(base.quality) else None
    if base is None or there is None:
        why = f"{NOT_AVAILABLE}{anchor} has nothing at {format_quality(level, quality)}"
        return row | {"against_anchor_percent": math.nan, "status": why}
    return row | {"against_anchor_percent": 100.0 * (pixels / read_log(base.rate, there) - 1.0), "status": ""}
