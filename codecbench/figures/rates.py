"""Curves of rate against distortion, and speed against rate, from marked points (``analysis.points.annotate``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter, FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from codecbench.analysis.points import TARGET_DB, is_exact, nearest_quality
from codecbench.figures.style import GREY, CodecStyle, codec_styles, styled

TOP_DB, BOTTOM_DB, MOST_RAW = 60.0, 10.0, 3.0
"""Curves leave the plot where an image differs from its original by rounding only, where hardly anything of it is
left, and at so many times the size of the raw pixels; :func:`outside` counts what is lost to the eye."""
SSIM_TICKS = (
    0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999,
    0.9995, 0.9998, 0.9999, 0.99995, 0.99998, 0.99999, 0.999999,
)  # fmt: skip
SSIM_TOP = 0.9993
LEAST_SPAN = {"psnr_db": 10.0, "ssim": 1.0}
"""Minimum span of a quality axis (for SSIM in powers of ten of 1 − SSIM)."""
LEAST_RATES, LEAST_TIMES = 5.0, 10.0
"""Largest over smallest value that a log axis shows at least: enough for two ticks."""
HOLLOW = {"markerfacecolor": "white", "markeredgewidth": 1.2}
QUALITY_NAMES = {"psnr_db": "PSNR (dB), mean over the images", "ssim": "SSIM, mean (axis stretched towards 1)"}
TIME_NAMES = {"encode_s": "Encoding time per image", "decode_s": "Decoding time per image"}

Styles = Mapping[str, CodecStyle]
Legend = dict[tuple[str, str], Line2D]
"""Handles by the codec's label and the curve's name."""


@styled
def rate_distortion(
    points: pd.DataFrame, datasets: Sequence[str] | None = None, quality: str = "psnr_db", styles: Styles | None = None
) -> Figure:
    """Bits per pixel (log) against PSNR or SSIM, one panel a dataset.

    A line joins the points of one codec that differ in one numeric setting only. Points that restored every pixel
    have no PSNR; they are in a strip of their own above the curves. Codecs trained on other data are drawn with
    hollow markers, and dashed where there is a line. The view leaves out what :func:`outside` says; lines that leave
    it go on there.

    Args:
        points: marked points, see ``codecbench.analysis.points.annotate``.
        datasets: the datasets to draw, in this order; all of them if None.
        quality: ``psnr_db`` or ``ssim``.
        styles: by codec; by default :func:`codec_styles` of all codecs in ``points``.

    Returns:
        A figure of 6.2 inches width for one panel and about 5 for each of several.
    """
    names = list(dict.fromkeys(points["dataset"])) if datasets is None else list(datasets)
    looks = codec_styles(points["codec"]) if styles is None else styles
    legend: Legend = {}
    drawn = points[points["dataset"].isin(names) & _drawable(points, quality)]
    width = 6.2 if len(names) == 1 else 5.0 * len(names)
    keys = drawn[["label", "curve"]].drop_duplicates()
    entries = [f"{label} {curve}" if curve else str(label) for label, curve in keys.itertuples(index=False)]
    columns = _legend_columns(entries, width)
    figure = Figure(figsize=(width, 4.5 + 0.21 * -(-len(entries) // columns)), layout="constrained")
    grid = figure.add_gridspec(2, max(1, len(names)), height_ratios=[1, 8.5], hspace=0.02)
    for column, dataset in enumerate(names):
        strip, axes = figure.add_subplot(grid[0, column]), figure.add_subplot(grid[1, column])
        members = drawn[drawn["dataset"] == dataset]
        _draw_curves(axes, members, quality, looks, legend)
        _draw_strip(strip, members, looks, legend)
        inside = members[~outside(members)]
        _rate_axes(inside, strip, axes)
        _quality_axis(axes, inside, quality)
        _raw_pixels(strip, axes, raw_rate(members))
        strip.set_title(dataset)
    _legend_below(figure, legend, columns)
    return figure


def can_draw(points: pd.DataFrame, quality: str = "psnr_db") -> bool:
    """Whether some points make a curve or a mark below the strip: they lose something, and a log scale has them."""
    return bool((_drawable(points, quality) & ~is_exact(points)).any())


def _drawable(points: pd.DataFrame, quality: str) -> pd.Series[bool]:
    has_rate = (points["images"] > 0) & (points["bits_per_pixel"] > 0)
    known = points["ssim"].notna() if quality == "ssim" else is_exact(points) | points["psnr_db"].notna()
    return has_rate & known


def raw_rate(points: pd.DataFrame) -> float:
    """Bits per pixel of the raw 8-bit samples of one dataset's points; NaN if it is unknown."""
    usable = points[points["compression_ratio"].notna() & (points["images"] > 0)]
    return float((usable["compression_ratio"] * usable["bits_per_pixel"]).median())


