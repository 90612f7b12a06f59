"""Figures: curves of rate against distortion, and of speed against rate, as Matplotlib figures.

Every function takes marked points (``codecbench.curves.mark_points``) and gives a ``matplotlib.figure.Figure``;
none touches pyplot's global state or a person's Matplotlib settings. :func:`save_svg` and :func:`save_png` give the
same bytes every time. A codec has one colour and one marker, whatever the figure: see :func:`codec_styles`.
"""

from __future__ import annotations

import functools
import io
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from codecbench.curves import TARGET_DB, nearest_quality, restored

PALETTE = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6a3d9a",
    "#8c564b", "#7f7f7f", "#a6a100", "#1b2a4e", "#e31a5f",
)  # fmt: skip
"""Okabe and Ito's colours and a few that stay apart from them, told apart by the colour-blind with the markers."""
MARKERS = "os^DvPX<>ph*d"
TOP_DB, BOTTOM_DB, MOST_RAW = 60.0, 10.0, 3.0
"""Curves leave the plot where an image differs from its original by rounding only, where hardly anything of it is
left, and at so many times the size of the raw pixels; :func:`outside` counts what is lost to the eye."""
SSIM_TICKS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)
SSIM_TOP = 0.9993
INK, FAINT = "#26282b", "#d9dbde"
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9a9da1",
    "axes.linewidth": 0.8,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e9eaec",
    "grid.linewidth": 0.8,
    "xtick.color": "#55585c",
    "ytick.color": "#55585c",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.hashsalt": "codecbench",
    "svg.fonttype": "path",
    "text.parse_math": False,  # a $ in a label is a $
}
QUALITY_NAMES = {"psnr_db": "PSNR (dB), mean over the images", "ssim": "SSIM, mean (axis stretched towards 1)"}
TIME_NAMES = {"encode_s": "Encoding time per image", "decode_s": "Decoding time per image"}
P = ParamSpec("P")


@dataclass(frozen=True)
class CodecStyle:
    """How a codec is drawn.

    Attributes:
        color: its colour.
        marker: its marker, in Matplotlib's letters.
    """

    color: str
    marker: str


def house_style() -> AbstractContextManager[object]:
    """Matplotlib's defaults and ours on top, whatever a person's matplotlibrc says; undone on leaving."""
    stack = ExitStack()
    stack.enter_context(mpl.rc_context())
    mpl.rcdefaults()
    mpl.rcParams.update(STYLE)
    return stack


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draws in the house style."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with house_style():
            return draw(*args, **kwargs)

    return drawn


def codec_styles(codecs: Iterable[str]) -> dict[str, CodecStyle]:
    """One colour and marker a codec, by alphabetical order, so that every figure of a run agrees."""
    return {
        name: CodecStyle(PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)])
        for number, name in enumerate(sorted(set(codecs)))
    }


@styled
def rate_distortion(
    points: pd.DataFrame,
    datasets: Sequence[str] | None = None,
    quality: str = "psnr_db",
    styles: Mapping[str, CodecStyle] | None = None,
) -> Figure:
    """Bits per pixel (log) against PSNR or SSIM, one panel a dataset.

    A line joins the points of one codec that differ in one numeric setting only. Points that restored every pixel
    have no PSNR; they stand in a strip of their own above the curves. Codecs trained on other data are drawn dashed
    with hollow markers. The view leaves out what :func:`outside` says; lines that leave it go on there.

    Args:
        points: marked points, see ``codecbench.curves.mark_points``.
        datasets: the datasets to draw, in this order; all of them if None.
        quality: ``psnr_db`` or ``ssim``.
        styles: by codec; by default :func:`codec_styles` of all codecs in ``points``.

    Returns:
        A figure of 6.2 inches width for one panel and about 5 for each of several.
    """
    names = list(dict.fromkeys(points["dataset"])) if datasets is None else list(datasets)
    looks = codec_styles(points["codec"]) if styles is None else styles
    legend: dict[tuple[str, str], Line2D] = {}
    drawn = points[points["dataset"].isin(names) & _drawable(points, quality)]
    rows = _legend_rows(drawn, 3 if len(names) == 1 else 5)
    height = 4.5 + 0.21 * rows
    figure = Figure(figsize=(6.2 if len(names) == 1 else 5.0 * len(names), height), layout="constrained")
    grid = figure.add_gridspec(2, max(1, len(names)), height_ratios=[1, 8.5], hspace=0.02)
    for column, dataset in enumerate(names):
        strip, axes = figure.add_subplot(grid[0, column]), figure.add_subplot(grid[1, column])
        members = drawn[drawn["dataset"] == dataset]
        _draw_curves(axes, members, quality, looks, legend)
        _draw_strip(strip, members, looks, legend)
        inside = members[~outside(members)]
        _rate_axes(strip, axes, inside)
        _quality_axis(axes, inside, quality)
        strip.set_title(dataset)
    _legend_below(figure, legend, 3 if len(names) == 1 else 5)
    return figure


