"""Large images as blocks that a convolutional network works on one after the other.

Unlike the blocks of :mod:`codecbench.learned.tiling`, which all have one size, these are as large as they may be: an
image of up to ``side`` × ``side`` pixels is one block. A block is filled by reflection at its bottom and right edge, so
that its sides are multiples of ``unit``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codecbench.plugins.codec import Images


@dataclass(frozen=True)
class Block:
    """A part of an image.

    Attributes:
        rows: of the image.
        columns: of the image.
        height: once filled.
        width: once filled.
    """

    rows: slice
    columns: slice
    height: int
    width: int

    def filled(self, images: Images) -> Images:
        """The block of images (N, H, W, C), filled: (N, height, width, C)."""
        part = images[:, self.rows, self.columns]
        below, right = self.height - part.shape[1], self.width - part.shape[2]
        return np.pad(part, ((0, 0), (0, below), (0, right), (0, 0)), mode="symmetric") if below or right else part


def blocks(height: int, width: int, side: int, unit: int) -> list[Block]:
    """The blocks of an image, row by row from the top left.

    Args:
        height: of the image.
        width: of the image.
        side: largest height and width of a block, a multiple of ``unit``.
        unit: what height and width of a filled block are multiples of.
    """
    down, across = (
        [slice(start, min(start + side, size)) for start in range(0, size, side)] for size in (height, width)
    )
    return [
        Block(rows, columns, *(-(-(part.stop - part.start) // unit) * unit for part in (rows, columns)))
        for rows in down
        for columns in across
    ]
