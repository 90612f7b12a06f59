"""Bjøntegaard delta rates: how many per cent more or fewer bits codecs need than an anchor at the same quality.

Log rate is interpolated over quality, for both codecs, and the difference is averaged over the qualities that both
reach; nothing is extrapolated. The average of a log ratio, as a percentage: -20 is a fifth fewer bits. The methods are

    pchip   piecewise cubic Hermite interpolation without overshoot (Fritsch and Carlson 1980, with Butland's slopes):
            what JCT-VC's and JVET's common test conditions use
    cubic   one polynomial of third order through all points by least squares, as in the first proposal; it swings
            where there are many points or a wide range
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from codecbench.analysis import pchip
from codecbench.analysis.bootstrap import BootstrapMeans, interval, resample
from codecbench.analysis.points import Values, annotate
from codecbench.analysis.rd_curves import (
    LEAST_STEP,
    NOT_AVAILABLE,
    RATES,
    RDCurve,
    check_choice,
    falls_with_quality,
    format_quality,
    from_scale,
    read_curves,
    to_scale,
    upper_envelope,
)
from codecbench.errors import UnknownNameError, UsageError
from codecbench.store.folder import StoredRun

METHODS = ("pchip", "cubic", "akima")
LEAST_OVERLAP = 0.1
"""Share of the smaller range of quality that both codecs must reach for a BD-rate; a narrow strip says little."""
ANCHOR = "anchor"
"""The status of the anchor's own curve, which differs by 0 % from itself."""
CONFIDENCE = 0.95
REACH = 4
"""Points beyond the overlap that may move a piecewise cubic within it, with some to spare for replicates."""


@dataclass(frozen=True)
class BdRate:
    """A BD-rate, or why there is none."""

    percent: float  # bits of the codec over the anchor's at equal quality, less 100; NaN where there is none
    low_quality: float = math.nan  # where the overlap begins
    high_quality: float = math.nan
    overlap: float = math.nan  # its share of the smaller of the two ranges, 0 to 1
    status: str = ""  # empty, or ``not available: …``
    dropped: int = 0  # points of the codec that were left out since others beat them
    anchor_dropped: int = 0


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
    base_rate, base_quality, base_dropped = _kept(anchor_rate, anchor_quality)
    own_rate, own_quality, dropped = _kept(rate, quality)
    counts: dict[str, Any] = {"dropped": dropped, "anchor_dropped": base_dropped}
    for size, whose in ((len(own_rate), ""), (len(base_rate), "the anchor has ")):
        if size < 2:
            return BdRate(math.nan, status=f"{NOT_AVAILABLE}{whose}{'one point' if size else 'no points'}", **counts)
    low, high = max(base_quality[0], own_quality[0]), min(base_quality[-1], own_quality[-1])
    overlap = max(high - low, 0.0) / min(np.ptp(base_quality), np.ptp(own_quality))
    if overlap < LEAST_OVERLAP:
        return BdRate(math.nan, overlap=float(overlap), status=f"{NOT_AVAILABLE}{_share(overlap)} overlap", **counts)
    fewest = min(len(base_rate), len(own_rate))
    if method == "cubic" and fewest < 4:
        return BdRate(math.nan, status=f"{NOT_AVAILABLE}a cubic needs 4 points, not {fewest}", **counts)
    own = _integral(own_quality, np.log(own_rate), method, low, high)
    base = _integral(base_quality, np.log(base_rate), method, low, high)
    with np.errstate(over="ignore", invalid="ignore"):
        percent = float(100.0 * np.expm1((own - base) / (high - low)))
    if not math.isfinite(percent):
        return BdRate(math.nan, status=f"{NOT_AVAILABLE}{method} cannot follow these points", **counts)
    return BdRate(percent, float(low), float(high), float(overlap), **counts)


def _share(overlap: float) -> str:
    """An overlap below the least, which does not round up to it."""
    return f"{min(100 * overlap, 100 * LEAST_OVERLAP - 1):.0f} %" if overlap < 1 else "100 %"


