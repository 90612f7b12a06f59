"""The table of BD-rates: every codec of a run against one of them.

How a BD-rate is made is told in ``codecbench.analysis.bjontegaard``, whose :func:`bd_rate` is reachable here too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from codecbench.analysis.bjontegaard import LEAST_OVERLAP, METHODS, BdRate, bd_rate, compare, matched, together
from codecbench.analysis.bootstrap import Resampled, interval, resample
from codecbench.analysis.points import mark_points
from codecbench.analysis.rd_curves import (
    LEAST_STEP,
    NOT_AVAILABLE,
    RATES,
    Line,
    Values,
    check_choice,
    falls_with_quality,
    from_scale,
    lines,
    rising,
    to_scale,
    worded,
)
from codecbench.errors import UnknownNameError, UsageError
from codecbench.store.folder import RunFolder

__all__ = [
    "LEAST_OVERLAP",
    "METHODS",
    "BdRate",
    "anchor_line",
    "bd_rate",
    "compare",
    "default_anchor",
    "matched",
    "table",
]

ANCHOR = "anchor"
"""The status of the anchor's own line, which differs by 0 % from itself."""
CONFIDENCE = 0.95
REACH = 4
"""Points beyond the overlap that may move a piecewise cubic within it, with some to spare for replicates."""


def default_anchor(points: pd.DataFrame) -> str:
    """The codec that others are compared with where nobody says which.

    Args:
        points: marked points.

    Returns:
        ``jpeg`` where it has a line of two points or more on some dataset, else the codec with most lossy points;
        empty where there is none.
    """
    counts: dict[str, int] = {}
    longest: dict[str, int] = {}
    for line in lines(points):
        counts[line.codec] = counts.get(line.codec, 0) + len(line.rate)
        longest[line.codec] = max(longest.get(line.codec, 0), len(line.rate))
    if longest.get("jpeg", 0) > 1:
        return "jpeg"
    best = max(counts, key=lambda codec: (longest[codec] > 1, counts[codec]), default="")
    return best if counts.get(best) else ""


COLUMNS = [
    *("dataset", "codec", "label", "curve", "mark", "anchor", "anchor_curve", "quality", "rate", "method"),
    *("bd_rate_percent", "low_percent", "high_percent", "from_quality", "to_quality", "overlap"),
    *("points", "dropped", "single", "best", "status", "note"),
]


def table(
    points: pd.DataFrame,
    anchor: str,
    *,
    quality: str = "psnr_db",
    rate: str = "whole",
    method: str = "pchip",
    anchor_curve: str | None = None,
    resampled: Resampled | None = None,
) -> pd.DataFrame:
    """The BD-rates of all codecs of a run against one of them.

    Args:
        points: marked points.
        anchor: the codec that the others are compared with.
        quality: the measure held equal, one of ``ratelines.known_qualities``.
        rate: ``"whole"`` for whole files, ``"payload"`` for files less their container's bytes.
        method: one of ``METHODS``.
        anchor_curve: which of the anchor's lines; None for its best, see :func:`anchor_line`.
        resampled: replicated means for intervals; None to do without.

    Returns:
        One row per dataset × codec × line, in the order of the points, with the columns ``COLUMNS``:

            bd_rate_percent            the BD-rate; of a single point, the difference at its quality
            low_percent, high_percent  95 % bootstrap interval over images
            from_quality, to_quality   the qualities over which was averaged, in the measure's own unit
            overlap                    their share of the smaller range
            points, dropped            points of the line, and how many of them were left out
            single                     one point was matched, no curves were integrated
            best                       the best of the codec's lines on this dataset
            note                       points left out, and images that are not the same
            status                     empty, ``anchor``, ``one point: matched at …`` or ``not available: …``

    Raises:
        UnknownNameError: an anchor, curve, measure, rate or method that is not known.
    """
    check_choice("method", method, METHODS)
    check_choice("anchor", anchor, list(dict.fromkeys(points["codec"].astype(str))))
    by_dataset: dict[str, list[Line]] = {}
    for line in lines(points, quality, rate):
        by_dataset.setdefault(line.dataset, []).append(line)
    check_curve(by_dataset, anchor, anchor_curve)
    asked = Asked(anchor, quality, rate, method, falls_with_quality(points, quality))
    rows: list[dict[str, Any]] = []
    for found in by_dataset.values():
        base = anchor_line([line for line in found if line.codec == anchor], method, anchor_curve)
        here = [_row(line, base, asked, resampled) for line in found]
        _mark_best(here)
        rows += here
    return _typed(rows)


@dataclass(frozen=True)
class Asked:
    """What a table holds equal and compares.

    Attributes:
        anchor: the codec that the others are compared with.
        quality: the measure's column.
        rate: ``"whole"`` or ``"payload"``.
        method: one of ``METHODS``.
        falls: the measure is better where it is lower.
    """

    anchor: str
    quality: str
    rate: str
    method: str
    falls: bool


