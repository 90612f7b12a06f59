"""Latents drawn as images between originals and reconstructions, and as points in a plane."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from codecbench.analysis.pca import Latents
from codecbench.errors import UsageError
from codecbench.figures.images import Canvas, checked_images, checked_texts, drawn_size
from codecbench.figures.style import GREY, INK, styled
from codecbench.plugins.codec import Images
from codecbench.text import format_shape

CELL, GAP, MARGIN, SIDE = 112, 12, 12, 128
"""In dots: a picture's side, the space between pictures, the edge of the canvas, the names of the rows."""
CLIPPED = 0.002
"""Share of the latents' values that may lie beyond either end of their colour scale."""
DIVERGING, SEQUENTIAL = "RdBu_r", "viridis"
MAP_COLORS = (
    "#332288", "#e69f00", "#117733", "#cc3311", "#33bbee", "#882255", "#7a7a00", "#cc6699", "#009e8e", "#444444",
)  # fmt: skip
"""Of classes in maps of latents, dark and light by turns. Colour-blind readers distinguish the classes by the markers
and the names in the map as well."""
MAP_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "p", ">")
MOST_CLASSES = 20
"""Beyond, names and legend would cover the points."""
VECTOR_POINTS = 300
"""With more points a map holds them as a picture, sharp at :data:`MAP_DPI`, so that an SVG stays small."""
MAP_DPI = 200

Points = npt.NDArray[np.floating[Any]]


def latent_picture(latent: Latents) -> npt.NDArray[np.float64]:
    """Lays one latent out as a picture.

    Args:
        latent: of any shape. Sides of 1 do not count. A vector becomes a rectangle, as nearly square as its length
            allows (32: 4×8, 784: 28×28), filled up if that is a strip; a matrix stays; of more dimensions the last
            two are channels, laid side by side with seams between (24×4×4: 4×6 channels).

    Returns:
        float64 (H, W); NaN where there is nothing.

    Raises:
        UsageError: no numbers.
    """
    values = np.squeeze(np.asarray(latent, dtype=np.float64))
    if not values.size:
        raise UsageError(f"a latent needs at least one number; got the shape {format_shape(latent.shape)}")
    if values.ndim <= 1:
        rows, columns = _rectangle(values.size)
        filled = np.full(rows * columns, np.nan)
        filled[: values.size] = values.ravel()
        return filled.reshape(rows, columns)
    if values.ndim == 2:
        return values
    channels = values.reshape(-1, *values.shape[-2:])
    rows, columns = _rectangle(len(channels))
    height, width = channels.shape[1:]
    picture = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for number, channel in enumerate(channels):
        top, left = number // columns * (height + 1), number % columns * (width + 1)
        picture[top : top + height, left : left + width] = channel
    return picture