def _kept(rate: Sequence[float] | Values, quality: Sequence[float] | Values) -> tuple[Values, Values, int]:
    """The points along which rate and quality rise strictly, and how many usable ones were left out."""
    rates, qualities = np.asarray(rate, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    if rates.ndim != 1 or rates.shape != qualities.shape:
        got = f"{rates.shape} and {qualities.shape}"
        raise UsageError(f"rates and qualities of one curve must be two lists of one length; got shapes {got}")
    usable = np.isfinite(rates) & np.isfinite(qualities) & (rates > 0)
    rates, qualities = rates[usable], qualities[usable]
    places = upper_envelope(rates, qualities)
    return rates[places], qualities[places], len(rates) - len(places)


def _akima(quality: Values, log_rate: Values) -> Any:
    from scipy import interpolate

    if len(quality) > 2:
        return interpolate.Akima1DInterpolator(quality, log_rate)
    return interpolate.make_interp_spline(quality, log_rate, k=1)  # Akima's curve of two points


def _integral(quality: Values, log_rate: Values, method: str, low: float, high: float) -> float:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        if method == "pchip":
            ends = np.array([low]), np.array([high])
            return float(pchip.integrals(quality[:, None], log_rate[:, None], *ends)[0])
        if method == "akima":
            return float(_akima(quality, log_rate).integrate(low, high))
        warnings.simplefilter("ignore", np.exceptions.RankWarning)
        whole = np.polynomial.Polynomial.fit(quality, log_rate, 3).integ()
        return float(whole(high) - whole(low))


def matched(anchor_rate: Values, anchor_quality: Values, rate: float, quality: float, method: str = "pchip") -> BdRate:
    """A single point's bits over those of a curve, (N,), at the point's quality, or why they cannot be compared.

    For ``cubic`` too the curve is read by PCHIP, since a polynomial misses its own points.
    """
    rates, qualities, dropped = _kept(anchor_rate, anchor_quality)
    if not len(rates):
        return BdRate(math.nan, status=f"{NOT_AVAILABLE}the anchor has no points")
    if len(rates) == 1 and quality != qualities[0]:
        return BdRate(math.nan, status=f"{NOT_AVAILABLE}one point each, of unequal quality")
    if not qualities[0] <= quality <= qualities[-1]:
        end = "better" if quality > qualities[-1] else "worse"
        why = f"{NOT_AVAILABLE}one point, {end} than every one of the anchor's"
        return BdRate(math.nan, overlap=0.0, status=why, anchor_dropped=dropped)
    if len(rates) == 1:
        at = math.log(rates[0])
    elif method == "akima":
        at = float(_akima(qualities, np.log(rates))(quality))
    else:
        at = float(pchip.at(qualities[:, None], np.log(rates)[:, None], np.array([quality]))[0])
    percent = 100.0 * math.expm1(math.log(rate) - at)
    return BdRate(percent, quality, quality, math.nan, anchor_dropped=dropped)


def compare(base: RDCurve, curve: RDCurve, method: str = "pchip") -> tuple[BdRate, str]:
    """A curve against the anchor's, both with points: as curves where both are, else at the one point's quality.

    Returns also whose single point was matched: ``codec``, ``anchor`` or empty.
    """
    kept, base_kept = upper_envelope(curve.rate, curve.quality), upper_envelope(base.rate, base.quality)
    counts: dict[str, Any] = {"dropped": len(curve.rate) - len(kept), "anchor_dropped": len(base.rate) - len(base_kept)}
    if len(kept) == 1:
        point = (float(curve.rate[kept[0]]), float(curve.quality[kept[0]]))
        return replace(matched(base.rate, base.quality, *point, method), **counts), "codec"
    if len(base_kept) == 1:
        point = (float(base.rate[base_kept[0]]), float(base.quality[base_kept[0]]))
        found = matched(curve.rate, curve.quality, *point, method)
        if found.status:
            found = replace(found, status=f"{NOT_AVAILABLE}the anchor has one point, beyond this codec's")
        return replace(found, percent=_turned(found.percent), **counts), "anchor"
    return bd_rate(base.rate, base.quality, curve.rate, curve.quality, method), ""


def _turned(percent: float) -> float:
    """A over B less 100 % from B over A less 100 %."""
    return 100.0 * (1.0 / (1.0 + percent / 100.0) - 1.0)


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


def default_anchor(points: pd.DataFrame) -> str:
    """The codec that others are compared with by default; empty where none has a lossy point.

    It is ``jpeg`` where that has a curve of two points or more on some dataset, else the codec with most lossy points.
    """
    counts: dict[str, int] = {}
    longest: dict[str, int] = {}
    for line in read_curves(points):
        counts[line.codec] = counts.get(line.codec, 0) + len(line.rate)
        longest[line.codec] = max(longest.get(line.codec, 0), len(line.rate))
    if longest.get("jpeg", 0) > 1:
        return "jpeg"
    best = max(counts, key=lambda codec: (longest[codec] > 1, counts[codec]), default="")
    return best if counts.get(best) else ""


def anchored(
    summary: pd.DataFrame, manifest: Mapping[str, Any], anchor: str | None = None, dataset: str | None = None
) -> tuple[pd.DataFrame, str]:
    """The annotated points of a run, of one dataset or all, and the codec that they are compared with.

    Raises ``UsageError`` for an unknown dataset, and where no codec could be the anchor.
    """
    points = annotate(summary, manifest)
    if dataset is not None:
        check_choice("dataset of this run", dataset, list(manifest["datasets"]))
        points = points[points["dataset"] == dataset]
    chosen = default_anchor(points) if anchor is None else anchor
    if anchor is None and not chosen:
        raise UsageError("no codec of this run has a point to compare with; allowed: runs with lossy points")
    return points, chosen


def curves_by_dataset(
    points: pd.DataFrame, quality: str, rate: str, anchor: str, curve: str | None
) -> dict[str, list[RDCurve]]:
    """The curves of :func:`read_curves` by dataset; an error where the anchor has none of a name on any dataset."""
    check_choice("anchor", anchor, list(dict.fromkeys(points["codec"].astype(str))))
    found: dict[str, list[RDCurve]] = {}
    for one in read_curves(points, quality, rate):
        found.setdefault(one.dataset, []).append(one)
    own = [one.curve for curves in found.values() for one in curves if one.codec == anchor and not one.status]
    if curve is not None and curve not in own:
        raise UnknownNameError(f"curve of {anchor}", curve, [name or "'' (it has one)" for name in dict.fromkeys(own)])
    return found


def choose_anchor(own: Sequence[RDCurve], method: str = "pchip", curve: str | None = None) -> RDCurve | None:
    """That of the anchor's curves on one dataset that others are compared with.

    Without a name it is the one with the lowest BD-rate against the one of most points. An empty curve says why the
    anchor has no points, or none of this name; None where it is not there at all.
    """
    if curve is not None and any(not one.status for one in own):
        there = [one for one in own if one.curve == curve]
        return there[0] if there else own[0].emptied(curve, f"{NOT_AVAILABLE}no curve {curve} here")
    usable = [one for one in own if not one.status]
    if not usable:
        return own[0] if own else None
    base = max(usable, key=lambda one: len(one.rate))
    ours = {
        place: bd_rate(base.rate, base.quality, one.rate, one.quality, method).percent
        for place, one in enumerate(usable)
    }
    known = {place: percent for place, percent in ours.items() if not math.isnan(percent)}
    return usable[min(known, key=lambda place: known[place])] if known else base


# ---- the table ------------------------------------------------------------------------------------------------------

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
    resampled: BootstrapMeans | None = None,
) -> pd.DataFrame:
    """The BD-rates of all codecs against one of them, a row per dataset × codec × curve in the order of the points.

        bd_rate_percent            the BD-rate; of a single point, the difference at its quality
        low_percent, high_percent  95 % bootstrap interval over images
        from_quality, to_quality   the qualities over which was averaged, in the measure's own unit
        overlap                    their share of the smaller range
        points, dropped            points of the curve, and how many of them were left out
        single                     one point was matched, no curves were integrated
        best                       the best of the codec's curves on this dataset
        note                       points left out, and images that are not the same
        status                     empty, ``anchor``, ``one point: matched at …`` or ``not available: …``

    Raises ``UnknownNameError`` for an anchor, curve, measure, rate or method that is not known.
    """
    check_choice("method", method, METHODS)
    curves = curves_by_dataset(points, quality, rate, anchor, anchor_curve)
    asked = Asked(anchor, quality, rate, method, falls_with_quality(points, quality))
    rows: list[dict[str, Any]] = []
    for found in curves.values():
        base = choose_anchor([curve for curve in found if curve.codec == anchor], method, anchor_curve)
        here = [_row(curve, base, asked, resampled) for curve in found]
        _mark_best(here)
        rows += here
    return _typed(rows)


