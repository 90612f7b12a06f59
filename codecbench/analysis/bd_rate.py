"""Bjøntegaard delta rates: how many per cent more or fewer bits codecs need than an anchor at the same quality.

Log rate is interpolated over quality, for both codecs, and the difference is averaged over the qualities that both
reach; nothing is extrapolated. The average of a log ratio, as a percentage: -20 is a fifth fewer bits. The methods are

    pchip   piecewise cubic Hermite interpolation without overshoot (Fritsch and Carlson 1980, with Butland's slopes):
            what JCT-VC's and JVET's common test conditions use
    cubic   one polynomial of third order through all points by least squares, as in the first proposal; it swings
            where there are many points or a wide range, and where it falls there is no BD-rate
    akima   Akima's interpolation of 1970

Sources: Bjøntegaard, "Calculation of average PSNR differences between RD-curves", ITU-T VCEG-M33, 2001, and
"Improvements of the BD-PSNR model", VCEG-AI11, 2008; ITU-T HSTP-VID-WPOM, "Working practices using objective metrics
for evaluation of video coding efficiency experiments", 2020; Herglotz et al., "The Bjøntegaard bible: why your way of
comparing video codecs may be wrong", IEEE Transactions on Image Processing 33, 2024.

Points that another point of the same codec beats (no more bits, no worse quality) are left out, since log rate must be
a function of quality, and counted. A codec with one point is compared at that point's quality instead.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from codecbench.analysis import pchip
from codecbench.analysis.bootstrap import BootstrapMeans, interval
from codecbench.analysis.points import annotate
from codecbench.analysis.rd_curves import (
    LEAST_STEP,
    NOT_AVAILABLE,
    Axes,
    RDCurve,
    check_choice,
    format_quality,
    known_qualities,
    read_curves,
    upper_envelope,
)
from codecbench.analysis.same_images import SameImages
from codecbench.analysis.tables import Values, join_notes, typed
from codecbench.columns import described
from codecbench.errors import UnknownNameError, UsageError
from codecbench.store.folder import StoredRun

METHODS = ("pchip", "cubic", "akima")
LEAST_OVERLAP = 0.1
"""Share of the smaller range of quality that both codecs must reach for a BD-rate; a narrow strip says little."""
ANCHOR = "anchor"
"""The status of the anchor's own curve, which differs by 0 % from itself."""
STEPS = 500
"""Places between which an interpolant must not fall."""
REACH = 4
"""Points beyond the overlap that may move a piecewise cubic within it, with some to spare for replicates."""

Points = tuple[Values, Values]
"""Rates and qualities of the points of a curve, (N,) each."""


@dataclass(frozen=True)
class BdRate:
    """A BD-rate, or why there is none."""

    percent: float  # bits of the codec over the anchor's at equal quality, less 100; NaN where there is none
    low_quality: float = math.nan  # where the overlap begins
    high_quality: float = math.nan
    overlap: float = math.nan  # its share of the smaller of the two ranges, 0 to 1
    status: str = ""  # empty, or ``not available: …``
    dropped: int = 0  # points of the codec that were left out since others beat them
    single: str = ""  # whose only point was matched: ``codec``, ``anchor``, or empty where curves were integrated


def bd_rate(
    anchor_rate: Sequence[float] | Values,
    anchor_quality: Sequence[float] | Values,
    rate: Sequence[float] | Values,
    quality: Sequence[float] | Values,
    method: str = "pchip",
) -> BdRate:
    """The BD-rate of one curve against another, or why there is none; never beyond the measured qualities.

    Rates are in any one unit, qualities on any one scale that rises with quality; the anchor's are (N,), the other's
    (M,). Points without finite values, or with a rate of 0, do not count. Lists of different lengths and an unknown
    method are a ``UsageError``.
    """
    check_choice("method", method, METHODS)
    base, own = _usable(anchor_rate, anchor_quality), _usable(rate, quality)
    base_kept, kept = upper_envelope(*base), upper_envelope(*own)
    found = _over_range((base[0][base_kept], base[1][base_kept]), (own[0][kept], own[1][kept]), method)
    return replace(found, dropped=len(own[0]) - len(kept))


