"""Error of truncated SVD by rank, and the ranks at which it meets other errors."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from codecbench.errors import UsageError
from codecbench.figures.style import INK, CodecStyle, codec_styles, styled

LEAST_MSE = 1e-8
"""Errors below are left out of the view: 8-bit rounding alone makes about 1e-6."""
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def rank_at(mse_by_rank: Mapping[int, float], level: float) -> float:
    """The rank at which the error falls to a level, interpolated on the logarithm of the MSE.

    Args:
        mse_by_rank: mean squared error by rank.
        level: an MSE above 0.

    Returns:
        The rank, a fraction between two measured ones; NaN where the level is not between measured errors, since
        nothing is extrapolated.
    """
    ranks = sorted(rank for rank, mse in mse_by_rank.items() if mse > 0)
    for before, after in pairwise(ranks):
        high, low = mse_by_rank[before], mse_by_rank[after]
        if high >= level >= low:
            if high == low:
                return float(before)
            share = float(np.log(high / level) / np.log(high / low))
            return before + share * (after - before)
    return float("nan")


@styled
def rank_curve(
    mse_by_rank: Mapping[int, float],
    levels: Mapping[str, float],
    styles: Mapping[str, CodecStyle] | None = None,
) -> Figure:
    """Mean squared error (log) by rank, with errors of other codecs as levels and the ranks where they meet.

    Args:
        mse_by_rank: mean squared error by rank; ranks with an error of 0 have no place on a log scale.
        levels: an MSE above 0 by name; a codec's name has the codec's colour.
        styles: by name; by default ``codec_styles`` of the names.

    Returns:
        A figure of one axes: the curve first, then for each level its line (label ``NAME``), and where it meets the
        curve a drop line and a dot.

    Raises:
        UsageError: fewer than two ranks with an error above 0, or a level that is not above 0.
    """
    points = sorted((int(rank), float(mse)) for rank, mse in mse_by_rank.items() if mse > 0)
    if len(points) < 2:
        raise UsageError(f"a rank curve needs at least two ranks with an MSE above 0; got {len(points)}")
    for name, level in levels.items():
        if not level > 0:
            raise UsageError(f"level {name}={level} is not allowed; allowed: an MSE above 0")
    looks = codec_styles(levels) if styles is None else styles
    figure = Figure(figsize=(6.2, 4.0), layout="constrained")
    axes = figure.add_subplot()
    ranks, errors = [rank for rank, _ in points], [mse for _, mse in points]
    axes.plot(ranks, errors, color=INK, marker="o", markersize=3.5, linewidth=1.5, label="svd", zorder=3)
    axes.set_yscale("log")
    low = max(min(errors), min([LEAST_MSE, *(level / 10 for level in levels.values())]))
    high = max([*errors, *levels.values()])
    axes.set_ylim(low / (high / low) ** 0.05, high * (high / low) ** 0.06)
    # Ranks whose error is below the view would leave the right of the plot empty.
    last = max((rank for rank, mse in points if mse >= low), default=ranks[-1])
    axes.set_xlim(ranks[0] - 0.02 * (last - ranks[0]), last + 0.03 * (last - ranks[0]))
    bottom = axes.get_ylim()[0]
    halo = [withStroke(linewidth=3, foreground="white")]
    for name, level in levels.items():
        color, rank = looks[name].color, rank_at(dict(points), level)
        axes.axhline(level, color=color, linewidth=1.3, label=name, zorder=2)
        met = "" if np.isnan(rank) else f", rank {rank:.1f}"
        # Above the line the curve is to the left of where they meet, below it to the right.
        below = bool(rank > (ranks[0] + last) / 2)
        axes.annotate(
            f"{name}: {level:.3g}{met}", (0 if below else 1, level), xycoords=axes.get_yaxis_transform(),
            xytext=(4, -4) if below else (-2, 4), textcoords="offset points", ha="left" if below else "right",
            va="top" if below else "bottom", fontsize=8.5, path_effects=halo, zorder=5,
        )  # fmt: skip
        if met:
            axes.plot([rank, rank], [bottom, level], color=color, linewidth=1.1, linestyle=(0, (3, 2)), zorder=2)
            axes.plot([rank], [level], color=color, marker=looks[name].marker, markersize=7,
                      markeredgecolor="white", zorder=4, linestyle="none")  # fmt: skip
    axes.yaxis.set_major_locator(LogLocator(numticks=12))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"10{str(round(np.log10(value))).translate(RAISED)}"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
    axes.set_xlabel("Rank kept of each image's singular value decomposition")
    axes.set_ylabel("Mean squared error (log scale)")
    return figure
