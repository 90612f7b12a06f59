"""Images of any size as blocks, and back; batches of anything.

Blocks of one size, for networks that take no other, are placed edge to edge, row by row from the top left corner. Those
of :class:`Block`, for convolutional networks, are as large as they may be. Where blocks reach beyond the image they are
filled by reflection about its border, the border's own pixels included (``np.pad``'s mode ``symmetric``), again and
again where the image is smaller than the filling; so images from 1×1 on work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codecbench.plugins.codec import FloatImages, Images

Index = npt.NDArray[np.intp]


def block_count(height: int, width: int, block: tuple[int, int]) -> int:
    """How many blocks (height, width) cover an image."""
    return -(-height // block[0]) * -(-width // block[1])


def cut(images: Images, block: tuple[int, int], numbers: Index) -> Images:
    """Blocks (B, height, width, C) of images (N, H, W, C), given their numbers (B,) through all images."""
    image, rows, columns = _places(images.shape[1:3], block, numbers)
    rows, columns = _reflect(rows, images.shape[1]), _reflect(columns, images.shape[2])
    return images[image[:, None, None], rows[:, :, None], columns[:, None, :]]


def join(blocks: FloatImages, numbers: Index, images: FloatImages) -> None:
    """Writes blocks (B, height, width, C), counted through all images, into images (N, H, W, C) without the filling."""
    height, width = images.shape[1:3]
    image, rows, columns = _places((height, width), blocks.shape[1:3], numbers)
    inside = (rows < height)[:, :, None] & (columns < width)[:, None, :]
    if inside.all():
        images[image[:, None, None], rows[:, :, None], columns[:, None, :]] = blocks
        return
    which, down, right = np.nonzero(inside)
    images[image[which], rows[which, down], columns[which, right]] = blocks[inside]


def _places(size: tuple[int, ...], block: tuple[int, ...], numbers: Index) -> tuple[Index, Index, Index]:
    """Image (B,), rows (B, height) and columns (B, width) of blocks; rows and columns may be beyond the image."""
    down, across = -(-size[0] // block[0]), -(-size[1] // block[1])
    image, number = np.divmod(numbers, down * across)
    row, column = np.divmod(number, across)
    return image, row[:, None] * block[0] + np.arange(block[0]), column[:, None] * block[1] + np.arange(block[1])


def _reflect(places: Index, size: int) -> Index:
    places = places % (2 * size)
    return np.minimum(places, 2 * size - 1 - places)


@dataclass(frozen=True)
class Block:
    """A part of an image: its rows and columns, and its height and width once filled."""

    rows: slice
    columns: slice
    height: int
    width: int

    def filled(self, images: Images) -> Images:
        """The block of images (N, H, W, C), filled at its bottom and right edge: (N, height, width, C)."""
        part = images[:, self.rows, self.columns]
        below, right = self.height - part.shape[1], self.width - part.shape[2]
        return np.pad(part, ((0, 0), (0, below), (0, right), (0, 0)), mode="symmetric") if below or right else part


def blocks(height: int, width: int, side: int, unit: int) -> list[Block]:
    """The blocks of an image, row by row, at most ``side`` high and wide, filled to multiples of ``unit``.

    ``side`` is a multiple of ``unit``.
    """
    down, across = (
        [slice(start, min(start + side, size)) for start in range(0, size, side)] for size in (height, width)
    )
    return [
        Block(rows, columns, *(-(-(part.stop - part.start) // unit) * unit for part in (rows, columns)))
        for rows in down
        for columns in across
    ]


def batches(count: int, size: int) -> Iterator[slice]:
    """Cuts ``count`` things into batches of ``size``, at least 1; the last may be smaller."""
    size = max(1, size)
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def batch_size(device: str, on_cpu: int = 1 << 10) -> int:
    """How many pixels are worked on together: ``on_cpu`` on a CPU, whose caches are small, more on a GPU."""
    return on_cpu if device == "cpu" else max(on_cpu, 1 << 18)