@dataclass(frozen=True)
class Asked:
    """What a table compares, and what it holds equal."""

    anchor: str
    quality: str
    rate: str
    method: str
    falls: bool  # the measure is better where it is lower


def table_with_intervals(
    store: StoredRun, points: pd.DataFrame, anchor: str, *, replicates: int = 200, **asked: Any
) -> pd.DataFrame:
    """The table of :func:`table`, with bootstrap intervals where the run has its parts and ``replicates`` > 0."""
    found = table(points, anchor, **asked)  # refuses what is not known before any row is read
    if not replicates or store.without_parts:
        return found
    return table(points, anchor, **asked, resampled=resample(store, points, replicates))


def _row(curve: RDCurve, base: RDCurve | None, asked: Asked, resampled: BootstrapMeans | None) -> dict[str, Any]:
    """One row of the table."""
    row = curve.key | {
        "anchor": asked.anchor,
        "anchor_curve": base.curve if base else "",
        "quality": asked.quality,
        "rate": asked.rate,
        "method": asked.method,
        "points": len(curve.rate),
    }
    if curve.status:
        return row | {"status": curve.status}
    if base is None or base.status:
        why = base.status.removeprefix(NOT_AVAILABLE) if base else "no results"
        return row | {"status": f"{NOT_AVAILABLE}{asked.anchor}: {why}"}
    ends, status = (math.nan, math.nan), ""
    if curve is base:
        dropped = len(curve.rate) - len(upper_envelope(curve.rate, curve.quality))
        found, single = BdRate(0.0, curve.quality.min(), curve.quality.max(), 1.0, ANCHOR, dropped), ""
        ends = (math.nan, math.nan) if resampled is None else (0.0, 0.0)
    else:
        found, single = compare(base, curve, asked.method)
        if resampled is not None and not math.isnan(found.percent):
            ends = interval(_replicates(base, curve, asked, resampled, single), CONFIDENCE)
    low, high = (from_scale(value, asked.quality, asked.falls) for value in (found.low_quality, found.high_quality))
    if single and not found.status:
        status = f"{'the anchor has ' * (single == 'anchor')}one point: matched at {format_quality(low, asked.quality)}"
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
        "note": _note(curve, base, found.dropped),
    }


