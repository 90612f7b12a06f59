"""The row filters of PNG on batches of images, and their undoing.

A filter replaces each sample by its difference, modulo 256, from a prediction made of its neighbours to the left, above
and above to the left; neighbours outside the image count as 0. See the PNG specification (Third Edition), clause 9;
``adaptive`` is its heuristic of clause 12.7: of the five types the one with the smallest sum of absolute differences,
for each row on its own, which a byte before the row records.

Filtering is vectorised with NumPy. To undo ``average`` and ``paeth`` takes a sample's neighbours before the sample
itself: Pillow's decoder of PNG does that, in time proportional to the samples, whatever the image's shape.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

import codecbench as cb

TYPES = ("none", "sub", "up", "average", "paeth")
"""The filter types of PNG, in the order of their numbers."""
ADAPTIVE = "adaptive"
FILTERS = (*TYPES, ADAPTIVE)
"""The choices of a codec's setting ``filter``."""

_BLOCK_SAMPLES = 1 << 18
"""Samples that are worked on at once: larger blocks leave the processor's cache."""

_Numbers = npt.NDArray[np.int16]


def filtered_size(shape: cb.Shape, kind: str) -> int:
    """Bytes of one filtered image; ``kind`` is one of ``FILTERS``."""
    height, width, channels = shape
    return height * (width * channels + (kind == ADAPTIVE))


def apply_filter(images: cb.Images, kind: str) -> cb.Images:
    """Filters images (N, H, W, C) to rows (N, H, W·C), for ``adaptive`` (N, H, 1 + W·C) with each row's type first."""
    count, height, width, channels = images.shape
    if kind == "none":
        return images.reshape(count, height, width * channels)
    filtered = np.empty((count, height, width * channels + (kind == ADAPTIVE)), np.uint8)
    for block in _blocks(count, height * width * channels):
        for rows in _blocks(height, width * channels):
            above = max(rows.start - 1, 0)  # the row that the first one is predicted from
            part, target = images[block, above : rows.stop], filtered[block, rows]
            if kind == ADAPTIVE:
                types, differences = _adapted(part)
                target[:, :, 0], target[:, :, 1:] = types[:, rows.start - above :], differences[:, rows.start - above :]
            else:
                differences = _differences(part, TYPES.index(kind))[:, rows.start - above :]
                target[:] = differences.reshape(target.shape)
    return filtered


def undo_filter(filtered: cb.Images, shape: cb.Shape, kind: str) -> cb.Images:
    """Restores images, (N, H, W, C), from N filtered ones of :func:`filtered_size` bytes each.

    Raises:
        ValueError: a row has a type that PNG does not know.
    """
    height, width, channels = shape
    count = len(filtered)
    rows = filtered.reshape(count, height, -1)
    if kind != ADAPTIVE:
        samples = rows.reshape(count, height, width, channels)
        if kind == "none":
            return samples.copy()
        if kind in ("sub", "up"):
            return np.cumsum(samples, axis=2 if kind == "sub" else 1, dtype=np.uint8)
        typed = np.insert(rows, 0, TYPES.index(kind), axis=2)
    else:
        typed = rows
        if (last := rows[:, :, 0].max(initial=0)) >= len(TYPES):
            raise ValueError(f"a row has filter type {last}, the last one known is {len(TYPES) - 1}")
    images = np.empty((count, height, width, channels), np.uint8)
    for block in _blocks(count, height * width * channels):
        images[block] = _undone(typed[block], width, channels)
    return images


def _undone(typed: cb.Images, width: int, channels: int) -> cb.Images:
    """Images (N, H, W, C) from rows that begin with their type, (N, H, 1 + W·C).

    They are one tall image for Pillow, with a row of zeros behind each, so that none is predicted from another.
    """
    count, height, _ = typed.shape
    rows = np.pad(typed, ((0, 0), (0, 1), (0, 0)))
    mode = "L" if channels == 1 else "RGB"
    tall = Image.frombytes(mode, (width, count * (height + 1)), zlib.compress(rows.tobytes(), 0), "zip", mode, 0)
    return np.frombuffer(tall.tobytes(), np.uint8).reshape(count, height + 1, width, channels)[:, :height]


def _blocks(count: int, samples: int) -> Iterator[slice]:
    """Slices of as many things, of so many samples each, as are worked on at once."""
    step = max(1, _BLOCK_SAMPLES // samples)
    for start in range(0, count, step):
        yield slice(start, start + step)


# ---- filtering ------------------------------------------------------------------------------------------------------


def _differences(images: cb.Images, number: int) -> cb.Images:
    """The differences that one filter type leaves, (N, H, W, C)."""
    if number == 0:
        return images
    padded = np.pad(images, ((0, 0), (1, 0), (1, 0), (0, 0)))
    left, up, corner = padded[:, 1:, :-1], padded[:, :-1, 1:], padded[:, :-1, :-1]
    if number == 1:
        return images - left
    if number == 2:
        return images - up
    a, b = left.astype(np.int16), up.astype(np.int16)
    predicted = (a + b) >> 1 if number == 3 else _paeth(a, b, corner.astype(np.int16))
    return images - predicted.astype(np.uint8)


def _adapted(images: cb.Images) -> tuple[cb.Images, cb.Images]:
    """The type of each row, (N, H), and the differences that it leaves, (N, H, W·C)."""
    count, height = images.shape[:2]
    every = np.stack([_differences(images, number).reshape(count, height, -1) for number in range(len(TYPES))])
    costs = np.minimum(every, -every).sum(axis=-1, dtype=np.uint32)  # |d| of differences taken as signed bytes
    types = costs.argmin(axis=0)
    return types.astype(np.uint8), np.take_along_axis(every, types[None, :, :, None], axis=0)[0]


def _paeth(left: _Numbers, up: _Numbers, corner: _Numbers) -> _Numbers:
    """Whichever of three neighbours is nearest to left + up - corner; ties go to the left one, then to the upper."""
    to_left, to_up = up - corner, left - corner
    to_corner = np.abs(to_left + to_up)
    to_left, to_up = np.abs(to_left), np.abs(to_up)
    take_left = (to_left <= to_up) & (to_left <= to_corner)
    return np.where(take_left, left, np.where(to_up <= to_corner, up, corner))
