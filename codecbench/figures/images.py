"""A canvas for pictures, laid out in whole dots, so that every pixel of an image is a square of the same size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from codecbench.errors import UsageError
from codecbench.figures.style import DPI, GREY, INK
from codecbench.plugins.codec import Images
from codecbench.text import format_shape

FRAME = "#d0d3d6"
POINT = DPI / 72
"""Dots of a typographic point."""


class Canvas:
    """A figure without axes of its own; places and sizes are in dots of 1/120 inch from the upper left corner."""

    def __init__(self, width: int, height: int):
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)

    def axes(self, x: int, y: int, width: int, height: int) -> Axes:
        """Axes with their upper left corner at (x, y)."""
        box = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(box)

    def picture(
        self, pixels: npt.NDArray[Any], x: int, y: int, width: int, height: int, label: str = "", **look: Any
    ) -> AxesImage:
        """An image, uint8 (H, W, C) with C = 1 or 3, or numbers (H, W) with their colour scale in ``look``."""
        axes = self.axes(x, y, width, height)
        axes.set_axis_off()
        axes.set_label(label)
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = np.repeat(pixels, 3, axis=2)
        larger = width >= pixels.shape[1]
        image = axes.imshow(pixels, interpolation="none" if larger else "antialiased", aspect="auto", **look)
        frame = Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, edgecolor=FRAME, linewidth=0.6)
        frame.set_clip_on(False)  # half of it is outside
        axes.add_patch(frame)
        return image

    def write(self, text: str, x: float, y: float, size: float = 8.0, **look: Any) -> None:
        """A text with its baseline at y."""
        look = {"color": INK, "va": "baseline"} | look
        self.figure.text(x / self.width, 1 - y / self.height, text, fontsize=size, **look)

    def caption(self, text: str, x: float, y: float, size: float = 7.5) -> None:
        """A small text in the middle of x, with its baseline at y."""
        self.write(text, x, y, size, color=GREY, ha="center")


def drawn_size(height: int, width: int, cell: int) -> tuple[int, int]:
    """Height and width in dots: whole multiples of the pixels that about fill a cell, or shrunk where they are more."""
    longest = max(height, width)
    if longest > cell * 3 // 2:
        return max(1, round(height * cell / longest)), max(1, round(width * cell / longest))
    scale = max(1, round(cell / longest))
    return height * scale, width * scale


def checked_images(images: Images, what: str = "images") -> Images:
    """Images as they were given.

    Raises:
        UsageError: no uint8 array (N, H, W, C) with N ≥ 1 and C = 1 or 3.
    """
    array = np.asarray(images)
    if array.dtype != np.uint8 or array.ndim != 4 or not len(array) or array.shape[3] not in (1, 3):
        got = f"{array.dtype} {format_shape(array.shape) or '()'}"
        raise UsageError(f"{what} must be uint8 (N, H, W, C) with N ≥ 1 and C = 1 or 3, not {got}")
    return array


def checked_texts(texts: Sequence[object] | None, count: int, what: str) -> list[str]:
    """One text for each of so many things; empty ones for None.

    Raises:
        UsageError: not as many as there must be.
    """
    if texts is None:
        return [""] * count
    if len(texts) != count:
        raise UsageError(f"{what}: {count} are needed, not {len(texts)}")
    return [str(text) for text in texts]