def _usable(rate: Sequence[float] | Values, quality: Sequence[float] | Values) -> Points:
    rates, qualities = np.asarray(rate, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    if rates.ndim != 1 or rates.shape != qualities.shape:
        got = f"{rates.shape} and {qualities.shape}"
        raise UsageError(f"rates and qualities of one curve must be two lists of one length; got shapes {got}")
    usable = np.isfinite(rates) & np.isfinite(qualities) & (rates > 0)
    return rates[usable], qualities[usable]


def _over_range(base: Points, own: Points, method: str) -> BdRate:
    """The BD-rate over the qualities that both reach."""
    for (rates, _), whose in ((own, ""), (base, "the anchor has ")):
        if len(rates) < 2:
            return _none(f"{whose}{'one point' if len(rates) else 'no points'}")
    low, high = max(base[1][0], own[1][0]), min(base[1][-1], own[1][-1])
    overlap = float(max(high - low, 0.0) / min(np.ptp(base[1]), np.ptp(own[1])))
    if overlap < LEAST_OVERLAP:
        shown = min(100 * overlap, 100 * LEAST_OVERLAP - 1)  # does not round up to the least
        return replace(_none(f"{shown:.0f} % overlap"), overlap=overlap)
    fewest = min(len(base[0]), len(own[0]))
    if method == "cubic" and fewest < 4:
        return _none(f"a cubic needs 4 points, not {fewest}")
    areas = [_integral(quality, np.log(rate), method, low, high) for rate, quality in (base, own)]
    if np.isnan(areas).any():
        return _none(f"the {method} curve of these points is not monotone")
    with np.errstate(over="ignore"):
        percent = float(100.0 * np.expm1((areas[1] - areas[0]) / (high - low)))
    return BdRate(percent, float(low), float(high), overlap)


def _none(why: str) -> BdRate:
    return BdRate(math.nan, status=NOT_AVAILABLE + why)


def _akima(quality: Values, log_rate: Values) -> Any:
    from scipy import interpolate

    if len(quality) > 2:
        return interpolate.Akima1DInterpolator(quality, log_rate)
    return interpolate.make_interp_spline(quality, log_rate, k=1)  # Akima's curve of two points


def _integral(quality: Values, log_rate: Values, method: str, low: float, high: float) -> float:
    """The integral of log rate over some qualities; NaN where the interpolant does not rise throughout with quality."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        if method == "pchip":
            ends = np.array([low]), np.array([high])
            return float(pchip.integrals(quality[:, None], log_rate[:, None], *ends)[0])
        warnings.simplefilter("ignore", np.exceptions.RankWarning)
        if method == "akima":
            curve = _akima(quality, log_rate)
            area = float(curve.integrate(low, high))
        else:
            curve = np.polynomial.Polynomial.fit(quality, log_rate, 3)
            area = float(np.diff(curve.integ()(np.array([low, high])))[0])
        rise = np.diff(curve(np.linspace(low, high, STEPS)))
        return area if (rise >= -LEAST_STEP).all() else math.nan


def matched(curve: Points, point: Points, method: str = "pchip") -> BdRate:
    """A single point's bits over those of a curve at the point's quality, or why they cannot be compared.

    For ``cubic`` too the curve is read by PCHIP, since a polynomial misses its own points.
    """
    rates, qualities = curve
    rate, quality = float(point[0][0]), float(point[1][0])
    if len(rates) == 1 and quality != qualities[0]:
        return _none("one point each, of unequal quality")
    if not qualities[0] <= quality <= qualities[-1]:
        end = "better" if quality > qualities[-1] else "worse"
        return replace(_none(f"one point, {end} than every one of the anchor's"), overlap=0.0)
    if len(rates) == 1:
        at = math.log(rates[0])
    elif method == "akima":
        at = float(_akima(qualities, np.log(rates))(quality))
    else:
        at = float(pchip.at(qualities[:, None], np.log(rates)[:, None], np.array([quality]))[0])
    return BdRate(100.0 * math.expm1(math.log(rate) - at), quality, quality)


def compare(base: RDCurve, curve: RDCurve, method: str = "pchip") -> BdRate:
    """A curve against the anchor's, both with points: as curves where both are, else at the one point's quality."""
    own, other = _kept(curve), _kept(base)
    if len(own[0]) == 1:
        found = replace(matched(other, own, method), single="codec")
    elif len(other[0]) == 1:
        found = matched(own, other, method)
        percent = 100.0 * (1.0 / (1.0 + found.percent / 100.0) - 1.0)  # the other way round
        status = f"{NOT_AVAILABLE}the anchor has one point, beyond this codec's" if found.status else ""
        found = replace(found, percent=percent, status=status, single="anchor")
    else:
        found = _over_range(other, own, method)
    return replace(found, dropped=len(curve.rate) - len(curve.kept))


def _kept(curve: RDCurve) -> Points:
    """The points along which rate and quality rise strictly."""
    return curve.rate[curve.kept], curve.quality[curve.kept]


def compare_many(x0: Values, y0: Values, x1: Values, y1: Values) -> Values:
    """PCHIP comparisons of many curves at once: qualities and log rates, (points, replicates), of anchor and codec."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if len(x1) == 1:
            there = pchip.at(x0, y0, x1[0]) if len(x0) > 1 else np.where(x0[0] == x1[0], y0[0], np.nan)
            return np.asarray(100.0 * np.expm1(y1[0] - there))
        if len(x0) == 1:
            return np.asarray(100.0 * np.expm1(pchip.at(x1, y1, x0[0]) - y0[0]))
        low, high = np.maximum(x0[0], x1[0]), np.minimum(x0[-1], x1[-1])
        overlap = (high - low) / np.minimum(x0[-1] - x0[0], x1[-1] - x1[0])
        mean = (pchip.integrals(x1, y1, low, high) - pchip.integrals(x0, y0, low, high)) / (high - low)
        return np.where(overlap >= LEAST_OVERLAP, 100.0 * np.expm1(mean), np.nan)


# ---- the anchor -----------------------------------------------------------------------------------------------------


def default_anchor(points: pd.DataFrame, quality: str = "psnr_db") -> str:
    """The codec that others are compared with by default; empty where none has a lossy point.

    It is ``jpeg`` where that has a curve of two points or more on some dataset, else the codec with most lossy points.
    Of points over the same images, a curve without some of these images is none.
    """
    lengths: dict[str, list[int]] = {}
    for curve in read_curves(points, Axes(quality)):
        lengths.setdefault(curve.codec, []).append(len(curve.rate))
    if max(lengths.get("jpeg", [0])) > 1:
        return "jpeg"
    best = max(lengths, key=lambda codec: (max(lengths[codec]) > 1, sum(lengths[codec])), default="")
    return best if sum(lengths.get(best, [])) else ""


def anchored(
    store: StoredRun,
    summary: pd.DataFrame,
    quality: str,
    anchor: str | None = None,
    dataset: str | None = None,
    replicates: int = 0,
) -> tuple[SameImages, str]:
    """The points of a run, of one dataset or all, over the same images by a measure, and the codec to compare with.

    Raises ``UsageError`` for an unknown dataset or measure, and where no codec could be the anchor.
    """
    points = annotate(summary, store.manifest)
    check_choice("quality measure", quality, known_qualities(points))
    if dataset is not None:
        check_choice("dataset of this run", dataset, list(store.manifest["datasets"]))
        points = points[points["dataset"] == dataset]
    same = SameImages(store, points, [quality], replicates)
    chosen = (default_anchor(same.over(quality), quality) or default_anchor(points)) if anchor is None else anchor
    if anchor is None and not chosen:
        raise UsageError("no codec of this run has a point to compare with; allowed: runs with lossy points")
    return same, chosen


def against_anchor(
    points: pd.DataFrame, axes: Axes, anchor: str, curve: str | None, method: str = "pchip"
) -> list[tuple[list[RDCurve], RDCurve | None]]:
    """By dataset its curves, and that of the anchor's that they are compared with, see :func:`_choose`.

    An error where the anchor has no curve of the name ``curve`` on any dataset.
    """
    check_choice("anchor", anchor, list(dict.fromkeys(points["codec"].astype(str))))
    found: dict[str, list[RDCurve]] = {}
    for one in read_curves(points, axes):
        found.setdefault(one.dataset, []).append(one)
    own = {label: [one for one in curves if one.codec == anchor] for label, curves in found.items()}
    names = dict.fromkeys(one.curve for curves in own.values() for one in curves if not one.status)
    if curve is not None and curve not in names:
        raise UnknownNameError(f"curve of {anchor}", curve, [name or "'' (it has one)" for name in names])
    return [(curves, _choose(own[label], method, curve)) for label, curves in found.items()]


def _choose(own: Sequence[RDCurve], method: str, curve: str | None) -> RDCurve | None:
    """That of the anchor's curves on one dataset that others are compared with.

    Without a name it is the one with the lowest BD-rate against the one of most points. An empty curve says why the
    anchor has no points, or none of this name; None where it is not there at all.
    """
    usable = [one for one in own if not one.status]
    if not usable:
        return own[0] if own else None
    if curve is not None:
        why, none = f"{NOT_AVAILABLE}no curve {curve} here", np.empty(0)
        members = own[0].members.iloc[:0]
        missing = replace(own[0], curve=curve, members=members, rate=none, quality=none, status=why)
        return next((one for one in own if one.curve == curve), missing)
    base = max(usable, key=lambda one: len(one.rate))
    percents = [_over_range(_kept(base), _kept(one), method).percent for one in usable]
    return base if np.isnan(percents).all() else usable[int(np.nanargmin(percents))]


# ---- the table ------------------------------------------------------------------------------------------------------

COLUMNS = described(
    ("dataset codec label curve mark", "text", "the codec's curve"),
    ("anchor anchor_curve quality rate method", "text", "what it is compared with, and how"),
    ("bd_rate_percent", "number", "the BD-rate; of a single point, the difference at its quality"),
    ("low_percent high_percent", "number", "95 % bootstrap interval over images"),
    ("from_quality to_quality", "number", "the qualities over which was averaged, in the measure's own unit"),
    ("overlap", "number", "their share of the smaller range"),
    ("points dropped", "count", "points of the curve, and how many of them were left out"),
    ("single", "flag", "one point was matched, no curves were integrated"),
    ("best", "flag", "the best of the codec's curves on this dataset"),
    ("status", "text", "empty, ``anchor``, ``one point: matched at …`` or ``not available: …``"),
    ("note", "text", "points left out, and over how many images where it is not all"),
)


def table(
    points: pd.DataFrame,
    anchor: str,
    *,
    quality: str = "psnr_db",
    rate: str = "whole",
    method: str = "pchip",
    anchor_curve: str | None = None,
    resampled: BootstrapMeans | None = None,
) -> pd.DataFrame:
    """The BD-rates of all codecs against one, with ``COLUMNS``; a row per dataset × codec × curve as the points come.

    Raises ``UnknownNameError`` for an anchor, curve, measure, rate or method that is not known.
    """
    check_choice("method", method, METHODS)
    rows: list[dict[str, Any]] = []
    for curves, base in against_anchor(points, Axes.of(points, quality, rate), anchor, anchor_curve, method):
        here = [_row(curve, base, anchor, method, resampled) for curve in curves]
        _mark_best(here)
        rows += here
    return typed(rows, COLUMNS)


def _row(
    curve: RDCurve, base: RDCurve | None, anchor: str, method: str, resampled: BootstrapMeans | None
) -> dict[str, Any]:
    axes = curve.axes
    row: dict[str, Any] = curve.key | {"anchor": anchor, "anchor_curve": base.curve if base else ""}
    row |= {"quality": axes.quality, "rate": axes.rate, "method": method, "points": len(curve.rate)}
    if curve.status:
        return row | {"status": curve.status}
    if base is None or base.status:
        why = base.status.removeprefix(NOT_AVAILABLE) if base else "no results"
        return row | {"status": f"{NOT_AVAILABLE}{anchor}: {why}"}
    ends = (math.nan, math.nan)
    if curve is base:
        dropped = len(curve.rate) - len(curve.kept)
        found = BdRate(0.0, float(curve.quality.min()), float(curve.quality.max()), 1.0, ANCHOR, dropped)
        ends = ends if resampled is None else (0.0, 0.0)
    else:
        found = compare(base, curve, method)
        if resampled is not None and not math.isnan(found.percent):
            ends = interval(_replicates(base, curve, method, resampled, bool(found.single)))
    low, high = axes.unscaled(found.low_quality), axes.unscaled(found.high_quality)
    status = found.status
    if found.single and not status:
        whose = "the anchor has " if found.single == "anchor" else ""
        status = f"{whose}one point: matched at {format_quality(low, axes.quality)}"
    return row | {
        "bd_rate_percent": found.percent,
        "low_percent": ends[0],
        "high_percent": ends[1],
        "from_quality": low,
        "to_quality": high,
        "overlap": found.overlap,
        "dropped": found.dropped,
        "single": bool(found.single),
        "status": status,
        "note": _note(curve, found.dropped),
    }


def _note(curve: RDCurve, dropped: int) -> str:
    """What to know about a row."""
    beaten = f"{dropped} of {len(curve.rate)} points left out, beaten by others" if dropped else ""
    return join_notes(beaten, curve.note)


def _replicates(base: RDCurve, curve: RDCurve, method: str, resampled: BootstrapMeans, single: bool) -> Values:
    """The comparison for every replicate of the images, (replicates,); NaN where a replicate has none."""
    base, curve = (_near(own, other, method) for own, other in ((base, curve), (curve, base)))
    base_rates, base_qualities = _replicated(base, resampled)
    rates, qualities = _replicated(curve, resampled)
    found = np.full(resampled.replicates, np.nan)
    todo = np.logical_and.reduce([np.isfinite(v).all(axis=0) for v in (base_rates, base_qualities, rates, qualities)])
    if method == "pchip" or (single and method == "cubic"):
        # Nearly every replicate keeps the points that the whole keeps: these go together, the others one by one.
        usual = todo.copy()
        for values in (qualities[curve.kept], base_qualities[base.kept]):
            usual &= (np.diff(values, axis=0) > LEAST_STEP * np.maximum(1.0, np.abs(values[1:]))).all(axis=0)
        x0, x1 = base_qualities[base.kept][:, usual], qualities[curve.kept][:, usual]
        y0, y1 = np.log(base_rates[base.kept][:, usual]), np.log(rates[curve.kept][:, usual])
        found[usual] = compare_many(x0, y0, x1, y1)
        todo &= ~usual
    for place in np.flatnonzero(todo):
        base_there = replace(base, rate=base_rates[:, place], quality=base_qualities[:, place])
        there = replace(curve, rate=rates[:, place], quality=qualities[:, place])
        found[place] = compare(base_there, there, method).percent
    return found


def _near(own: RDCurve, other: RDCurve, method: str) -> RDCurve:
    """A curve without the points that are too far from the other's qualities to matter.

    These may be nearly lossless, with hardly an image left whose PSNR could be replicated. Slopes of piecewise cubics
    reach over two points; a polynomial takes all.
    """
    if method == "cubic":
        return own
    first, last = np.searchsorted(own.quality[own.kept], [other.quality.min(), other.quality.max()])
    near = own.kept[max(first - REACH, 0) : last + REACH]
    return replace(own, members=own.members.iloc[near], rate=own.rate[near], quality=own.quality[near])


def _replicated(curve: RDCurve, resampled: BootstrapMeans) -> Points:
    """Rates and qualities of a curve's points, (points, replicates) each."""
    keys = [(curve.dataset, curve.codec, str(settings)) for settings in curve.members["settings"]]
    names = (curve.axes.bits_per("pixel"), curve.axes.quality)
    over = curve.axes.quality
    rates, values = (np.stack([resampled.values(key, name, over) for key in keys]) for name in names)
    return np.where(rates > 0, rates, np.nan), curve.axes.scaled(values)


def _mark_best(rows: list[dict[str, Any]]) -> None:
    """Marks the curve of fewest bits of every codec; a matched point only where the codec has no curve."""
    for codec in dict.fromkeys(row["codec"] for row in rows):
        own = [row for row in rows if row["codec"] == codec and not math.isnan(row.get("bd_rate_percent", math.nan))]
        if own:
            min(own, key=lambda row: (row["single"], row["bd_rate_percent"]))["best"] = True
