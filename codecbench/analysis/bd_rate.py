"""The table of BD-rates: every codec of a run against one of them.

How a BD-rate is made is told in ``codecbench.analysis.bd_rate``, whose :func:`bd_rate` is reachable here too.
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
from codecbench.analysis.points import annotate
from codecbench.analysis.rd_curves import (
    LEAST_STEP,
    NOT_AVAILABLE,
    RATES,
    RDCurve,
    Values,
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
    for line in read_curves(points):
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
    resampled: BootstrapMeans | None = None,
) -> pd.DataFrame:
    """The BD-rates of all codecs of a run against one of them.

    Args:
        points: marked points.
        anchor: the codec that the others are compared with.
        quality: the measure held equal, one of ``rd_curves.known_qualities``.
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
    by_dataset: dict[str, list[RDCurve]] = {}
    for line in read_curves(points, quality, rate):
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
    points = annotate(summary, manifest)
    if dataset is not None:
        check_choice("dataset of this run", dataset, list(manifest["datasets"]))
        points = points[points["dataset"] == dataset]
    chosen = default_anchor(points) if anchor is None else anchor
    if anchor is None and not chosen:
        raise UsageError("no codec of this run has a point to compare with; allowed: runs with lossy points")
    return points, chosen


def table_with_intervals(
    store: StoredRun, points: pd.DataFrame, anchor: str, *, replicates: int = 200, **asked: Any
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


def anchor_line(own: Sequence[RDCurve], method: str = "pchip", curve: str | None = None) -> RDCurve | None:
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


def check_curve(by_dataset: Mapping[str, Sequence[RDCurve]], anchor: str, curve: str | None) -> None:
    """Makes sure that the anchor has a curve somewhere.

    Raises:
        UnknownNameError: it has none of that name, on any dataset.
    """
    own = [line.curve for found in by_dataset.values() for line in found if line.codec == anchor and not line.status]
    if curve is not None and curve not in own:
        raise UnknownNameError(f"curve of {anchor}", curve, [name or "'' (it has one)" for name in dict.fromkeys(own)])


def _row(line: RDCurve, base: RDCurve | None, asked: Asked, resampled: BootstrapMeans | None) -> dict[str, Any]:
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
        dropped = len(line.rate) - len(upper_envelope(line.rate, line.quality))
        found, single = BdRate(0.0, line.quality.min(), line.quality.max(), 1.0, ANCHOR, dropped), ""
        ends = (math.nan, math.nan) if resampled is None else (0.0, 0.0)
    else:
        found, single = compare(base, line, asked.method)
        if resampled is not None and not math.isnan(found.percent):
            ends = interval(_replicates(base, line, asked, resampled, single), CONFIDENCE)
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
        "note": _note(line, base, found.dropped),
    }


def _note(line: RDCurve, base: RDCurve, dropped: int) -> str:
    """What to know about a row."""
    images = {int(count) for one in (line, base) for count in one.members["images"]}
    notes = [f"{dropped} of {len(line.rate)} points left out, beaten by others"] * (dropped > 0)
    notes += [f"not over the same images: {' and '.join(map(str, sorted(images)))}"] * (len(images) > 1)
    return "; ".join(notes)


# ---- replicates -----------------------------------------------------------------------------------------------------


def _replicates(base: RDCurve, line: RDCurve, asked: Asked, resampled: BootstrapMeans, single: str) -> Values:
    """The comparison for every replicate of the images, (replicates,); NaN where a replicate has none."""
    base, line = (_near(own, other, asked.method) for own, other in ((base, line), (line, base)))
    base_rates, base_qualities = _replicated(base, asked, resampled)
    rates, qualities = _replicated(line, asked, resampled)
    kept, base_kept = upper_envelope(line.rate, line.quality), upper_envelope(base.rate, base.quality)
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


def _near(own: RDCurve, other: RDCurve, method: str) -> RDCurve:
    """A line without the points that are too far from the other's qualities to matter.

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


def _replicated(line: RDCurve, asked: Asked, resampled: BootstrapMeans) -> tuple[Values, Values]:
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


METHODS = ("pchip", "cubic", "akima")
LEAST_OVERLAP = 0.1
"""Share of the smaller range of quality that both codecs must reach for a BD-rate; a narrow strip says little."""


@dataclass(frozen=True)
class BdRate:
    """A BD-rate, or why there is none.

    Attributes:
        percent: bits of the codec over the anchor's at equal quality, less 100; NaN where there is none.
        low_quality: where the overlap begins; NaN where there is none.
        high_quality: where it ends.
        overlap: its share of the smaller of the two ranges, 0 to 1.
        status: empty, or ``not available: …``.
        dropped: points of the codec that were left out since others beat them.
        anchor_dropped: the same of the anchor.
    """

    percent: float
    low_quality: float = math.nan
    high_quality: float = math.nan
    overlap: float = math.nan
    status: str = ""
    dropped: int = 0
    anchor_dropped: int = 0


def bd_rate(
    anchor_rate: Sequence[float] | Values,
    anchor_quality: Sequence[float] | Values,
    rate: Sequence[float] | Values,
    quality: Sequence[float] | Values,
    method: str = "pchip",
) -> BdRate:
    """The BD-rate of one line against another.

    Args:
        anchor_rate: (N,), bits in any unit; points without a finite rate above 0 do not count.
        anchor_quality: (N,), rising with quality; points without a finite one do not count.
        rate: of the other codec, (M,), in the same unit.
        quality: of the other codec, (M,), on the same scale.
        method: one of ``METHODS``.

    Returns:
        The BD-rate, or the reason why there is none; never a number beyond the measured qualities.

    Raises:
        UsageError: rates and qualities of different lengths, or an unknown method.
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
        raise UsageError(f"rates and qualities of one line must be two lists of one length; got shapes {got}")
    usable = np.isfinite(rates) & np.isfinite(qualities) & (rates > 0)
    rates, qualities = rates[usable], qualities[usable]
    places = upper_envelope(rates, qualities)
    return rates[places], qualities[places], len(rates) - len(places)


