"""Coding images pixel by pixel where each pixel's distribution depends on its neighbours.

A decoder knows a pixel's neighbours only after it has decoded them. If all of them are above or to the left of a
slanted line, the pixels on the line do not depend on one another, and their distributions are computed together: for
the slant s, those of equal ``column + s·row``. (The wavefront of parallel loops: L. Lamport, The parallel execution of
DO loops, Communications of the ACM 1974.) A line has at most as many pixels as the image has rows, and all images of a
batch advance together.

A large image is coded in several interleaved streams (:mod:`codecbench.learned.coding.interleaved`), row r in stream r
modulo their number, so that the pixels of one line are decoded from different streams at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from codecbench.errors import BitstreamError
from codecbench.learned.coding import interleaved
from codecbench.learned.coding.mixtures import MOST_COUNT, Mixtures
from codecbench.plugins.codec import Images

Offsets = Sequence[tuple[int, int]]

PIXELS_PER_STREAM = 1 << 12
"""Images of up to twice as many pixels have one stream, larger ones one for each so many; each costs about 3 bytes."""
FEW = 16
"""So few streams are decoded symbol by symbol, which is faster than arrays of so few elements."""

SYMBOLS_PER_BYTE = math.ceil(8 / math.log2(interleaved.TOTAL / MOST_COUNT))
"""More than a byte can tell, even of symbols as likely as they may be."""


def stream_count(height: int, width: int) -> int:
    """In how many interleaved streams an image is coded."""
    return max(1, min(height, height * width // PIXELS_PER_STREAM))


def lines(height: int, width: int, slant: int) -> Iterator[tuple[slice, int]]:
    """The lines in coding order: each one's rows, and ``column + slant·row``."""
    for line in range(width + slant * (height - 1)):
        first, last = max(0, -(-(line - width + 1) // slant)), min(height - 1, line // slant)
        if first <= last:
            yield slice(first, last + 1), line


def reading_order(rows: npt.NDArray[np.int64], width: int, channels: int, slant: int) -> npt.NDArray[np.int64]:
    """The order in which a stream's symbols are decoded: line by line, channel by channel, row by row.

    Given the stream's rows, rising; returns places of its symbols in the image (H, W, C), flattened.
    """
    row, column, channel = np.broadcast_arrays(
        rows[:, None, None], np.arange(width)[None, :, None], np.arange(channels)[None, None]
    )
    row, column, channel = row.ravel(), column.ravel(), channel.ravel()
    order = np.lexsort((row, channel, column + slant * row))
    return ((row * width + column) * channels + channel)[order]


def encode(starts: interleaved.Integers, counts: interleaved.Integers, slant: int) -> list[bytes]:
    """Encodes images, given start and count of each symbol, (N, H, W, C) each; one stream an image."""
    size, height, width, channels = starts.shape
    number = stream_count(height, width)
    orders = [reading_order(np.arange(stream, height, number), width, channels, slant) for stream in range(number)]
    steps = max(map(len, orders))
    sheets = np.zeros((2, steps, size, number), np.int32)
    for sheet, values in zip(sheets, (starts, counts), strict=True):
        flat = values.reshape(size, -1)
        for stream, order in enumerate(orders):
            sheet[: len(order), :, stream] = flat[:, order].T
    streams = interleaved.encode(*sheets.reshape(2, steps, -1))
    return [interleaved.join(streams[first : first + number]) for first in range(0, len(streams), number)]


class WavefrontDecoder:
    """Decodes images of ``size`` (height, width, channels) line by line from the streams that :func:`encode` gave.

    Raises ``BitstreamError`` where a stream is truncated, or far too short for such an image.
    """

    def __init__(self, streams: Sequence[bytes], size: tuple[int, int, int], owner: str):
        height, width, channels = size
        self._owner = owner
        self._number = stream_count(height, width)
        if height * width * channels > SYMBOLS_PER_BYTE * min(map(len, streams)):
            raise BitstreamError(f"{owner}: the stream is far too short for an image of {height}×{width} pixels")
        parts = [part for stream in streams for part in interleaved.split(stream, self._number, owner)]
        self._images = len(streams)
        self._all = interleaved.InterleavedDecoder(parts, owner) if len(parts) > FEW else None
        self._each = [] if self._all else [interleaved.StreamDecoder(part, owner) for part in parts]

    def decode(self, mixtures: Mixtures, rows: slice) -> npt.NDArray[np.int64]:
        """Values of one channel on one line, given their distributions (rows·images), all images of a row together.

        The values have the same order; ``BitstreamError`` where the bytes mean no values.
        """
        values = np.empty(len(mixtures), np.int64)
        if self._all is None:
            for place, starts in enumerate(mixtures.starts()):
                row, image = divmod(place, self._images)
                decoder = self._each[image * self._number + (rows.start + row) % self._number]
                values[place] = value = int(starts.searchsorted(decoder.slot(), "right")) - 1
                below, end = starts[value : value + 2].tolist()
                decoder.advance(below, end - below)
            return values
        first = np.arange(self._images) * self._number
        for row in range(rows.start, rows.stop, self._number):
            some = np.arange(row, min(row + self._number, rows.stop))
            chosen = slice(None) if self._number == 1 else (some[:, None] % self._number + first).ravel()
            part = slice((row - rows.start) * self._images, (row - rows.start + len(some)) * self._images)
            values[part], start, count = mixtures[part].search(self._all.slots(chosen))
            self._all.advance(start, count, chosen)
        return values

    def finish(self) -> None:
        """Raises ``BitstreamError``, after the last line, where a stream does not end with its last symbol."""
        if self._all is not None:
            self._all.finish()
        for decoder in self._each:
            decoder.finish()


class Canvas:
    """Images with a margin, as far as they are decoded.

    The margin is ``middle`` above, the pixel above on the left, and the row's last pixel on the right: all of that is
    known when a pixel that depends on it is decoded. ``size`` is number of images, height, width, channels; ``window``
    has rows and columns of the neighbours relative to the pixel.
    """

    def __init__(self, size: tuple[int, int, int, int], window: Offsets, middle: int, device: str):
        self.images, self.height, self.width, self.channels = size
        self.top, self.left = -min(row for row, _ in window), -min(column for _, column in window)
        self.right = max(0, *(column for _, column in window))
        self.stride = self.left + self.width + self.right
        shape = (self.images, self.top + self.height, self.stride, self.channels)
        self.values = torch.full(shape, middle, dtype=torch.uint8, device=device)
        places = [(row * self.stride + column) * self.channels for row, column in window]
        self._reach = torch.tensor(places, device=device)[:, None] + torch.arange(self.channels, device=device)

    def fill(self, images: Images) -> None:
        """Sets whole images: uint8 (N, H, W, C)."""
        values, left = self.values, self.left
        values[:, self.top :, left : left + self.width] = torch.tensor(images, device=values.device)
        values[:, self.top + 1 :, :left] = values[:, self.top : -1, left : left + 1]
        values[:, self.top :, left + self.width :] = values[:, self.top :, left + self.width - 1, None]

    def put(self, values: torch.Tensor, rows: slice, line: int, slant: int) -> None:
        """Sets the pixels of one line: (rows, N, C)."""
        row = torch.arange(rows.start, rows.stop, device=values.device)
        column = line - slant * row
        self.values[:, row + self.top, column + self.left] = values.to(torch.uint8).movedim(1, 0)
        if column[0] == self.width - 1:
            self.values[:, rows.start + self.top, self.left + self.width :] = values[:1].to(torch.uint8).movedim(1, 0)
        if column[-1] == 0 and rows.stop < self.height:
            self.values[:, rows.stop + self.top, : self.left] = values[-1:].to(torch.uint8).movedim(1, 0)

    def inside(self) -> torch.Tensor:
        """The images without their margin: uint8 (N, H, W, C)."""
        return self.values[:, self.top :, self.left : self.left + self.width]

    def seen(self, images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """The neighbours, uint8 (P, K, C), of pixels given by numbers of images, rows and columns, (P,) each."""
        corner = (images * (self.top + self.height) + self.top + rows) * self.stride + self.left + columns
        return self.values.flatten()[corner[:, None, None] * self.channels + self._reach]


def window(above: int, aside: int) -> tuple[tuple[int, int], ...]:
    """Rows and columns, relative to a pixel, of the ``above`` rows above it and the ``aside`` columns beside it.

    The rows from top to bottom, each from left to right; the last are those left of the pixel.
    """
    rows = [(-row, column) for row in range(above, 0, -1) for column in range(-aside, aside + 1)]
    return (*rows, *((0, -column) for column in range(aside, 0, -1)))


def neighbours(images: torch.Tensor, above: int, aside: int) -> torch.Tensor:
    """The values in each pixel's :func:`window`: (N, C, H, W) to (N, H·W, C, K); zeros outside the image."""
    channels = images.shape[1]
    padded = F.pad(images, (aside, aside, above, 0))
    side = 2 * aside + 1
    patches = padded.unfold(2, above + 1, 1).unfold(3, side, 1)  # (N, C, H, W, above + 1, side)
    flat = patches.permute(0, 2, 3, 1, 4, 5).reshape(len(images), -1, channels, (above + 1) * side)
    return flat[..., : above * side + aside]
