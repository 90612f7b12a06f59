"""Learning curves: how the error, or what else networks are judged by, fell epoch by epoch."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from codecbench.errors import UsageError
from codecbench.figures.style import GREY, INK, CodecStyle, codec_styles, styled
from codecbench.store.weights import JUDGED, judged_by

NEEDED = ("epoch", "train_loss", "held_out_mse")
"""Columns of a log; ``held_out_score`` may replace the last."""
MOST_FALL = 100.0
"""Largest over smallest value that is shown; a loss of the first steps may lie far above."""
ALIKE = 2.0
"""How far apart a score and the training loss may lie at the end to be drawn on one axis."""
LINEAR = 10.0
"""A score that falls by less than this factor is drawn on a linear axis."""
WORDS_WIDTH = 40
ACROSS = 3


@styled
def learning_curves(
    logs: Mapping[str, pd.DataFrame],
    styles: Mapping[str, CodecStyle] | None = None,
    words: Mapping[str, str] | None = None,
) -> Figure:
    """Training loss and held-out error by epoch, one panel a codec.

    The epoch whose held-out error is lowest is marked: its weights are the ones that are kept. The error on the test
    images is drawn thin, as it decided nothing. An axis is logarithmic, but for scores that fall by less than a factor
    of ``LINEAR``; each says what it shows. Beside a score the training loss is drawn only where the two end within a
    factor of ``ALIKE``, since it may count something else.

    Args:
        logs: by codec: columns ``epoch`` (from 1), ``train_loss``, ``held_out_mse`` and, where it was measured,
            ``test_mse``; ``held_out_score`` and ``test_score`` instead where a network was judged by a score; further
            ones are not looked at.
        styles: by codec; by default ``codec_styles`` of the codecs.
        words: name and unit of the score, by codec; by default "score".

    Returns:
        A figure with one axes a codec, in order.

    Raises:
        UsageError: no logs, a log without rows, or without one of its columns.
    """
    if not logs:
        raise UsageError("learning curves need at least one log; got none")
    for name, log in logs.items():
        lacking = [column for column in NEEDED[:2] if column not in log]
        if (judged := judged_by(log)) is None:
            lacking.append(NEEDED[2])
        if lacking:
            raise UsageError(f"log of {name}: needs the columns {', '.join(NEEDED)}; lacks {', '.join(lacking)}")
        if not log[f"held_out_{judged}"].notna().any():
            raise UsageError(f"log of {name}: needs at least one epoch with a held-out error; got none")
    looks = codec_styles(logs) if styles is None else styles
    across = min(ACROSS, len(logs))
    rows = -(-len(logs) // across)
    width = 6.2 if len(logs) == 1 else 4.1 * across
    figure = Figure(figsize=(width, 3.5 * rows + 0.3), layout="constrained")
    before = ""
    for number, (name, log) in enumerate(logs.items()):
        axes = figure.add_subplot(rows, across, number + 1)
        judged = str(judged_by(log))
        known = "MSE" if judged == "mse" else (words or {}).get(name, JUDGED["score"])
        _draw(axes, log, looks[name], known)
        axes.set_title(name)
        title = "Mean squared error" if judged == "mse" else known[:1].upper() + known[1:]
        title += " (log scale)" if axes.get_yscale() == "log" else ""
        if number % across == 0 or title != before:  # else the one on its left says so
            axes.set_ylabel(textwrap.fill(title, WORDS_WIDTH))
        before = title
        if number >= len(logs) - across:
            axes.set_xlabel("Epoch")
    tested = any(_tested(log) is not None for log in logs.values())
    losses = any(_comparable(log) for log in logs.values())
    handles = [
        *([Line2D([], [], color=GREY, linewidth=1.0, alpha=0.7, label="training loss")] if losses else []),
        Line2D([], [], color=INK, linewidth=1.9, label="held-out images, which choose the epoch"),
        *([Line2D([], [], color=INK, linewidth=0.7, label="test images")] if tested else []),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=1 if width < 5 else 3)
    return figure


def best_epoch(log: pd.DataFrame) -> tuple[int, float]:
    """The epoch with the lowest held-out error or score, the first of equals, and that error."""
    errors = log[f"held_out_{judged_by(log)}"].to_numpy(float)
    at = int(np.nanargmin(errors))
    return int(log["epoch"].iloc[at]), float(errors[at])


def _tested(log: pd.DataFrame) -> pd.Series[float] | None:
    """The error on the test images, where it was measured."""
    column = f"test_{judged_by(log)}"
    return log[column] if column in log and log[column].notna().any() else None


def _comparable(log: pd.DataFrame) -> bool:
    """Whether the training loss can be drawn on the axis of the held-out errors."""
    if (judged := judged_by(log)) == "mse":
        return True
    loss, error = (float(log[column].dropna().iloc[-1]) for column in ("train_loss", f"held_out_{judged}"))
    return error > 0 and 1 / ALIKE <= loss / error <= ALIKE


def _draw(axes: Axes, log: pd.DataFrame, style: CodecStyle, known: str) -> None:
    epochs = log["epoch"].to_numpy(int)
    held_out, test = log[f"held_out_{judged_by(log)}"], _tested(log)
    single = len(log) == 1
    dot = {"marker": "o", "markersize": 3.0} if single else {}
    shown = [held_out]
    if _comparable(log):
        shown.append(log["train_loss"])
        axes.plot(epochs, log["train_loss"], color=GREY, linewidth=1.0, alpha=0.7, label="training", **dot)  # type: ignore[arg-type]
    thick = 1.9 if len(log) <= 150 else 1.4
    axes.plot(epochs, held_out, color=style.color, linewidth=thick, label="held out")
    if test is not None:
        shown.append(test)
        axes.plot(epochs, test, color=INK, linewidth=0.7, label="test", zorder=3)
    epoch, error = best_epoch(log)
    axes.axvline(epoch, color=style.color, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    axes.plot(
        [epoch], [error], marker=style.marker, markersize=9, linestyle="none", label="best", color=style.color,
        markeredgecolor="white", markeredgewidth=1.0, zorder=5,
    )  # fmt: skip
    values = np.concatenate([column.to_numpy(float) for column in shown])
    _scale(axes, values[np.isfinite(values)], known == "MSE")
    first, last = (int(epochs.min()), int(epochs.max()))
    axes.set_xlim(first - max(1, (last - first) * 0.02), last + max(1, (last - first) * 0.03))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    best = textwrap.fill(f"held-out {known} {error:{'.3g' if known == 'MSE' else '.4g'}}", WORDS_WIDTH)
    axes.text(
        0.97, 0.96, f"best: epoch {epoch} of {last}\n{best}", transform=axes.transAxes, fontsize=8.5,
        ha="right", va="top", color=INK, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
    )  # fmt: skip


def _scale(axes: Axes, values: npt.NDArray[np.float64], error: bool) -> None:
    """Sets the y axis for finite values: logarithmic for errors, and for scores that fall far."""
    positive = values[values > 0]
    low, high = (float(positive.min()), float(positive.max())) if len(positive) else (1.0, 1.0)
    if not error and (len(positive) < len(values) or high < LINEAR * low):
        axes.set_ylim(*_room(float(values.min()), float(values.max())))
        return
    axes.set_yscale("log")
    if len(positive):
        high = min(high, low * MOST_FALL)
        margin = max((high / low) ** 0.08, 1.08)
        axes.set_ylim(low / margin**2.2, high * margin)
        narrow = high / low < 30
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,), numticks=12))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _room(low: float, high: float) -> tuple[float, float]:
    """Limits about values on a linear axis, with room for the words on top."""
    span = (high - low) or abs(high) or 1.0
    return low - 0.12 * span, high + 0.25 * span
