"""Learning curves: how the error fell, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from codecbench.errors import UsageError
from codecbench.looks import GREY, INK, CodecStyle, codec_styles, styled

NEEDED = ("epoch", "train_loss", "held_out_mse")
MOST_FALL = 100.0
"""Largest over smallest value that is shown; a loss of the first steps may lie far above."""
ACROSS = 3


@styled
def learning_curves(logs: Mapping[str, pd.DataFrame], styles: Mapping[str, CodecStyle] | None = None) -> Figure:
    """Training loss and held-out error by epoch (log), one panel a codec.

    The epoch whose held-out error is lowest is marked: its weights are the ones that are kept. The error on the test
    images is drawn thin, as it decided nothing.

    Args:
        logs: by codec: columns ``epoch`` (from 1), ``train_loss``, ``held_out_mse`` and, where it was measured,
            ``test_mse``; further ones are not looked at.
        styles: by codec; by default ``codec_styles`` of the codecs.

    Returns:
        A figure with one axes a codec, in order.

    Raises:
        UsageError: no logs, a log without rows, or without one of its columns.
    """
    if not logs:
        raise UsageError("learning curves need at least one log; got none")
    for name, log in logs.items():
        if lacking := [column for column in NEEDED if column not in log]:
            raise UsageError(f"log of {name}: needs the columns {', '.join(NEEDED)}; lacks {', '.join(lacking)}")
        if not log["held_out_mse"].notna().any():
            raise UsageError(f"log of {name}: needs at least one epoch with a held-out error; got none")
    looks = codec_styles(logs) if styles is None else styles
    across = min(ACROSS, len(logs))
    rows = -(-len(logs) // across)
    width = 6.2 if len(logs) == 1 else 4.1 * across
    figure = Figure(figsize=(width, 3.5 * rows + 0.3), layout="constrained")
    for number, (name, log) in enumerate(logs.items(), start=1):
        axes = figure.add_subplot(rows, across, number)
        _draw(axes, log, looks[name])
        axes.set_title(name)
        if number % across == 1 or across == 1:
            axes.set_ylabel("Mean squared error (log scale)")
        if number > len(logs) - across:
            axes.set_xlabel("Epoch")
    tested = any("test_mse" in log and log["test_mse"].notna().any() for log in logs.values())
    handles = [
        Line2D([], [], color=GREY, linewidth=1.0, alpha=0.7, label="training loss"),
        Line2D([], [], color=INK, linewidth=1.9, label="held-out images, which choose the epoch"),
        *([Line2D([], [], color=INK, linewidth=0.7, label="test images")] if tested else []),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=1 if width < 5 else 3)
    return figure


def best_epoch(log: pd.DataFrame) -> tuple[int, float]:
    """The epoch with the lowest held-out error, the first of equals, and that error."""
    errors = log["held_out_mse"].to_numpy(float)
    at = int(np.nanargmin(errors))
    return int(log["epoch"].iloc[at]), float(errors[at])


def _draw(axes: Axes, log: pd.DataFrame, style: CodecStyle) -> None:
    epochs = log["epoch"].to_numpy(int)
    single = len(log) == 1
    dot = {"marker": "o", "markersize": 3.0} if single else {}
    axes.plot(epochs, log["train_loss"], color=GREY, linewidth=1.0, alpha=0.7, label="training", **dot)  # type: ignore[arg-type]
    thick = 1.9 if len(log) <= 150 else 1.4
    shown = [log["train_loss"], log["held_out_mse"]]
    axes.plot(epochs, log["held_out_mse"], color=style.color, linewidth=thick, label="held out")
    if "test_mse" in log and log["test_mse"].notna().any():
        shown.append(log["test_mse"])
        axes.plot(epochs, log["test_mse"], color=INK, linewidth=0.7, label="test", zorder=3)
    epoch, mse = best_epoch(log)
    axes.axvline(epoch, color=style.color, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    axes.plot(
        [epoch], [mse], marker=style.marker, markersize=9, linestyle="none", label="best", color=style.color,
        markeredgecolor="white", markeredgewidth=1.0, zorder=5,
    )  # fmt: skip
    axes.set_yscale("log")
    values = np.concatenate([column.to_numpy(float) for column in shown])
    values = values[np.isfinite(values) & (values > 0)]
    if len(values):
        low, high = float(values.min()), float(values.max())
        high = min(high, low * MOST_FALL)
        margin = max((high / low) ** 0.08, 1.08)
        axes.set_ylim(low / margin**2.2, high * margin)
        narrow = high / low < 30
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,), numticks=12))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    first, last = (int(epochs.min()), int(epochs.max()))
    axes.set_xlim(first - max(1, (last - first) * 0.02), last + max(1, (last - first) * 0.03))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.text(
        0.97, 0.96, f"best: epoch {epoch} of {last}\nheld-out MSE {mse:.3g}", transform=axes.transAxes, fontsize=8.5,
        ha="right", va="top", color=INK, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
    )  # fmt: skip