def can_draw(points: pd.DataFrame, quality: str = "psnr_db") -> bool:
    """Whether :func:`rate_distortion` has anything to show for some points."""
    return bool(_drawable(points, quality).any())


def _drawable(points: pd.DataFrame, quality: str) -> pd.Series[bool]:
    has_rate = (points["images"] > 0) & (points["bits_per_pixel"] > 0)
    known = points["ssim"].notna() if quality == "ssim" else restored(points) | points["psnr_db"].notna()
    return has_rate & known


def raw_rate(points: pd.DataFrame) -> float:
    """Bits per pixel of the raw 8-bit samples of one dataset's points; NaN where it cannot be told."""
    usable = points[points["compression_ratio"].notna() & (points["images"] > 0)]
    return float((usable["compression_ratio"] * usable["bits_per_pixel"]).median())


def outside(points: pd.DataFrame) -> pd.Series[bool]:
    """Which drawable points of one dataset lie outside the plots; of every codec some point is inside."""
    usual = restored(points) | (points["psnr_db"].between(BOTTOM_DB, TOP_DB))
    usual &= ~(points["bits_per_pixel"] > MOST_RAW * raw_rate(points))
    for _, members in points[_drawable(points, "psnr_db")].groupby("codec", sort=False):
        if not usual[members.index].any():
            usual |= usual.index == members["bits_per_pixel"].idxmin()
    return _drawable(points, "psnr_db") & ~usual


def _legend_rows(drawn: pd.DataFrame, columns: int) -> int:
    return -(-max(1, len(drawn[["label", "curve"]].drop_duplicates())) // columns)


def _legend_below(figure: Figure, legend: Mapping[tuple[str, str], Line2D], columns: int) -> None:
    handles = [legend[key] for key in sorted(legend)]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)))


def _draw_curves(
    axes: Axes,
    members: pd.DataFrame,
    quality: str,
    styles: Mapping[str, CodecStyle],
    legend: dict[tuple[str, str], Line2D],
) -> None:
    lossy = members[members[quality].notna() & ~restored(members)]
    solid = ["-", ":", "-.", (0, (1, 2.5)), (0, (4, 1, 1, 1, 1, 1))]
    for label, points in lossy.groupby("label", sort=True):
        families = sorted(points["curve"].unique())
        for number, (curve, line) in enumerate(points.groupby("curve", sort=True)):
            ordered = line.sort_values("bits_per_pixel")
            style = styles[str(ordered["codec"].iloc[0])]
            foreign = bool(ordered["out_of_domain"].any())
            joined = bool((ordered["swept"] != "").all()) and len(ordered) > 1
            dash: Any = "--" if foreign else solid[number % len(solid)]
            name = f"{label!s} {curve!s}" if curve and len(families) > 1 and joined else str(label)
            (handle,) = axes.plot(
                ordered["bits_per_pixel"],
                _stretch(ordered["ssim"]) if quality == "ssim" else ordered["psnr_db"],
                color=style.color,
                marker=style.marker,
                linestyle=dash if joined else "none",
                markersize=5 if joined else 8,
                markerfacecolor="white" if foreign else style.color,
                markeredgecolor=style.color if foreign else "white",
                markeredgewidth=1.2 if foreign else 0.5,
                linewidth=1.5,
                label=name,
            )
            legend.setdefault((str(label), name), handle)


def _draw_strip(
    strip: Axes,
    members: pd.DataFrame,
    styles: Mapping[str, CodecStyle],
    legend: dict[tuple[str, str], Line2D],
) -> None:
    strip.set_ylim(-1, 1)
    strip.yaxis.set_major_locator(NullLocator())
    exact = members[restored(members)]
    known = {label for label, _ in legend}
    for label, points in exact.groupby("label", sort=True):
        style = styles[str(points["codec"].iloc[0])]
        foreign = bool(points["out_of_domain"].any())
        look: dict[str, Any] = {
            "color": style.color,
            "marker": style.marker,
            "linestyle": "none",
            "markerfacecolor": "white" if foreign else style.color,
            "markeredgecolor": style.color if foreign else "white",
        }
        smallest = points["bits_per_pixel"].min()
        rest = points[points["bits_per_pixel"] > smallest]
        strip.plot(rest["bits_per_pixel"], [0.0] * len(rest), markersize=4.5, alpha=0.3, **look)
        (handle,) = strip.plot([smallest], [0.0], markersize=8, label=str(label), **look)
        if str(label) not in known:
            legend.setdefault((str(label), str(label)), handle)
    strip.set_ylabel("every pixel\nrestored", rotation=0, ha="right", va="center", fontsize=8, color="#6a6d72")
    if not len(exact):
        strip.text(0.5, 0.5, "none", transform=strip.transAxes, ha="center", va="center", color="#6a6d72", fontsize=8)
    strip.set_facecolor("#f6f7f8")
    strip.tick_params(axis="x", which="both", length=0, labelbottom=False)
    strip.spines["bottom"].set_visible(False)
    strip.spines["left"].set_visible(False)


