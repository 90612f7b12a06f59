"""Pictures of images: a grid of them, and rows of the same images in several forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from codecbench.errors import UsageError
from codecbench.figures.sheet import Sheet, checked_images, checked_texts, drawn_size, text_width
from codecbench.figures.style import styled
from codecbench.plugins.codec import Images
from codecbench.text import format_shape

CELL, GAP, MARGIN, LINE = 96, 10, 12, 18
"""In dots: an image's side, the space between images, the edge of the sheet, a line of small text."""


@styled
def image_grid(images: Images, labels: Sequence[object] | None = None, columns: int = 8) -> Figure:
    """Images side by side, row after row.

    Args:
        images: uint8 (N, H, W, C), N ≥ 1, C = 1 or 3.
        labels: a caption an image.
        columns: images a row, 1 or more.

    Returns:
        A figure with one axes an image, in order; about 7 inches wide for 8 columns.

    Raises:
        UsageError: no such array, not one label an image, or no columns.
    """
    images = checked_images(images)
    texts = checked_texts(labels, len(images), "labels")
    if columns < 1:
        raise UsageError(f"columns={columns} is not allowed; allowed: 1 or more")
    height, width = drawn_size(images.shape[1], images.shape[2], CELL)
    across = min(columns, len(images))
    rows = -(-len(images) // across)
    step = height + (LINE if any(texts) else 0) + GAP
    sheet = Sheet(2 * MARGIN + across * (width + GAP) - GAP, 2 * MARGIN + rows * step - GAP)
    for number, (image, text) in enumerate(zip(images, texts, strict=True)):
        x, y = MARGIN + number % across * (width + GAP), MARGIN + number // across * step
        sheet.picture(image, x, y, width, height, text)
        if text:
            sheet.caption(text, x + width / 2, y + height + 14)
    return sheet.figure


@styled
def compare_rows(rows: Mapping[str, Images], captions: Mapping[str, Sequence[object]] | None = None) -> Figure:
    """The same images in several forms, one row a form: the originals, and what codecs made of them.

    Args:
        rows: by name, from top to bottom; each uint8 (N, H, W, C), all of one shape.
        captions: by row's name, a text an image; rows without stay without.

    Returns:
        A figure with one axes an image, row after row.

    Raises:
        UsageError: no rows, arrays of another kind or of different shapes, captions of no row or of another number.
    """
    arrays = {name: checked_images(images, f"row {name!r}") for name, images in rows.items()}
    shapes = {images.shape for images in arrays.values()}
    if len(shapes) != 1:
        found = ", ".join(format_shape(shape) for shape in sorted(shapes)) or "no rows"
        raise UsageError(f"rows must hold the same images, all of one shape; got {found}")
    given = captions or {}
    if strange := sorted(given.keys() - arrays.keys()):
        raise UsageError(f"captions of no row: {', '.join(strange)}; rows: {', '.join(arrays)}")
    (count, tall, wide, _) = shapes.pop()
    height, width = drawn_size(tall, wide, CELL)
    texts = {name: checked_texts(given.get(name), count, f"captions of {name!r}") for name in arrays}
    longest = max(max((text_width(text, 7) for row in texts.values() for text in row), default=0), width)
    step = max(width + GAP, int(longest) + 6)
    names = {name: name.split("\n") for name in arrays}
    side = int(max(text_width(line, 8.5) for lines in names.values() for line in lines)) + GAP
    heights = [height + GAP + (LINE if any(texts[name]) else 0) for name in arrays]
    sheet = Sheet(2 * MARGIN + side + count * step - (step - width), 2 * MARGIN + sum(heights) - GAP)
    y = MARGIN
    for (name, images), high in zip(arrays.items(), heights, strict=True):
        for line, text in enumerate(names[name]):
            weight = "normal" if line else "bold"
            middle = y + height / 2 + 5 + 17 * (line - (len(names[name]) - 1) / 2)
            sheet.write(text, MARGIN, middle, 8.5, weight=weight)
        for number, (image, text) in enumerate(zip(images, texts[name], strict=True)):
            x = MARGIN + side + number * step
            sheet.picture(image, x, y, width, height, f"{name}: {text}" if text else name)
            if text:
                sheet.caption(text, x + width / 2, y + height + 14, 7)
        y += high
    return sheet.figure
