"""The row filters of PNG on batches of images, and their undoing, vectorised with NumPy.

A filter replaces each sample by its difference, modulo 256, from a prediction made of its neighbours to the left, above
and above to the left; neighbours outside the image count as 0. See the PNG specification (Third Edition), clause 9;
``adaptive`` is its heuristic of clause 12.7: of the five types the one with the smallest sum of absolute differences,
for each row on its own, which a byte before the row records.

``average`` and ``paeth`` need a sample's neighbours before the sample itself. All samples of one anti-diagonal are
independent, in all images at once, so that they are undone diagonal by diagonal rather than sample by sample.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

import codecbench as cb

TYPES = ("none", "sub", "up", "average", "paeth")
"""The filter types of PNG, in the order of their numbers."""
ADAPTIVE = "adaptive"
FILTERS = (*TYPES, ADAPTIVE)
"""The choices of a codec's setting ``filter``."""

_BLOCK_SAMPLES = 1 << 18
"""Samples that are worked on at once: larger blocks leave the processor's cache."""
_DIAGONAL_SAMPLES = 1 << 15
"""Samples of a diagonal, over all images of a block; more of them make the steps longer, fewer make them more."""

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
    for block in _blocks(count, height * width * channels, _BLOCK_SAMPLES):
        if kind == ADAPTIVE:
            filtered[block, :, 0], filtered[block, :, 1:] = _adapted(images[block])
        else:
            filtered[block] = _differences(images[block], TYPES.index(kind)).reshape(filtered[block].shape)
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
        types = np.full((1, height), TYPES.index(kind), np.uint8)
    else:
        types, samples = rows[:, :, 0], rows[:, :, 1:].reshape(count, height, width, channels)
        if types.max(initial=0) >= len(TYPES):
            raise ValueError(f"a row has filter type {types.max()}, the last one known is {len(TYPES) - 1}")
    images = np.empty((count, height, width, channels), np.uint8)
    for block in _blocks(count, min(height, width) * channels, _DIAGONAL_SAMPLES):
        images[block] = _undo_diagonals(samples[block], types[block] if kind == ADAPTIVE else types)
    return images


def _blocks(count: int, samples: int, most: int) -> Iterator[slice]:
    step = max(1, most // samples)
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


# ---- undoing --------------------------------------------------------------------------------------------------------


def _undo_diagonals(samples: cb.Images, types: cb.Images) -> cb.Images:
    """Undoes any types: images (N, H, W, C) from differences of that shape and the types of rows, (N, H) or (1, H).

    The shorter side's lines become lanes, each shifted by one step against the lane before it. Step s then holds an
    anti-diagonal, whose neighbours are in the steps s - 1 and s - 2. Before its first sample a lane has zeros, and
    stays zero: these are the neighbours outside the image.
    """
    count, height, width, channels = samples.shape
    by_rows = height <= width
    kinds = types[:, :, None, None]
    if not by_rows:
        samples = samples.swapaxes(1, 2)
        kinds = np.broadcast_to(types[:, None, :, None], (len(types), width, height, 1))
    lanes, length = samples.shape[1:3]
    steps = _skewed(samples)
    present = [number for number in range(1, len(TYPES)) if (types == number).any()]
    shares = {number: (kinds == number).astype(np.int16) for number in present}
    if by_rows:  # a lane has one type
        chosen = {
            number: np.broadcast_to(share[:, :, 0], (len(steps), *share[:, :, 0].shape))
            for number, share in shares.items()
        }
    else:
        chosen = {number: _skewed(share) for number, share in shares.items()}
    before = previous = np.zeros((count, lanes + 1, channels), np.int16)
    for step in range(len(steps)):
        along, across, corner = previous[:, 1:], previous[:, :-1], before[:, :-1]
        left, up = (along, across) if by_rows else (across, along)
        current = np.zeros_like(previous)
        current[:, 1:] = steps[step]
        for number in present:
            current[:, 1:] += chosen[number][step] * _prediction(number, left, up, corner)
        current &= 255
        steps[step] = current[:, 1:]
        before, previous = previous, current
    images = np.empty(samples.shape, np.uint8)
    for lane in range(lanes):
        images[:, lane] = steps[lane : lane + length, :, lane].swapaxes(0, 1)
    return images if by_rows else images.swapaxes(1, 2)


def _prediction(number: int, left: _Numbers, up: _Numbers, corner: _Numbers) -> _Numbers:
    if number == 1:
        return left
    if number == 2:
        return up
    return (left + up) >> 1 if number == 3 else _paeth(left, up, corner)


def _skewed(lanes: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Lanes (N, lanes, length, C), each shifted by one against the one before it, as steps (steps, N, lanes, C)."""
    count, many, length, channels = lanes.shape
    steps = np.zeros((many + length - 1, count, many, channels), lanes.dtype)
    for lane in range(many):
        steps[lane : lane + length, :, lane] = lanes[:, lane].swapaxes(0, 1)
    return steps