def _rate_axes(strip: Axes, axes: Axes, members: pd.DataFrame) -> None:
    rates = members["bits_per_pixel"].to_numpy(float)
    low, high = (rates.min() / 1.25, rates.max() * 1.25) if len(rates) else (0.1, 10.0)
    raw = raw_rate(members)
    for target in (strip, axes):
        target.set_xscale("log")
        target.set_xlim(low, high)
        if low < raw < high:
            target.axvline(raw, color="#8b8f94", linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    if low < raw < high:
        axes.text(
            raw, 0.015, " raw pixels", transform=axes.get_xaxis_transform(), fontsize=8, color="#6a6d72",
            rotation=90, ha="right", va="bottom",
        )  # fmt: skip
    locator = LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 1000 else (1.0,), numticks=20)
    for target in (strip, axes):
        target.xaxis.set_major_locator(locator)
        target.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("Bits per pixel (log scale)")


def _quality_axis(axes: Axes, members: pd.DataFrame, quality: str) -> None:
    axes.set_ylabel(QUALITY_NAMES[quality])
    values = members.loc[~restored(members), quality].dropna().to_numpy(float)
    if quality == "ssim":
        ticks = [tick for tick in SSIM_TICKS if not len(values) or tick > max(0.0, values.min()) - 0.2]
        axes.yaxis.set_major_locator(FixedLocator(list(_stretch(ticks))))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{1 - 10**-value:.3g}"))
        values = _stretch(np.minimum(values, SSIM_TOP))
        top = float(_stretch([SSIM_TOP])[0])
    else:
        values, top = np.minimum(values, TOP_DB), TOP_DB
    if not len(values):
        axes.text(0.5, 0.5, "no lossy points", transform=axes.transAxes, ha="center", color="#6a6d72")
        return
    margin = max(0.05 * (values.max() - values.min()), 0.05 if quality == "ssim" else 1.0)
    axes.set_ylim(values.min() - margin, min(values.max() + margin, top))


def _stretch(ssim: Any) -> Any:
    return -np.log10(np.maximum(1.0 - np.asarray(ssim, dtype=float), 1e-9))


@styled
def speed(
    points: pd.DataFrame,
    dataset: str,
    time: str = "encode_s",
    styles: Mapping[str, CodecStyle] | None = None,
) -> Figure:
    """Bits per pixel against the time for one image, both log.

    All points are faint; the one that stands for its codec (``codecbench.curves.nearest_quality``: nearest to
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
    chosen = nearest_quality(members)
    figure = Figure(figsize=(6.2, 4.2 + 0.21 * _legend_rows(timed.assign(curve=""), 3)), layout="constrained")
    axes = figure.add_subplot()
    legend: dict[tuple[str, str], Line2D] = {}
    for label, line in timed.groupby("label", sort=True):
        style = looks[str(line["codec"].iloc[0])]
        foreign = bool(line["out_of_domain"].any())
        look: dict[str, Any] = {"color": style.color, "marker": style.marker, "linestyle": "none"}
        face = "white" if foreign else style.color
        edge = style.color if foreign else "white"
        axes.plot(line["bits_per_pixel"], line[time], markersize=4, alpha=0.28, markeredgewidth=0, **look)
        strong = line[line.index.isin(chosen.index)]
        for _, point in strong.iterrows():
            (handle,) = axes.plot(
                [point["bits_per_pixel"]], [point[time]], markersize=9, markerfacecolor=face,
                markeredgecolor=edge, label=f"{label}, {_quality_words(point)}", **look,
            )  # fmt: skip
            legend[str(label), str(label)] = handle
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=20))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(EngFormatter(unit="s", sep=" "))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="minor", axis="y", color="#f3f4f5")
    axes.set_xlabel("Bits per pixel (log scale)")
    axes.set_ylabel(TIME_NAMES[time])
    axes.set_title(f"{dataset}: strong marks near {TARGET_DB:g} dB, or lossless")
    _legend_below(figure, legend, 3)
    return figure


def _quality_words(point: pd.Series[Any]) -> str:
    return "lossless" if pd.isna(point["psnr_db"]) else f"{point['psnr_db']:.1f} dB"


def save_svg(figure: Figure) -> bytes:
    """A figure as SVG: the same bytes every time."""
    return _save(figure, format="svg", metadata={"Date": None})


def save_png(figure: Figure, dpi: int = 120) -> bytes:
    """A figure as PNG: the same bytes every time."""
    return _save(figure, format="png", dpi=dpi, metadata={"Software": None})


def _save(figure: Figure, **how: Any) -> bytes:
    buffer = io.BytesIO()
    with house_style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a label in a script the font lacks
        figure.savefig(buffer, facecolor="white", **how)
    return buffer.getvalue()