def _curve(quality: Values, log_rate: Values, method: str) -> Any:
    """Log rate as a function of quality, with ``integrate``."""
    from scipy import interpolate

    if method == "akima" and len(quality) > 2:
        return interpolate.Akima1DInterpolator(quality, log_rate)
    if method == "akima":  # of two points, Akima's curve is the straight line
        return interpolate.make_interp_spline(quality, log_rate, k=1)
    return interpolate.PchipInterpolator(quality, log_rate)


def _integral(quality: Values, log_rate: Values, method: str, low: float, high: float) -> float:
    if method == "cubic":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", np.exceptions.RankWarning)
            whole = np.polynomial.Polynomial.fit(quality, log_rate, 3).integ()
        return float(whole(high) - whole(low))
    with np.errstate(all="ignore"):
        return float(_curve(quality, log_rate, method).integrate(low, high))


def matched(anchor_rate: Values, anchor_quality: Values, rate: float, quality: float, method: str = "pchip") -> BdRate:
    """A single point against a line: its bits over the line's at the point's quality.

    Args:
        anchor_rate: (N,), as for :func:`bd_rate`.
        anchor_quality: (N,).
        rate: of the point.
        quality: of the point.
        method: how the line is read; a cubic too is read by PCHIP here, since it misses its own points.

    Returns:
        The difference in per cent at ``low_quality`` = ``high_quality`` = ``quality``, or why there is none.
    """
    rates, qualities, dropped = _kept(anchor_rate, anchor_quality)
    if not len(rates):
        return BdRate(math.nan, status=f"{NOT_AVAILABLE}the anchor has no points")
    if len(rates) == 1 and quality == qualities[0]:
        at = math.log(rates[0])
    elif len(rates) == 1:
        return BdRate(math.nan, status=f"{NOT_AVAILABLE}one point each, of unequal quality")
    elif not qualities[0] <= quality <= qualities[-1]:
        end = "better" if quality > qualities[-1] else "worse"
        why = f"{NOT_AVAILABLE}one point, {end} than every one of the anchor's"
        return BdRate(math.nan, overlap=0.0, status=why, anchor_dropped=dropped)
    else:
        at = float(_curve(qualities, np.log(rates), "pchip" if method == "cubic" else method)(quality))
    percent = 100.0 * math.expm1(math.log(rate) - at)
    return BdRate(percent, quality, quality, math.nan, anchor_dropped=dropped)


def compare(base: RDCurve, line: RDCurve, method: str = "pchip") -> tuple[BdRate, str]:
    """A line against the anchor's: as curves where both are, else at the one point's quality.

    Args:
        base: the anchor's, with points.
        line: the other, with points.
        method: one of ``METHODS``.

    Returns:
        The comparison, and whose single point was matched: ``"codec"``, ``"anchor"`` or, of curves, nobody's.
    """
    kept, base_kept = upper_envelope(line.rate, line.quality), upper_envelope(base.rate, base.quality)
    counts: dict[str, Any] = {"dropped": len(line.rate) - len(kept), "anchor_dropped": len(base.rate) - len(base_kept)}
    if len(kept) == 1:
        point = (float(line.rate[kept[0]]), float(line.quality[kept[0]]))
        return replace(matched(base.rate, base.quality, *point, method), **counts), "codec"
    if len(base_kept) == 1:
        point = (float(base.rate[base_kept[0]]), float(base.quality[base_kept[0]]))
        found = matched(line.rate, line.quality, *point, method)
        if found.status:
            found = replace(found, status=f"{NOT_AVAILABLE}the anchor has one point, beyond this codec's")
        return replace(found, percent=_turned(found.percent), **counts), "anchor"
    return bd_rate(base.rate, base.quality, line.rate, line.quality, method), ""


def _turned(percent: float) -> float:
    """A over B less 100 % from B over A less 100 %."""
    return 100.0 * (1.0 / (1.0 + percent / 100.0) - 1.0)


def together(x0: Values, y0: Values, x1: Values, y1: Values) -> Values:
    """PCHIP comparisons of many lines at once: qualities and log rates, (points, replicates), of anchor and codec."""
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
