"""The grid of images: originals, what each codec made of them at a similar rate, and the errors."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from codecbench.analysis.points import nearest_rate, short_settings, target_rate, telling_settings
from codecbench.figures.style import DPI, save_svg, styled
from codecbench.measure.distortion import psnr_db
from codecbench.plugins.codec import Images
from codecbench.store.folder import StoredRun

FACTORS = (16, 8, 4, 2, 1)
"""Allowed amplifications of errors; a dataset's grid uses one of them throughout."""
CELL_PIXELS = 120
GRID_IMAGES = 6
"""Images of a grid at most, however many are kept."""
MAX_FIGURE_IMAGES = 4
MAX_GRID_PIXELS = 6_000_000
MAX_SVG_BYTES = 600_000


@dataclass(frozen=True)
class GridColumn:
    """A codec's column: the point nearest to the grid's rate."""

    label: str  # the codec, with what it was trained on where that matters here
    settings: str  # those that tell the codec's points apart
    all_settings: str
    mark: str  # ``†`` for a codec trained on data of another kind, ``‡`` for one on its own training images
    bits_per_pixel: float  # mean over all images


@dataclass(frozen=True)
class GridCell:
    """One image through one codec; arrays are None where no reconstruction was kept."""

    bits: int | None = None  # of this image's bitstream; None where it has no result
    psnr_db: float = math.nan  # of this image; NaN where every pixel was restored
    image: Images | None = None  # the reconstruction, uint8 (H, W, C)
    error: Images | None = None  # white where nothing differs, darker where it does, uint8 (H, W, 1)


@dataclass(frozen=True)
class ImageGrid:
    """Everything the grid of a dataset shows."""

    dataset: str  # its label
    bits_per_pixel: float  # the rate that the columns are near to, see ``analysis.points.target_rate``
    lossy: list[str]  # the codecs that this rate is from; none where every codec is lossless
    factor: int  # how strongly the errors are amplified
    columns: list[GridColumn]  # one per codec, by rate
    originals: dict[int, Images]  # by index; large ones are cut to their middle
    cells: dict[int, list[GridCell]]  # for each image one a column
    cut: bool  # whether images were cut


