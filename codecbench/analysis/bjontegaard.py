"""Bjøntegaard delta rate: how many per cent more or fewer bits a codec needs than another at the same quality.

Log rate is interpolated over quality, for both codecs, and the difference is averaged over the qualities that both
reach; nothing is extrapolated. The average of a log ratio, as a percentage: -20 is a fifth fewer bits.

The methods are

    pchip   piecewise cubic Hermite interpolation without overshoot (Fritsch and Carlson 1980, with Butland's slopes):
            what JCT-VC's and JVET's common test conditions use
    cubic   one polynomial of third order through all points by least squares, as in the first proposal; it swings
            where there are many points or a wide range
    akima   Akima's interpolation of 1970

Sources: Bjøntegaard, "Calculation of average PSNR differences between RD-curves", ITU-T VCEG-M33, 2001, and
"Improvements of the BD-PSNR model", VCEG-AI11, 2008; ITU-T HSTP-VID-WPOM, "Working practices using objective metrics
for evaluation of video coding efficiency experiments", 2020; Herglotz et al., "The Bjøntegaard bible: why your way of
comparing video codecs may be wrong", IEEE Transactions on Image Processing 33, 2024.

What is left out: points that another point of the same codec beats (no more bits, no worse quality), since log rate
must be a function of quality; how many is told. A number needs an overlap of at least ``LEAST_OVERLAP`` of the smaller
of the two ranges of quality. A codec with one point is compared at that point's quality instead.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codecbench.analysis import pchip
from codecbench.analysis.rd_curves import NOT_AVAILABLE, Line, Values, check_choice, rising
from codecbench.errors import UsageError

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
    places = rising(rates, qualities)
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


def compare(base: Line, line: Line, method: str = "pchip") -> tuple[BdRate, str]:
    """A line against the anchor's: as curves where both are, else at the one point's quality.

    Args:
        base: the anchor's, with points.
        line: the other, with points.
        method: one of ``METHODS``.

    Returns:
        The comparison, and whose single point was matched: ``"codec"``, ``"anchor"`` or, of curves, nobody's.
    """
    kept, base_kept = rising(line.rate, line.quality), rising(base.rate, base.quality)
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
