"""Interleaved range coding: many streams side by side, vectorised.

A coder that is called symbol by symbol from Python costs more than the network that feeds it. Here N streams advance
together, one symbol each a step, and a step is a few NumPy operations over all of them. The bytes of a stream do not
depend on the other streams. (G. Martin, Range encoding: an algorithm for removing redundancy from a digitised message,
1979; F. Giesen, Interleaved entropy coders, arXiv:1402.3392, 2014.)

A distribution is integer counts whose sum is ``TOTAL``. A symbol is coded by its count and by its start, the sum of the
counts of all symbols below it. A stream ends after the fewest bytes that identify its symbols whatever bytes follow: no
stream is a prefix of another one, truncation is always noticed, and each sequence of symbols has exactly one stream. A
stream is 5 bits longer than the information in its symbols, on average.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from codecbench.errors import BitstreamError
from codecbench.plugins.varint import pack_numbers, unpack_numbers

Integers = npt.NDArray[np.integer[Any]]
States = npt.NDArray[np.int64]
Chosen = npt.NDArray[np.integer[Any]] | slice
"""Some of the streams: their numbers, each once, or a slice."""

PRECISION = 20
TOTAL = 1 << PRECISION
"""What the counts of every distribution sum to."""

_WINDOW = 6  # bytes of a stream that are looked at at once
_BITS = 8 * _WINDOW
_MASK = (1 << _BITS) - 1
_SMALLEST = 1 << (_BITS - 8)  # of a width: below, a byte is moved out of the window and another one in

_ALTERED = "the stream was altered; its bytes stand for no symbols"
_TOO_SHORT = "the stream was altered or cut short; it ends before its symbols do"
_UNFINISHED = "the stream was altered or cut short; it does not end with its symbols"


def encode(starts: Integers, counts: Integers) -> list[bytes]:
    """Encodes N streams from starts and counts (T, N) in reading order; a count of 0 means no symbol at this step.

    Raises ``ValueError`` where the shapes differ, or a start or count is out of range. A stream has 1 byte or more.
    """
    if starts.ndim != 2 or starts.shape != counts.shape:
        raise ValueError(f"starts and counts have one shape (T, N), not {starts.shape} and {counts.shape}")
    writer = InterleavedEncoder(starts.shape[1])
    for start, count in zip(starts, counts, strict=True):
        writer.advance(start, count)
    return writer.finish()


class InterleavedEncoder:
    """Encodes symbols into ``size`` streams, at most one symbol of each a step."""

    def __init__(self, size: int):
        self._lows = np.zeros(size, np.int64)
        self._widths = np.full(size, 1 << _BITS, np.int64)
        self._digits = np.zeros((64, size), np.int16)  # bytes, and carries that are still to be added to the one before
        self._used = np.zeros(size, np.int64)
        self._most = 0  # at least the largest of those

    def advance(self, starts: Integers, counts: Integers) -> None:
        """Encodes one symbol of each stream, given its start and count; 0 counts mean no symbol at this step.

        Raises ``ValueError`` where a start or count is out of range.
        """
        start, count = starts.astype(np.int64), counts.astype(np.int64)
        if len(count) and (min(start.min(), count.min()) < 0 or (start + count).max() > TOTAL):
            raise ValueError(f"starts and counts lie within 0 and {TOTAL}, and so do their sums")
        units = self._widths >> PRECISION
        idle = count == 0
        self._lows += np.where(idle, 0, units * start)
        self._widths = np.where(idle, self._widths, units * count)
        narrow = np.flatnonzero(self._widths < _SMALLEST)
        while len(narrow):
            self._emit(narrow)
            self._widths[narrow] <<= 8
            narrow = narrow[self._widths[narrow] < _SMALLEST]

    def finish(self) -> list[bytes]:
        """The streams; to be called once, after the last symbol."""
        sizes, self._lows = _ending(self._lows, self._widths)
        for last in range(1, int(sizes.max(initial=0)) + 1):
            self._emit(np.flatnonzero(sizes >= last))
        for place in range(int(self._used.max(initial=0)) - 1, 0, -1):
            self._digits[place - 1] += self._digits[place] >> 8
        rows = np.ascontiguousarray(self._digits.astype(np.uint8).T)
        return [row[:used].tobytes() for row, used in zip(rows, self._used.tolist(), strict=True)]

    def _emit(self, chosen: Integers) -> None:
        """Moves the highest byte out of the windows of some streams."""
        self._most += 1
        if self._most > len(self._digits):
            self._most = int(self._used.max()) + 1
            if self._most > len(self._digits):
                self._digits = np.concatenate([self._digits, np.zeros_like(self._digits)])
        lows = self._lows[chosen]
        self._digits[self._used[chosen], chosen] = lows >> (_BITS - 8)
        self._used[chosen] += 1
        self._lows[chosen] = (lows & (_SMALLEST - 1)) << 8


def _ending(lows: States, widths: States) -> tuple[States, States]:
    """How many bytes end a stream, and the window that they start.

    All values in [low, low + width) mean the stream's symbols. One byte is enough if some value of it is in that range
    whatever follows; otherwise two are, since no width is below two of their units.
    """
    unit = 1 << (_BITS - 8)
    one = -(-lows // unit) * unit
    enough = one + unit <= lows + widths
    unit = 1 << (_BITS - 16)
    two = -(-lows // unit) * unit
    return np.where(enough, 1, 2), np.where(enough, one, two)


class InterleavedDecoder:
    """Decodes symbols from streams, at most one symbol of each a step.

    Look at :meth:`slots`, find the symbol whose interval of counts has the slot, and give its start and count to
    :meth:`advance`. ``owner`` is the codec's name, for messages; an empty stream raises ``BitstreamError``.
    """

    def __init__(self, streams: Sequence[bytes], owner: str):
        if not all(streams):
            raise BitstreamError(f"{owner}: the stream is empty")
        self._owner = owner
        self._bytes = np.frombuffer(b"".join(streams), np.uint8)
        self._sizes = np.array([len(stream) for stream in streams], np.int64)
        self._first = np.cumsum(self._sizes) - self._sizes
        self._moved = np.zeros(len(streams), np.int64)  # bytes that have left the window
        heads = b"".join(stream[:_WINDOW].ljust(_WINDOW, b"\0") for stream in streams)
        places = np.int64(256) ** np.arange(_WINDOW - 1, -1, -1)
        self._windows = np.frombuffer(heads, np.uint8).reshape(-1, _WINDOW).astype(np.int64) @ places
        self._offsets = self._windows.copy()  # of the window from the low end of the width
        self._widths = np.full(len(streams), 1 << _BITS, np.int64)

    def slots(self, chosen: Chosen = slice(None)) -> States:
        """Where the chosen streams stand in their next distributions: 0 to ``TOTAL`` − 1, one number a stream."""
        return np.minimum(self._offsets[chosen] // (self._widths[chosen] >> PRECISION), TOTAL - 1)

    def advance(self, starts: Integers, counts: Integers, chosen: Chosen = slice(None)) -> None:
        """Goes on to the next symbols, given start and count of the decoded ones; 0 counts mean no symbol at this step.

        Raises ``BitstreamError`` where a stream has too few bytes, or bytes that no encoder writes.
        """
        start, count = starts.astype(np.int64), counts.astype(np.int64)
        offsets, widths = self._offsets[chosen], self._widths[chosen]
        units = widths >> PRECISION
        idle = count == 0
        offsets = offsets - np.where(idle, 0, units * start)
        widths = np.where(idle, widths, units * count)
        if (offsets >= widths).any():
            raise BitstreamError(f"{self._owner}: {_ALTERED}")
        self._offsets[chosen], self._widths[chosen] = offsets, widths
        narrow = np.arange(len(self._widths))[chosen][widths < _SMALLEST]
        while len(narrow):
            self._refill(narrow)
            narrow = narrow[self._widths[narrow] < _SMALLEST]

    def finish(self) -> None:
        """Checks, after the last symbol, that the streams are exactly what an encoder writes for these symbols.

        Raises ``BitstreamError`` where a stream was altered or truncated, or is another codec's.
        """
        sizes, windows = _ending((self._windows - self._offsets) & _MASK, self._widths)
        if ((windows & _MASK) != self._windows).any() or (self._moved + sizes != self._sizes).any():
            raise BitstreamError(f"{self._owner}: {_UNFINISHED}")

    def _refill(self, chosen: Integers) -> None:
        """Moves windows on by a byte; zeros follow the end of a stream."""
        moved = self._moved[chosen] + 1
        sizes = self._sizes[chosen]
        if (moved >= sizes).any():
            raise BitstreamError(f"{self._owner}: {_TOO_SHORT}")
        places = moved + (_WINDOW - 1)
        inside = places < sizes
        new = np.where(inside, self._bytes[self._first[chosen] + np.where(inside, places, 0)], 0)
        self._moved[chosen] = moved
        self._windows[chosen] = (self._windows[chosen] << 8 & _MASK) | new
        self._offsets[chosen] = (self._offsets[chosen] << 8) | new
        self._widths[chosen] <<= 8


class StreamDecoder:
    """An :class:`InterleavedDecoder` of one stream, in plain Python: faster than arrays where streams are few."""

    def __init__(self, stream: bytes, owner: str):
        if not stream:
            raise BitstreamError(f"{owner}: the stream is empty")
        self._owner, self._stream = owner, stream
        self._moved, self._width = 0, 1 << _BITS
        self._window = self._offset = int.from_bytes(stream[:_WINDOW].ljust(_WINDOW, b"\0"), "big")

    def slot(self) -> int:
        """Where the stream stands in its next distribution: 0 to ``TOTAL`` − 1."""
        return min(self._offset // (self._width >> PRECISION), TOTAL - 1)

    def advance(self, start: int, count: int) -> None:
        """See :meth:`InterleavedDecoder.advance`; the count is 1 or more."""
        unit = self._width >> PRECISION
        self._offset -= unit * start
        self._width = unit * count
        if self._offset >= self._width:
            raise BitstreamError(f"{self._owner}: {_ALTERED}")
        while self._width < _SMALLEST:
            self._moved += 1
            if self._moved >= len(self._stream):
                raise BitstreamError(f"{self._owner}: {_TOO_SHORT}")
            place = self._moved + _WINDOW - 1
            new = self._stream[place] if place < len(self._stream) else 0
            self._window = self._window << 8 & _MASK | new
            self._offset = self._offset << 8 | new
            self._width <<= 8

    def finish(self) -> None:
        """See :meth:`InterleavedDecoder.finish`."""
        low = np.array([(self._window - self._offset) & _MASK])
        sizes, windows = _ending(low, np.array([self._width]))
        if windows[0] & _MASK != self._window or self._moved + sizes[0] != len(self._stream):
            raise BitstreamError(f"{self._owner}: {_UNFINISHED}")


def join(streams: Sequence[bytes]) -> bytes:
    """Joins the streams of an image, each below 2**28 bytes: the lengths of all but the last, then their bytes."""
    return pack_numbers(len(stream) for stream in streams[:-1]) + b"".join(streams)


def split(stream: bytes, count: int, owner: str) -> list[bytes]:
    """Undoes :func:`join` of ``count`` streams; raises ``BitstreamError`` where the lengths do not fit the bytes."""
    if count == 1:
        return [stream]
    lengths, start = unpack_numbers(stream, count - 1, owner)
    ends = [*itertools.accumulate(lengths, initial=start), len(stream)]
    if ends[-2] >= len(stream):
        sizes = f"its header needs more than {ends[-2]} bytes, it has {len(stream)}"
        raise BitstreamError(f"{owner}: the stream was cut short; {sizes}")
    return [stream[first:end] for first, end in itertools.pairwise(ends)]