def outside(points: pd.DataFrame) -> pd.Series[bool]:
    """Which drawable points of one dataset lie outside the plots; of every codec some point is inside."""
    usual = is_exact(points) | (points["psnr_db"].between(BOTTOM_DB, TOP_DB))
    usual &= ~(points["bits_per_pixel"] > MOST_RAW * raw_rate(points))
    for _, members in points[_drawable(points, "psnr_db")].groupby("codec", sort=False):
        if not usual[members.index].any():
            usual |= usual.index == members["bits_per_pixel"].idxmin()
    return _drawable(points, "psnr_db") & ~usual


def beyond_ssim(points: pd.DataFrame) -> pd.Series[bool]:
    """Which lossy points of one dataset the plot of SSIM leaves out; none where all would be."""
    lossy = _drawable(points, "ssim") & ~is_exact(points)
    far = lossy & (points["ssim"] > SSIM_TOP)
    return far if (lossy & ~far).any() else far & False


def _legend_columns(entries: Sequence[str], width: float) -> int:
    """How many columns of the longest entry fit into some inches; letters are taken to be of average width."""
    longest = max((len(entry) for entry in entries), default=0)
    most = 3 if width < 7 else 5
    return max(1, min(most, len(entries), int((width - 0.1) / (0.6 + 0.068 * longest))))


def _legend_below(figure: Figure, legend: Legend, columns: int) -> None:
    handles = [legend[key] for key in sorted(legend)]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)))


def _draw_curves(axes: Axes, members: pd.DataFrame, quality: str, styles: Styles, legend: Legend) -> None:
    lossy = members[members[quality].notna() & ~is_exact(members)]
    solid = ["-", ":", "-.", (0, (1, 2.5)), (0, (4, 1, 1, 1, 1, 1))]
    dashed = ["--", (0, (7, 2)), (0, (2, 2)), (0, (7, 5)), (0, (4, 7))]
    for label, points in lossy.groupby("label", sort=True):
        families = sorted(points["curve"].unique())
        for number, (curve, line) in enumerate(points.groupby("curve", sort=True)):
            ordered = line.sort_values("bits_per_pixel")
            look, foreign = _look(ordered, styles)
            joined = bool((ordered["swept"] != "").all()) and len(ordered) > 1
            dash: Any = (dashed if foreign else solid)[number % len(solid)]
            name = f"{label!s} {curve!s}" if curve and len(families) > 1 and joined else str(label)
            (handle,) = axes.plot(
                ordered["bits_per_pixel"],
                _stretch(ordered["ssim"]) if quality == "ssim" else ordered["psnr_db"],
                linestyle=dash if joined else "none",
                markersize=5 if joined else 8,
                linewidth=1.5,
                label=name,
                **look,
            )
            legend.setdefault((str(label), name), handle)


def _look(points: pd.DataFrame, styles: Styles) -> tuple[dict[str, Any], bool]:
    """Colour and marker of a codec's points, and whether it was trained on other data; they are hollow then."""
    style, foreign = styles[str(points["codec"].iloc[0])], bool(points["out_of_domain"].any())
    look: dict[str, Any] = {"color": style.color, "marker": style.marker, "markeredgecolor": "white"}
    return look | ({"markeredgecolor": style.color} | HOLLOW if foreign else {"markeredgewidth": 0.5}), foreign


def _draw_strip(strip: Axes, members: pd.DataFrame, styles: Styles, legend: Legend) -> None:
    strip.set_ylim(-1, 1)
    strip.yaxis.set_major_locator(NullLocator())
    exact = members[is_exact(members)]
    known = {label for label, _ in legend}
    for label, points in exact.groupby("label", sort=True):
        look = _look(points, styles)[0] | {"linestyle": "none"}
        smallest = points["bits_per_pixel"].min()
        rest = points[points["bits_per_pixel"] > smallest]
        strip.plot(rest["bits_per_pixel"], [0.0] * len(rest), markersize=4.5, alpha=0.3, **look)
        (handle,) = strip.plot([smallest], [0.0], markersize=8, label=str(label), **look)
        if str(label) not in known:
            legend.setdefault((str(label), str(label)), handle)
    strip.set_ylabel("every pixel\nrestored", rotation=0, ha="right", va="center", fontsize=8, color=GREY)
    if not len(exact):
        strip.text(0.5, 0.5, "none", transform=strip.transAxes, ha="center", va="center", color=GREY, fontsize=8)
    strip.set_facecolor("#f6f7f8")
    strip.tick_params(axis="x", which="both", length=0, labelbottom=False)
    strip.spines["bottom"].set_visible(False)
    strip.spines["left"].set_visible(False)