def anchored(
    summary: pd.DataFrame, manifest: Mapping[str, Any], anchor: str | None = None, dataset: str | None = None
) -> tuple[pd.DataFrame, str]:
    """The points of a run that are compared, and with which codec.

    Args:
        summary: see ``codecbench.analysis.summary``.
        manifest: the run's ``run.json``.
        anchor: a codec; None for :func:`default_anchor`.
        dataset: label of one dataset of the run; None for all.

    Returns:
        Marked points, and the anchor's name.

    Raises:
        UsageError: a dataset that is not known, or no codec that could be the anchor.
    """
    points = mark_points(summary, manifest)
    if dataset is not None:
        check_choice("dataset of this run", dataset, list(manifest["datasets"]))
        points = points[points["dataset"] == dataset]
    chosen = default_anchor(points) if anchor is None else anchor
    if anchor is None and not chosen:
        raise UsageError("no codec of this run has a point to compare with; allowed: runs with lossy points")
    return points, chosen


def table_with_intervals(
    store: RunFolder, points: pd.DataFrame, anchor: str, *, replicates: int = 200, **asked: Any
) -> pd.DataFrame:
    """The table of :func:`table`, with intervals where the run folder holds its parts.

    Args:
        store: the run folder.
        points: marked points.
        anchor: the codec that the others are compared with.
        replicates: of the bootstrap over images; 0 for none.
        asked: the other arguments of :func:`table`.
    """
    found = table(points, anchor, **asked)  # refuses what is not known before any row is read
    if not replicates or store.without_parts:
        return found
    return table(points, anchor, **asked, resampled=resample(store, points, replicates))


def anchor_line(own: Sequence[Line], method: str = "pchip", curve: str | None = None) -> Line | None:
    """The line of the anchor that others are compared with, on one dataset.

    Args:
        own: the anchor's lines there.
        method: how lines are compared.
        curve: the one wanted; None for the best: that with the lowest BD-rate against the one of most points.

    Returns:
        The line; an empty one that says why, where the anchor has no points or not this curve; None where it is not
        there at all.
    """
    if curve is not None and any(not line.status for line in own):
        there = [line for line in own if line.curve == curve]
        return there[0] if there else own[0].emptied(curve, f"{NOT_AVAILABLE}no curve {curve} here")
    usable = [line for line in own if not line.status]
    if not usable:
        return own[0] if own else None
    base = max(usable, key=lambda line: len(line.rate))
    ours = {
        place: bd_rate(base.rate, base.quality, line.rate, line.quality, method).percent
        for place, line in enumerate(usable)
    }
    known = {place: percent for place, percent in ours.items() if not math.isnan(percent)}
    return usable[min(known, key=lambda place: known[place])] if known else base


def check_curve(by_dataset: Mapping[str, Sequence[Line]], anchor: str, curve: str | None) -> None:
    """Makes sure that the anchor has a curve somewhere.

    Raises:
        UnknownNameError: it has none of that name, on any dataset.
    """
    own = [line.curve for found in by_dataset.values() for line in found if line.codec == anchor and not line.status]
    if curve is not None and curve not in own:
        raise UnknownNameError(f"curve of {anchor}", curve, [name or "'' (it has one)" for name in dict.fromkeys(own)])


def _row(line: Line, base: Line | None, asked: Asked, resampled: Resampled | None) -> dict[str, Any]:
    """One row of the table."""
    row = line.key | {
        "anchor": asked.anchor,
        "anchor_curve": base.curve if base else "",
        "quality": asked.quality,
        "rate": asked.rate,
        "method": asked.method,
        "points": len(line.rate),
    }
    if line.status:
        return row | {"status": line.status}
    if base is None or base.status:
        why = base.status.removeprefix(NOT_AVAILABLE) if base else "no results"
        return row | {"status": f"{NOT_AVAILABLE}{asked.anchor}: {why}"}
    ends, status = (math.nan, math.nan), ""
    if line is base:
        dropped = len(line.rate) - len(rising(line.rate, line.quality))
        found, single = BdRate(0.0, line.quality.min(), line.quality.max(), 1.0, ANCHOR, dropped), ""
        ends = (math.nan, math.nan) if resampled is None else (0.0, 0.0)
    else:
        found, single = compare(base, line, asked.method)
        if resampled is not None and not math.isnan(found.percent):
            ends = interval(_replicates(base, line, asked, resampled, single), CONFIDENCE)
    low, high = (from_scale(value, asked.quality, asked.falls) for value in (found.low_quality, found.high_quality))
    if single and not found.status:
        status = f"{'the anchor has ' * (single == 'anchor')}one point: matched at {worded(low, asked.quality)}"
    return row | {
        "bd_rate_percent": found.percent,
        "low_percent": ends[0],
        "high_percent": ends[1],
        "from_quality": low,
        "to_quality": high,
        "overlap": found.overlap,
        "dropped": found.dropped,
        "single": bool(single),
        "status": status or found.status,
        "note": _note(line, base, found.dropped),
    }