def _note(curve: RDCurve, base: RDCurve, dropped: int) -> str:
    """What to know about a row."""
    images = {int(count) for one in (curve, base) for count in one.members["images"]}
    notes = [f"{dropped} of {len(curve.rate)} points left out, beaten by others"] * (dropped > 0)
    notes += [f"not over the same images: {' and '.join(map(str, sorted(images)))}"] * (len(images) > 1)
    return "; ".join(notes)


def _replicates(base: RDCurve, curve: RDCurve, asked: Asked, resampled: BootstrapMeans, single: str) -> Values:
    """The comparison for every replicate of the images, (replicates,); NaN where a replicate has none."""
    base, curve = (_near(own, other, asked.method) for own, other in ((base, curve), (curve, base)))
    base_rates, base_qualities = _replicated(base, asked, resampled)
    rates, qualities = _replicated(curve, asked, resampled)
    kept, base_kept = upper_envelope(curve.rate, curve.quality), upper_envelope(base.rate, base.quality)
    found = np.full(resampled.replicates, np.nan)
    todo = np.logical_and.reduce([np.isfinite(v).all(axis=0) for v in (base_rates, base_qualities, rates, qualities)])
    if asked.method == "pchip" or (single and asked.method == "cubic"):
        # Nearly every replicate keeps the points that the whole keeps: these go together, the others one by one.
        usual = todo.copy()
        for values in (qualities[kept], base_qualities[base_kept]):
            usual &= (np.diff(values, axis=0) > LEAST_STEP * np.maximum(1.0, np.abs(values[1:]))).all(axis=0)
        x0, x1 = base_qualities[base_kept][:, usual], qualities[kept][:, usual]
        y0, y1 = np.log(base_rates[base_kept][:, usual]), np.log(rates[kept][:, usual])
        found[usual] = compare_many(x0, y0, x1, y1)
        todo &= ~usual
    for place in np.flatnonzero(todo):
        base_there = replace(base, rate=base_rates[:, place], quality=base_qualities[:, place])
        there = replace(curve, rate=rates[:, place], quality=qualities[:, place])
        found[place] = compare(base_there, there, asked.method)[0].percent
    return found


def _near(own: RDCurve, other: RDCurve, method: str) -> RDCurve:
    """A curve without the points that are too far from the other's qualities to matter.

    These may be nearly lossless, with hardly an image left whose PSNR could be replicated. Slopes of piecewise cubics
    reach over two points; a polynomial takes all.
    """
    if method == "cubic":
        return own
    kept = upper_envelope(own.rate, own.quality)
    quality = own.quality[kept]
    first, last = np.searchsorted(quality, [other.quality.min(), other.quality.max()])
    near = kept[max(first - REACH, 0) : last + REACH]
    return replace(own, members=own.members.iloc[near], rate=own.rate[near], quality=own.quality[near])


def _replicated(curve: RDCurve, asked: Asked, resampled: BootstrapMeans) -> tuple[Values, Values]:
    """Rates and qualities of a curve's points, (points, replicates) each."""
    names = (f"{RATES[asked.rate]}bits_per_pixel", asked.quality)
    keys = [(curve.dataset, curve.codec, str(settings)) for settings in curve.members["settings"]]
    rates, values = (np.stack([resampled.values(key, name) for key in keys]) for name in names)
    return np.where(rates > 0, rates, np.nan), to_scale(values, asked.quality, asked.falls)


def _mark_best(rows: list[dict[str, Any]]) -> None:
    """Marks the curve of fewest bits of every codec; a matched point only where the codec has no curve."""
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