def _rate_axes(members: pd.DataFrame, *stacked: Axes) -> None:
    """Gives axes above one another the same axis of rates; only the lowest says what it is."""
    low, high = _log_limits(members["bits_per_pixel"], LEAST_RATES)
    for axes in stacked:
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 1000 else (1.0,), numticks=20))
        axes.xaxis.set_minor_locator(NullLocator())
    stacked[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    stacked[-1].set_xlabel("Bits per pixel (log scale)")


def _log_limits(column: pd.Series[float], least: float) -> tuple[float, float]:
    """Limits of a log axis around some values, with a margin and wide enough for ticks."""
    values = column.to_numpy(float)
    if not len(values):
        return 0.1, 10.0
    low, high = values.min() / 1.25, values.max() * 1.25
    more = max(1.0, least / (high / low)) ** 0.5
    return low / more, high * more


def _raw_pixels(strip: Axes, axes: Axes, raw: float) -> None:
    """A line at the rate of the raw pixels, with its label at the bottom."""
    low, high = axes.get_xlim()
    if not low < raw < high:
        return
    for target in (strip, axes):
        target.axvline(raw, color="#8b8f94", linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    halo = [withStroke(linewidth=3, foreground="white")]
    axes.annotate(
        "raw pixels", (raw, 0.015), xycoords=axes.get_xaxis_transform(), xytext=(-3, 0), textcoords="offset points",
        fontsize=8, color=GREY, rotation=90, ha="right", va="bottom", path_effects=halo,
    )  # fmt: skip


def _quality_axis(axes: Axes, members: pd.DataFrame, quality: str) -> None:
    axes.set_ylabel(QUALITY_NAMES[quality])
    values = members.loc[~is_exact(members), quality].dropna().to_numpy(float)
    if quality == "ssim":
        ticks = [tick for tick in SSIM_TICKS if not len(values) or tick > max(0.0, values.min()) - 0.2]
        axes.yaxis.set_major_locator(FixedLocator(list(_stretch(ticks))))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{1 - 10**-value:g}"))
        values = values[values <= SSIM_TOP] if (values <= SSIM_TOP).any() else values
        values, top = _stretch(values), float(_stretch([SSIM_TOP])[0])
    else:
        top = TOP_DB
    if not len(values):
        axes.text(0.5, 0.5, "no lossy points", transform=axes.transAxes, ha="center", color=GREY)
        return
    least = LEAST_SPAN[quality]
    margin = max(0.05 * np.ptp(values), 0.1 * least, 0.5 * (least - np.ptp(values)))
    highest = float(values.max())
    high = highest + margin if highest > top else min(highest + margin, top)
    axes.set_ylim(min(float(values.min()) - margin, high - least), high)


def _stretch(ssim: Any) -> Any:
    return -np.log10(np.maximum(1.0 - np.asarray(ssim, dtype=float), 1e-9))


@styled
def speed(points: pd.DataFrame, dataset: str, time: str = "encode_s", styles: Styles | None = None) -> Figure:
    """Bits per pixel against the time for one image, both log.

    All points are faint; the one that represents its codec (``codecbench.analysis.points.nearest_quality``: nearest to
    30 dB, or the smallest that is lossless) is strong, with its PSNR in the legend.

    Args:
        points: marked points.
        dataset: the dataset's label.
        time: ``encode_s`` or ``decode_s``.
        styles: by codec; by default :func:`codec_styles` of all codecs in ``points``.

    Returns:
        A figure of 6.2 inches width.
    """
    looks = codec_styles(points["codec"]) if styles is None else styles
    members = points[(points["dataset"] == dataset) & (points["images"] > 0) & (points["bits_per_pixel"] > 0)]
    members = members[~outside(members)]
    timed = members[members[time].notna() & (members[time] > 0)]
    strong = timed[timed.index.isin(nearest_quality(members).index)]
    entries = {index: f"{point['label']}, {_quality_words(point)}" for index, point in strong.iterrows()}
    columns = _legend_columns(list(entries.values()), 6.2)
    figure = Figure(figsize=(6.2, 4.2 + 0.21 * -(-len(entries) // columns)), layout="constrained")
    axes = figure.add_subplot()
    legend: Legend = {}
    for label, line in timed.groupby("label", sort=True):
        look, foreign = _look(line, looks)
        look["linestyle"] = "none"
        faint = look | {"markeredgewidth": 0.8 if foreign else 0.0}
        axes.plot(line["bits_per_pixel"], line[time], markersize=4, alpha=0.28, **faint)
        for index, point in line[line.index.isin(strong.index)].iterrows():
            place = [point["bits_per_pixel"]], [point[time]]
            (legend[str(label), str(label)],) = axes.plot(*place, markersize=9, label=entries[index], **look)
    _rate_axes(timed, axes)
    fastest, slowest = _log_limits(timed[time], LEAST_TIMES)
    axes.set_yscale("log")
    axes.set_ylim(fastest, slowest)
    if slowest / fastest < 100:
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=20))
    axes.yaxis.set_major_formatter(EngFormatter(unit="s", sep=" "))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="minor", axis="y", color="#f3f4f5")
    axes.set_ylabel(TIME_NAMES[time])
    axes.set_title(f"{dataset}: strong marks near {TARGET_DB:g} dB, or lossless")
    _legend_below(figure, legend, columns)
    return figure


def _quality_words(point: pd.Series[Any]) -> str:
    return "lossless" if pd.isna(point["psnr_db"]) else f"{point['psnr_db']:.1f} dB"