def _note(line: Line, base: Line, dropped: int) -> str:
    """What to know about a row."""
    images = {int(count) for one in (line, base) for count in one.members["images"]}
    notes = [f"{dropped} of {len(line.rate)} points left out, beaten by others"] * (dropped > 0)
    notes += [f"not over the same images: {' and '.join(map(str, sorted(images)))}"] * (len(images) > 1)
    return "; ".join(notes)


# ---- replicates -----------------------------------------------------------------------------------------------------


def _replicates(base: Line, line: Line, asked: Asked, resampled: Resampled, single: str) -> Values:
    """The comparison for every replicate of the images, (replicates,); NaN where a replicate has none."""
    base, line = (_near(own, other, asked.method) for own, other in ((base, line), (line, base)))
    base_rates, base_qualities = _replicated(base, asked, resampled)
    rates, qualities = _replicated(line, asked, resampled)
    kept, base_kept = rising(line.rate, line.quality), rising(base.rate, base.quality)
    found = np.full(resampled.replicates, np.nan)
    todo = np.logical_and.reduce([np.isfinite(v).all(axis=0) for v in (base_rates, base_qualities, rates, qualities)])
    if asked.method == "pchip" or (single and asked.method == "cubic"):
        # Nearly every replicate keeps the points that the whole keeps: these go together, the others one by one.
        usual = todo.copy()
        for values in (qualities[kept], base_qualities[base_kept]):
            usual &= (np.diff(values, axis=0) > LEAST_STEP * np.maximum(1.0, np.abs(values[1:]))).all(axis=0)
        x0, x1 = base_qualities[base_kept][:, usual], qualities[kept][:, usual]
        y0, y1 = np.log(base_rates[base_kept][:, usual]), np.log(rates[kept][:, usual])
        found[usual] = together(x0, y0, x1, y1)
        todo &= ~usual
    for place in np.flatnonzero(todo):
        base_there = replace(base, rate=base_rates[:, place], quality=base_qualities[:, place])
        there = replace(line, rate=rates[:, place], quality=qualities[:, place])
        found[place] = compare(base_there, there, asked.method)[0].percent
    return found


def _near(own: Line, other: Line, method: str) -> Line:
    """A line without the points that are too far from the other's qualities to matter.

    These may be nearly lossless, with hardly an image left whose PSNR could be replicated. Slopes of piecewise cubics
    reach over two points; a polynomial takes all.
    """
    if method == "cubic":
        return own
    kept = rising(own.rate, own.quality)
    quality = own.quality[kept]
    first, last = np.searchsorted(quality, [other.quality.min(), other.quality.max()])
    near = kept[max(first - REACH, 0) : last + REACH]
    return replace(own, members=own.members.iloc[near], rate=own.rate[near], quality=own.quality[near])


def _replicated(line: Line, asked: Asked, resampled: Resampled) -> tuple[Values, Values]:
    """Rates and qualities of a line's points, (points, replicates) each."""
    names = (f"{RATES[asked.rate]}bits_per_pixel", asked.quality)
    keys = [(line.dataset, line.codec, str(settings)) for settings in line.members["settings"]]
    rates, values = (np.stack([resampled.values(key, name) for key in keys]) for name in names)
    return np.where(rates > 0, rates, np.nan), to_scale(values, asked.quality, asked.falls)


# ---- the table ------------------------------------------------------------------------------------------------------


def _mark_best(rows: list[dict[str, Any]]) -> None:
    """Marks the line of fewest bits of every codec; a matched point only where the codec has no curve."""
    for codec in dict.fromkeys(row["codec"] for row in rows):
        own = [row for row in rows if row["codec"] == codec and not math.isnan(row.get("bd_rate_percent", math.nan))]
        if own:
            min(own, key=lambda row: (row["single"], row["bd_rate_percent"]))["best"] = True


def _typed(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Gives every column its type, whatever was compared."""
    found = pd.DataFrame(list(rows)).reindex(columns=COLUMNS)
    for name in COLUMNS:
        if name in ("single", "best"):
            found[name] = found[name].astype("boolean").fillna(False).astype(bool)
        elif name in ("points", "dropped"):
            found[name] = pd.to_numeric(found[name]).fillna(0).astype("int64")
        elif name in ("bd_rate_percent", "low_percent", "high_percent", "from_quality", "to_quality", "overlap"):
            found[name] = pd.to_numeric(found[name]).astype("float64")
        else:
            found[name] = found[name].astype(object).where(found[name].notna(), "").astype(str)
    return found