def _rectangle(count: int) -> tuple[int, int]:
    """Rows and columns for so many things: an exact rectangle, or one to fill up where that would be a strip."""
    rows = next(rows for rows in range(math.isqrt(count), 0, -1) if count % rows == 0)
    if count > 3 and count // rows > 4 * rows:
        columns = math.ceil(math.sqrt(count))
        return -(-count // columns), columns
    return rows, count // rows


@styled
def triples(
    originals: Images, latents: Latents, reconstructions: Images, labels: Sequence[object] | None = None
) -> Figure:
    """Original, latent drawn as an image, and reconstruction below each other, one column an image.

    All latents share one colour scale: diverging and symmetric about 0 where there are negative values to speak of,
    else sequential. A few outliers may lie beyond its ends, which are pointed then.

    Args:
        originals: uint8 (N, H, W, C).
        latents: (N, …), see :func:`latent_picture`.
        reconstructions: as the originals.
        labels: a caption an image.

    Returns:
        A figure with the axes of original, latent and reconstruction by turns, then the colour bar's.

    Raises:
        UsageError: arrays that do not belong together, latents that are not finite, not one label an image.
    """
    originals = checked_images(originals, "originals")
    reconstructions = checked_images(reconstructions, "reconstructions")
    texts = checked_texts(labels, len(originals), "labels")
    if originals.shape != reconstructions.shape or len(latents) != len(originals):
        raise UsageError(
            f"originals {format_shape(originals.shape)}, latents {format_shape(latents.shape)} and reconstructions "
            f"{format_shape(reconstructions.shape)} must be of the same images"
        )
    if not np.isfinite(latents).all():
        raise UsageError("latents must be finite; some are not")
    pictures = [latent_picture(latent) for latent in latents]
    colors, norm, extend = _scale(np.asarray(latents, dtype=np.float64))
    high, wide = drawn_size(originals.shape[1], originals.shape[2], CELL)
    tall, broad = drawn_size(pictures[0].shape[0], pictures[0].shape[1], CELL)
    broadest, bar = max(wide, broad), max(tall, 64)
    low = (bar - tall) // 2  # a colour bar taller than the latents makes room for itself
    first = MARGIN + (20 if any(texts) else 0)
    tops = [first, first + high + GAP + low, first + high + tall + 2 * GAP + 2 * low]
    right = MARGIN + SIDE + len(originals) * (broadest + GAP)
    canvas = Canvas(right + 66, tops[2] + high + MARGIN)
    shape = format_shape([side for side in latents.shape[1:] if side > 1] or [1])
    names = [("original", format_shape(originals.shape[1:])), ("latent", shape), ("reconstruction", "")]
    for (name, small), top, size in zip(names, tops, (high, tall, high), strict=True):
        middle = top + size / 2 + (0 if small else 5)
        canvas.write(name, MARGIN, middle, 8.5, weight="bold")
        canvas.write(small, MARGIN, middle + 17, 7.5, color=GREY)
    drawn: Any = None
    for number, text in enumerate(texts):
        x = MARGIN + SIDE + number * (broadest + GAP)
        left, inner = x + (broadest - wide) // 2, x + (broadest - broad) // 2
        if text:
            canvas.caption(text, x + broadest // 2, MARGIN + 12, 8)
        canvas.picture(originals[number], left, tops[0], wide, high, f"original {text}")
        drawn = canvas.picture(pictures[number], inner, tops[1], broad, tall, f"latent {text}", cmap=colors, norm=norm)
        canvas.picture(reconstructions[number], left, tops[2], wide, high, f"reconstruction {text}")
    scale = canvas.axes(right, tops[1] - low, 12, bar)
    canvas.figure.colorbar(drawn, cax=scale, extend=extend, ticks=MaxNLocator(5 if bar > 90 else 4))
    scale.tick_params(labelsize=7.5, length=2)
    scale.set_label("colour scale")
    return canvas.figure


def _scale(values: npt.NDArray[np.float64]) -> tuple[str, Normalize, str]:
    low, high = (float(end) for end in np.quantile(values, (CLIPPED, 1 - CLIPPED)))
    if low < -0.02 * max(high, 1e-12):
        most = max(-low, high)
        below, above = values.min() < -most * 1.0001, values.max() > most * 1.0001
        norm, colors = Normalize(-most, most), DIVERGING
    else:
        low = min(0.0, float(values.min())) if low < 0.25 * high else low
        norm, colors = Normalize(low, high if high > low else low + 1.0), SEQUENTIAL
        below, above = values.min() < low, values.max() > norm.vmax
    return colors, norm, ("neither", "min", "max", "both")[below + 2 * above]


@styled
def latent_maps(
    panels: Mapping[str, tuple[Points, npt.NDArray[np.integer[Any]] | None]],
    explained: tuple[float, float] | None = None,
    classes: Sequence[str] | None = None,
) -> Figure:
    """Latents as points in a plane, coloured by class, one panel per set of images, for example train and test.

    Each class has one colour and one marker, an entry in the legend, and its name at the median of its points.

    Args:
        panels: points (N, 2), see ``codecbench.analysis.pca``, and class numbers (N,) or None where they are unknown,
            by the panel's title.
        explained: shares of the variance along the two axes, for the axes' labels.
        classes: names of the classes by number; by default the numbers.

    Returns:
        A figure with one axes a panel, all of the same view; each class is one collection of its axes.

    Raises:
        UsageError: no panels, or arrays that do not belong together.
    """
    if not panels:
        raise UsageError("a map of latents needs at least one set of points; got none")
    for title, (points, labels) in panels.items():
        if points.ndim != 2 or points.shape[1] != 2 or not len(points):
            raise UsageError(f"points {title} must be (N, 2) with N ≥ 1, not {format_shape(points.shape)}")
        if labels is not None and len(labels) != len(points):
            raise UsageError(f"{title}: {len(points)} points need as many labels, not {len(labels)}")
    known = sorted({int(label) for _, labels in panels.values() if labels is not None for label in np.unique(labels)})
    if classes is not None and known and not 0 <= known[0] <= known[-1] < len(classes):
        raise UsageError(f"classes: {len(classes)} names for the class numbers {known[0]} to {known[-1]}")
    names = {label: str(label) if classes is None else classes[label] for label in known}
    low, high = _view(np.concatenate([points for points, _ in panels.values()]))
    named = 0 < len(known) <= MOST_CLASSES
    wide = 5.2 if len(panels) == 1 else 4.2
    letters = max((len(name) for name in names.values()), default=0)
    size = (
        wide * len(panels) + 0.8 + (0.4 + 0.09 * letters if named else 0.1),
        wide * (high[1] - low[1]) / (high[0] - low[0]) + (0.85 if any(panels) else 0.7),
    )
    roomy = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)  # the equal aspect moves names of axes a little outwards
    figure = Figure(figsize=size, dpi=MAP_DPI, layout=roomy)
    for number, (title, (points, labels)) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), number)
        axes.set_xlim(low[0], high[0])
        axes.set_ylim(low[1], high[1])
        _draw_map(axes, points, labels, names)
        axes.set_title(title)
        axes.set_xlabel(_component("1st", explained and explained[0]))
        if number == 1:
            axes.set_ylabel(_component("2nd", explained and explained[1]))
        axes.tick_params(labelleft=number == 1)
        axes.xaxis.set_major_locator(MaxNLocator(7))
        axes.yaxis.set_major_locator(MaxNLocator(6))
        # One unit is as long along one axis as along the other: distances in the map are those in the plane.
        axes.set_aspect("equal", adjustable="box")
    if named:
        handles = [
            Line2D([], [], linestyle="none", markersize=6, label=names[label], **_look(label)) for label in known
        ]
        figure.legend(handles=handles, loc="outside right upper", handletextpad=0.2)
    return figure