def image_grid(
    store: StoredRun,
    points: pd.DataFrame,
    rows: pd.DataFrame,
    dataset: str,
    tasks: Mapping[tuple[str, str, str], Sequence[str]] | None = None,
) -> ImageGrid | None:
    """Collects what the grid of a dataset shows; None where no images were kept or nothing was measured.

    ``points`` are marked (``analysis.points.annotate``); ``rows`` are of the images shown, with the columns
    ``analysis.aggregate.SHOWN`` or more; ``tasks`` are those of ``StoredRun.reconstructions``.
    """
    points = points[points["dataset"] == dataset]
    rate, lossy = target_rate(points)
    originals = first_originals(store, dataset, GRID_IMAGES)
    if math.isnan(rate) or not originals:
        return None
    chosen = nearest_rate(points, rate)
    pixels = sum(image.size for image in originals.values()) / len(originals) * (1 + 2 * len(chosen))
    originals = dict(list(originals.items())[: max(1, int(MAX_GRID_PIXELS // pixels))])
    shown = rows[(rows["dataset"] == dataset) & rows["image"].isin(list(originals))]
    found, columns = [], []
    for point in chosen.to_dict("records"):
        codec, settings = point["codec"], point["settings"]
        keys = telling_settings(list(points.loc[points["codec"] == codec, "settings"]))
        texts = point["label"], short_settings(settings, keys), settings, point["mark"]
        columns.append(GridColumn(*texts, point["bits_per_pixel"]))
        members = shown[(shown["codec"] == codec) & (shown["settings"] == settings)]
        results = {int(row["image"]): row for row in members.to_dict("records")}
        kept = store.reconstructions(dataset, codec, settings, tasks)
        found.append({index: (results.get(index), kept.get(index)) for index in originals})
    factor = _factor(originals, found)
    cells = {
        index: [_cell(original, *column[index], factor) for column in found] for index, original in originals.items()
    }
    sizes = {int(row["image"]): (row["height"], row["width"]) for row in shown.to_dict("records")}
    cut = any(sizes.get(index, image.shape[:2]) != image.shape[:2] for index, image in originals.items())
    return ImageGrid(dataset, rate, lossy, factor, columns, originals, cells, cut)


def first_originals(store: StoredRun, dataset: str, most: int) -> dict[int, Images]:
    """The originals of a dataset's images that were chosen first among those shown, by ascending index."""
    originals = store.originals(dataset)
    order = [index for index in store.manifest["datasets"].get(dataset, {}).get("shown", ()) if index in originals]
    return {index: originals[index] for index in sorted((order or sorted(originals))[:most])}


def _difference(original: Images, image: Images) -> npt.NDArray[np.int64]:
    wide = np.abs(original.astype(np.int64) - image.astype(np.int64))
    return np.asarray(wide.max(axis=2, keepdims=True))


def _factor(originals: dict[int, Images], found: list[dict[int, tuple[Any, Images | None]]]) -> int:
    """The strongest amplification at which the typical column's errors still fit."""
    peaks = []
    for column in found:
        errors = [
            _difference(originals[index], image).ravel()
            for index, (_, image) in column.items()
            if image is not None and image.shape == originals[index].shape
        ]
        if errors and (peak := float(np.percentile(np.concatenate(errors), 99.0))) > 0:
            peaks.append(peak)
    typical = float(np.median(peaks)) if peaks else 255.0
    return next((factor for factor in FACTORS if factor * typical <= 255), 1)


def _cell(original: Images, row: dict[str, Any] | None, image: Images | None, factor: int) -> GridCell:
    if row is None:
        return GridCell()
    bits, psnr = 8 * int(row["num_bytes"]), float(psnr_db(row["mse"])) if row["mse"] > 0 else math.nan
    if image is None or image.shape != original.shape:
        return GridCell(bits, psnr)
    return GridCell(bits, psnr, image, (255 - np.minimum(255, factor * _difference(original, image))).astype(np.uint8))


def zoom(image: Images) -> int:
    """How many screen pixels a pixel of a small image gets, so that it about fills a cell."""
    return max(1, round(CELL_PIXELS / max(image.shape[:2])))


def data_uri(image: Images) -> str:
    """An image as a ``data:`` URI of a PNG, unscaled."""
    pixels = image[..., 0] if image.shape[2] == 1 else image
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def caption(cell: GridCell) -> str:
    """The text below a reconstruction: ``1,928 bits · 23.1 dB``."""
    if cell.bits is None:
        return "no result"
    return f"{cell.bits:,} bits · " + ("exact" if math.isnan(cell.psnr_db) else f"{cell.psnr_db:.1f} dB")


@styled
def grid_figure(grid: ImageGrid, max_images: int = MAX_FIGURE_IMAGES) -> Figure:
    """The first images of a grid, as a figure whose pixels stay square and sharp at ``DPI`` dots an inch."""
    shown = list(grid.originals.items())[:max_images]
    box = max(zoom(image) * max(image.shape[:2]) for _, image in shown) / DPI
    step, top = box + 0.16, 0.86
    row_height = 2 * box + 0.42
    width, height = (len(grid.columns) + 1) * step + 0.1, top + len(shown) * row_height + 0.05
    figure = Figure(figsize=(width, height), dpi=DPI)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()

    def place(image: Images, column: int, y: float) -> None:
        scale = min(1.0, box * DPI / (zoom(image) * max(image.shape[:2]))) * zoom(image) / DPI
        x, wide, high = 0.1 + column * step, image.shape[1] * scale, image.shape[0] * scale
        pixels = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
        axes.imshow(pixels, extent=(x, x + wide, y + high, y), interpolation="none", aspect="auto")
        axes.plot([x, x + wide, x + wide, x, x], [y, y, y + high, y + high, y], color="#d0d3d6", linewidth=0.6)

    def write(text: str, column: int, y: float, **look: Any) -> None:
        axes.text(0.1 + column * step, y, text, va="baseline", **look)

    write(grid.dataset, 0, 0.22, fontsize=8, weight="bold")
    write("original", 0, 0.42, fontsize=7)
    write(f"error ×{grid.factor}", 0, 0.58, fontsize=6.5, color="#6a6d72")
    for number, column in enumerate(grid.columns, start=1):
        name, _, trained = column.label.partition(" ")
        lines = [*_wrapped(column.settings, int(box * 17)), *([trained] if trained else [])]
        write(name, number, 0.22, fontsize=8, weight="bold")
        for line, text in enumerate(lines[:2]):
            write(text, number, 0.38 + 0.13 * line, fontsize=6, color="#6a6d72")
        write(f"{column.bits_per_pixel:.3g} bits/pixel", number, 0.74, fontsize=6.5)
    for line, (index, original) in enumerate(shown):
        y = top + line * row_height
        place(original, 0, y)
        write(f"image {index}", 0, y + box + 0.13, fontsize=6.5, color="#6a6d72")
        for number, cell in enumerate(grid.cells[index], start=1):
            write(caption(cell), number, y + box + 0.13, fontsize=6.2)
            if cell.image is not None and cell.error is not None:
                place(cell.image, number, y)
                place(cell.error, number, y + box + 0.2)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return figure


def grid_svg(grid: ImageGrid) -> bytes:
    """The same figure as SVG with every image embedded at its own size; fewer images if it would be large."""
    content = b""
    for count in range(MAX_FIGURE_IMAGES, 0, -1):
        content = save_svg(grid_figure(grid, count))
        if len(content) <= MAX_SVG_BYTES:
            break
    return content


def _wrapped(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for part in text.split(","):
        if lines and len(lines[-1]) + len(part) + 1 <= width:
            lines[-1] += f",{part}"
        elif part:
            lines.append(part)
    return lines
