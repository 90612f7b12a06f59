"""Grouped bars: a few numbers side by side."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from codecbench.errors import UsageError
from codecbench.figures.style import GREY, INK, styled

COLORS = ("#9aa1a9", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00")


@styled
def grouped_bars(
    table: pd.DataFrame,
    value: str,
    groups: str,
    bars: str,
    *,
    low: str | None = None,
    high: str | None = None,
    ylabel: str | None = None,
    xlabel: str | None = None,
    title: str = "",
    write: Callable[[float], str] = "{:.3g}".format,
) -> Figure:
    """One bar a row of a table, those of a group together, each with its number above it.

    Args:
        table: one row a bar; a pair of group and bar occurs at most once.
        value: the column of heights; a missing number leaves a gap.
        groups: the column of what stands below a group of bars, in order of appearance.
        bars: the column of what tells the bars of a group apart, in order of appearance.
        low: the column of the lower end of an interval around the value, or None for no intervals.
        high: the column of its upper end.
        ylabel: name of the values; by default the column's.
        xlabel: name of the groups; by default the column's.
        title: of the figure.
        write: puts a value into words.

    Returns:
        A figure of one axes with a container of bars by each name among ``bars``.

    Raises:
        UsageError: a column is lacking, a pair occurs twice, there are no rows, or only one end of the intervals.
    """
    ends = [name for name in (low, high) if name is not None]
    if len(ends) == 1:
        raise UsageError("an interval needs both ends: low and high")
    if lacking := [name for name in (value, groups, bars, *ends) if name not in table]:
        raise UsageError(f"no column {', '.join(lacking)}; columns: {', '.join(map(str, table.columns))}")
    if table.empty:
        raise UsageError("grouped bars need at least one row; got none")
    if table.duplicated([groups, bars]).any():
        twice = table.loc[table.duplicated([groups, bars]), [groups, bars]].iloc[0]
        raise UsageError(f"{groups}={twice[groups]}, {bars}={twice[bars]} occurs more than once; a pair has one bar")
    group_names, bar_names = list(table[groups].unique()), list(table[bars].unique())
    figure = Figure(figsize=(max(4.2, min(10.0, 1.6 + 0.75 * len(group_names) * len(bar_names))), 3.6),
                    layout="constrained")  # fmt: skip
    axes = figure.add_subplot()
    wide = 0.8 / len(bar_names)
    tops = [table[value].max()] + ([table[high].max()] if high else [])
    span = float(np.nanmax([*tops, 0.0])) - float(np.nanmin([table[value].min(), 0.0]))
    for number, (bar, color) in enumerate(zip(bar_names, cycle(COLORS), strict=False)):
        members = table[table[bars] == bar].set_index(groups).reindex(group_names)
        heights = members[value].to_numpy(float)
        places = np.arange(len(group_names)) + (number - (len(bar_names) - 1) / 2) * wide
        axes.bar(places, heights, width=wide * 0.92, color=color, label=str(bar), zorder=2)
        ceilings = heights
        if low and high:
            ceilings = np.fmax(heights, members[high].to_numpy(float))
            edges = np.abs(np.stack([members[low].to_numpy(float), members[high].to_numpy(float)]) - heights)
            known = np.isfinite(edges).all(axis=0) & np.isfinite(heights)
            axes.errorbar(
                places[known], heights[known], edges[:, known], fmt="none", ecolor=INK, elinewidth=1.0, capsize=3,
                zorder=3,
            )  # fmt: skip
        for x, height, top in zip(places, heights, ceilings, strict=True):
            text = write(height) if np.isfinite(height) else "–"
            y = (max(top, 0.0) if np.isfinite(top) else 0.0) + 0.012 * span
            axes.text(x, y, text, ha="center", va="bottom", fontsize=8, color=INK if text != "–" else GREY, zorder=4)
    axes.set_xticks(range(len(group_names)), [str(name) for name in group_names])
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.12)
    if table[value].min() >= 0:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(groups if xlabel is None else xlabel)
    axes.set_ylabel(value if ylabel is None else ylabel)
    axes.set_title(title)
    figure.legend(loc="outside lower center", ncols=min(4, len(bar_names)))
    return figure