def _view(points: Points) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Lower left and upper right corner of a view of all points, neither a strip nor a tower."""
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    sides = np.maximum(1.08 * (high - low), 1e-9)
    sides = np.maximum(sides, [sides[1] / 1.1, 0.6 * sides[0]])
    middle = (low + high) / 2
    return middle - sides / 2, middle + sides / 2


def _component(name: str, share: float | None) -> str:
    return f"{name} principal component" + ("" if share is None else f" ({share:.0%} of the variance)")


def _look(label: int) -> dict[str, Any]:
    turn = label // len(MAP_COLORS)  # beyond ten classes the colours come again, with other markers
    marker = MAP_MARKERS[(label + 3 * turn) % len(MAP_MARKERS)]
    return {"color": MAP_COLORS[label % len(MAP_COLORS)], "marker": marker, "markeredgecolor": "none"}


def _draw_map(
    axes: Axes, points: Points, labels: npt.NDArray[np.integer[Any]] | None, names: Mapping[int, str]
) -> None:
    many = len(points) > VECTOR_POINTS
    size = float(np.clip(16000 / len(points), 2.5, 24))
    look: dict[str, Any] = {"s": size, "linewidths": 0, "alpha": 0.6, "rasterized": many}
    if labels is None:
        axes.scatter(points[:, 0], points[:, 1], color="#4a6fa5", **look)
        return
    medians: dict[int, npt.NDArray[np.float64]] = {}
    for label, name in names.items():
        members = points[labels == label]
        if len(members):
            style = _look(label)
            axes.scatter(members[:, 0], members[:, 1], color=style["color"], marker=style["marker"], label=name, **look)
            medians[label] = np.median(members, axis=0)
    if len(names) <= MOST_CLASSES:
        _name_classes(axes, medians, names)


def _name_classes(axes: Axes, medians: Mapping[int, npt.NDArray[np.float64]], names: Mapping[int, str]) -> None:
    """Writes each class's name at its median, pushed off others' names, with a line to where it belongs."""
    span = np.array([np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())])
    places = {label: median / span for label, median in medians.items()}
    wide = {label: 0.032 + 0.015 * len(names[label]) for label in medians}
    for _ in range(200):
        moved = False
        for one in places:
            for other in places:
                need = np.array([(wide[one] + wide[other]) / 2, 0.062])
                gap = places[other] - places[one]
                if one < other and (np.abs(gap) < need).all():
                    # Apart along the axis that needs the smaller push; by class number if they coincide.
                    axis = int(np.argmin(need - np.abs(gap)))
                    sign = 1.0 if gap[axis] >= 0 else -1.0
                    push = np.zeros(2)
                    push[axis] = sign * ((need - np.abs(gap))[axis] / 2 + 1e-4)
                    places[one], places[other] = places[one] - push, places[other] + push
                    moved = True
        if not moved:
            break
    for label, place in places.items():
        color = MAP_COLORS[label % len(MAP_COLORS)]
        at, where = medians[label], place * span
        if (np.abs(at / span - place) > 0.02).any():
            axes.plot([at[0], where[0]], [at[1], where[1]], color=color, linewidth=1.2, zorder=4)
            axes.plot([at[0]], [at[1]], color=color, marker=".", markersize=5, zorder=4)
        axes.text(
            where[0], where[1], names[label], ha="center", va="center", fontsize=9, weight="bold", color=INK, zorder=5,
            bbox={"boxstyle": "round,pad=0.22", "facecolor": "white", "edgecolor": color, "linewidth": 1.3,
                  "alpha": 0.92},
        )  # fmt: skip
