"""Figures that only the notebooks and ``docs/perceptual.py`` draw: rows of images, errors by rank, grouped bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from codecbench.figures.images import POINT, Canvas, checked_images, checked_texts, drawn_size
from codecbench.figures.style import GREY, INK, codec_styles, styled
from codecbench.plugins.codec import Images

CELL, GAP, MARGIN, LINE = 96, 10, 12, 18
"""In dots: an image's side, the space between images, the edge of the canvas, a line of small text."""
LEAST_MSE = 1e-8
"""Errors below are left out of the view: 8-bit rounding alone makes about 1e-6."""
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
COLORS = ("#9aa1a9", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00")


@styled
def image_grid(images: Images, labels: Sequence[object] | None = None, columns: int = 8) -> Figure:
    """Images, uint8 (N, H, W, C), row after row, each with its label; one axes per image, in order."""
    images = checked_images(images)
    texts = checked_texts(labels, len(images), "labels")
    height, width = drawn_size(images.shape[1], images.shape[2], CELL)
    across = min(columns, len(images))
    rows = -(-len(images) // across)
    step = height + (LINE if any(texts) else 0) + GAP
    canvas = Canvas(2 * MARGIN + across * (width + GAP) - GAP, 2 * MARGIN + rows * step - GAP)
    for number, (image, text) in enumerate(zip(images, texts, strict=True)):
        x, y = MARGIN + number % across * (width + GAP), MARGIN + number // across * step
        canvas.picture(image, x, y, width, height, text)
        if text:
            canvas.caption(text, x + width / 2, y + height + 14)
    return canvas.figure


@styled
def compare_rows(rows: Mapping[str, Images], captions: Mapping[str, Sequence[object]] | None = None) -> Figure:
    """The same images in several forms, one named row per form, from top to bottom.

    Args:
        rows: by name; each uint8 (N, H, W, C), all of one shape.
        captions: by row's name, one text per image; rows may go without.
    """
    arrays = {name: checked_images(images, f"row {name!r}") for name, images in rows.items()}
    ((count, tall, wide, _),) = {images.shape for images in arrays.values()}
    height, width = drawn_size(tall, wide, CELL)
    given = captions or {}
    texts = {name: checked_texts(given.get(name), count, f"captions of {name!r}") for name in arrays}
    longest = max(max((_text_width(text, 7) for row in texts.values() for text in row), default=0), width)
    step = max(width + GAP, int(longest) + 6)
    names = {name: name.split("\n") for name in arrays}
    side = int(max(_text_width(line, 8.5) for lines in names.values() for line in lines)) + GAP
    heights = [height + GAP + (LINE if any(texts[name]) else 0) for name in arrays]
    canvas = Canvas(2 * MARGIN + side + count * step - (step - width), 2 * MARGIN + sum(heights) - GAP)
    y = MARGIN
    for (name, images), high in zip(arrays.items(), heights, strict=True):
        for line, text in enumerate(names[name]):
            weight = "normal" if line else "bold"
            middle = y + height / 2 + 5 + 17 * (line - (len(names[name]) - 1) / 2)
            canvas.write(text, MARGIN, middle, 8.5, weight=weight)
        for number, (image, text) in enumerate(zip(images, texts[name], strict=True)):
            x = MARGIN + side + number * step
            canvas.picture(image, x, y, width, height, f"{name}: {text}" if text else name)
            if text:
                canvas.caption(text, x + width / 2, y + height + 14, 7)
        y += high
    return canvas.figure


def _text_width(text: str, size: float) -> float:
    """About how many dots a text takes."""
    return len(text) * size * 0.6 * POINT


def rank_at(mse_by_rank: Mapping[int, float], level: float) -> float:
    """The rank at which the MSE falls to a level above 0, interpolated on its logarithm; NaN beyond the measured."""
    ranks = sorted((rank for rank, mse in mse_by_rank.items() if mse > 0), reverse=True)
    errors = np.log([mse_by_rank[rank] for rank in ranks])
    return float(np.interp(np.log(level), errors, ranks, left=np.nan, right=np.nan))


@styled
def rank_curve(mse_by_rank: Mapping[int, float], levels: Mapping[str, float]) -> Figure:
    """MSE (log) of truncated SVD by rank, with other codecs' MSEs as levels and the ranks where they meet.

    Ranks with an error of 0 are left out. The axes have the curve first, then for each level its line (label
    ``NAME``), and where it meets the curve a drop line and a dot.
    """
    points = sorted((int(rank), float(mse)) for rank, mse in mse_by_rank.items() if mse > 0)
    looks = codec_styles(levels)
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
        color, rank = looks[name].color, rank_at(mse_by_rank, level)
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


@styled
def grouped_bars(
    table: pd.DataFrame,
    value: str,
    groups: str,
    bars: str,
    *,
    ylabel: str,
    xlabel: str,
    title: str,
    write: Callable[[float], str] = "{:.3g}".format,
) -> Figure:
    """One bar per row of a table, those of a group side by side, each with its number above it.

    Args:
        table: a pair of group and bar occurs at most once.
        value: the column of heights; a missing number leaves a gap.
        groups: the column of what is written below a group of bars, in order of appearance.
        bars: the column that tells the bars of a group apart, in order of appearance.
        ylabel: label of the vertical axis.
        xlabel: label of the horizontal axis.
        title: of the figure.
        write: formats a value.
    """
    group_names, bar_names = list(table[groups].unique()), list(table[bars].unique())
    figure = Figure(figsize=(max(4.2, min(10.0, 1.6 + 0.75 * len(group_names) * len(bar_names))), 3.6),
                    layout="constrained")  # fmt: skip
    axes = figure.add_subplot()
    wide = 0.8 / len(bar_names)
    span = float(np.nanmax([table[value].max(), 0.0])) - float(np.nanmin([table[value].min(), 0.0]))
    for number, (bar, color) in enumerate(zip(bar_names, cycle(COLORS), strict=False)):
        heights = table[table[bars] == bar].set_index(groups).reindex(group_names)[value].to_numpy(float)
        places = np.arange(len(group_names)) + (number - (len(bar_names) - 1) / 2) * wide
        axes.bar(places, heights, width=wide * 0.92, color=color, label=str(bar), zorder=2)
        for x, height in zip(places, heights, strict=True):
            known = bool(np.isfinite(height))
            y = (max(height, 0.0) if known else 0.0) + 0.012 * span
            text, ink = (write(height), INK) if known else ("–", GREY)
            axes.text(x, y, text, ha="center", va="bottom", fontsize=8, color=ink, zorder=4)
    axes.set_xticks(range(len(group_names)), [str(name) for name in group_names])
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.12)
    if table[value].min() >= 0:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(title)
    figure.legend(loc="outside lower center", ncols=min(4, len(bar_names)))
    return figure
