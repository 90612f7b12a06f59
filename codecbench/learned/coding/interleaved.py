"""Many range-coded streams side by side, vectorised.

A coder that is called symbol by symbol from Python costs more than the network that feeds it. Here N streams, the
lanes, advance together, one symbol each a step, and a step is a few NumPy operations over all of them. A lane's bytes
do not depend on the other lanes. (G. Martin, Range encoding: an algorithm for removing redundancy from a digitised
message, 1979; F. Giesen, Interleaved entropy coders, arXiv:1402.3392, 2014, codes lanes side by side.)

A distribution is integer counts whose sum is ``TOTAL``. A lane ends after the fewest bytes that single out its symbols
whatever bytes might follow. So none is the beginning of another one, one that was cut short is always noticed, and each
sequence of symbols has one lane alone. Lanes are 5 bits longer than the information in their symbols, on average.
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
Lanes = npt.NDArray[np.integer[Any]] | slice
"""Some of the lanes: their numbers, each once, or a slice."""

PRECISION = 20
TOTAL = 1 << PRECISION
"""What the counts of every distribution sum to."""

_WINDOW = 6  # bytes of a lane that are looked at at once
_BITS = 8 * _WINDOW
_MASK = (1 << _BITS) - 1
_SMALLEST = 1 << (_BITS - 8)  # of a width: below, a byte is moved out of the window and another one in


def encode(starts: Integers, counts: Integers) -> list[bytes]:
    """Codes the symbols of N lanes.

    Args:
        starts: of each symbol, the sum of the counts of all symbols below it: 0 to ``TOTAL`` − 1, (T, N), in the order
            in which they will be read.
        counts: the symbol's own count, 1 to ``TOTAL`` − start; 0 where a lane has no symbol at a step.

    Returns:
        One stream a lane, 1 byte or more.

    Raises:
        ValueError: the shapes differ, or a count lies outside its range.
    """
    if starts.ndim != 2 or starts.shape != counts.shape:
        raise ValueError(f"starts and counts have one shape (T, N), not {starts.shape} and {counts.shape}")
    writer = InterleavedEncoder(starts.shape[1])
    for start, count in zip(starts, counts, strict=True):
        writer.advance(start, count)
    return writer.finish()


class InterleavedEncoder:
    """Codes symbols into lanes, as many a step as there are lanes.

    Args:
        size: number of lanes.
    """

    def __init__(self, size: int):
        self._lows = np.zeros(size, np.int64)
        self._widths = np.full(size, 1 << _BITS, np.int64)
        self._digits = np.zeros((64, size), np.int16)  # bytes, and carries that are still to be added to the one before
        self._used = np.zeros(size, np.int64)
        self._most = 0  # at least the largest of those

    def advance(self, starts: Integers, counts: Integers, lanes: Lanes = slice(None)) -> None:
        """Codes one symbol of each lane.

        Args:
            starts: sum of the counts below the symbol, one number a lane.
            counts: the symbol's count; 0 for a lane that has no symbol at this step.
            lanes: which lanes; the others have no symbol.

        Raises:
            ValueError: a count lies outside its range.
        """
        start, count = starts.astype(np.int64), counts.astype(np.int64)
        if len(count) and (min(start.min(), count.min()) < 0 or (start + count).max() > TOTAL):
            raise ValueError(f"starts and counts lie within 0 and {TOTAL}, and so do their sums")
        widths = self._widths[lanes]
        units = widths >> PRECISION
        idle = count == 0
        self._lows[lanes] += np.where(idle, 0, units * start)
        self._widths[lanes] = widths = np.where(idle, widths, units * count)
        narrow = np.arange(len(self._lows))[lanes][widths < _SMALLEST]
        while len(narrow):
            self._emit(narrow)
            self._widths[narrow] <<= 8
            narrow = narrow[self._widths[narrow] < _SMALLEST]

    def finish(self) -> list[bytes]:
        """The streams, one a lane; to be called once, behind the last symbol."""
        sizes, self._lows = _ending(self._lows, self._widths)
        for last in range(1, int(sizes.max(initial=0)) + 1):
            self._emit(np.flatnonzero(sizes >= last))
        for place in range(int(self._used.max(initial=0)) - 1, 0, -1):
            self._digits[place - 1] += self._digits[place] >> 8
        rows = np.ascontiguousarray(self._digits.astype(np.uint8).T)
        return [row[:used].tobytes() for row, used in zip(rows, self._used.tolist(), strict=True)]

    def _emit(self, lanes: Integers) -> None:
        """Moves the highest byte of some windows out."""
        self._most += 1
        if self._most > len(self._digits):
            self._most = int(self._used.max()) + 1
            if self._most > len(self._digits):
                self._digits = np.concatenate([self._digits, np.zeros_like(self._digits)])
        lows = self._lows[lanes]
        self._digits[self._used[lanes], lanes] = lows >> (_BITS - 8)
        self._used[lanes] += 1
        self._lows[lanes] = (lows & (_SMALLEST - 1)) << 8


def _ending(lows: States, widths: States) -> tuple[States, States]:
    """How many bytes end a lane, and the window that they stand in front of.

    All values in [low, low + width) stand for the lane's symbols. One byte does if some value of it is one of them
    whatever follows; else two do, since no width is below two of their units.
    """
    unit = 1 << (_BITS - 8)
    one = -(-lows // unit) * unit
    enough = one + unit <= lows + widths
    unit = 1 << (_BITS - 16)
    two = -(-lows // unit) * unit
    return np.where(enough, 1, 2), np.where(enough, one, two)


class InterleavedDecoder:
    """Takes symbols out of lanes, as many a step as there are lanes.

    Look at :meth:`slots`, find the symbol whose counts each of them falls into, and hand its start and count to
    :meth:`advance`.

    Args:
        streams: what :func:`encode` gave, one a lane.
        owner: the codec's name, for messages.

    Raises:
        BitstreamError: a stream is empty.
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

    def slots(self, lanes: Lanes = slice(None)) -> States:
        """Where lanes stand in their next distributions: 0 to ``TOTAL`` − 1, one number a lane."""
        slots: States = np.minimum(self._offsets[lanes] // (self._widths[lanes] >> PRECISION), TOTAL - 1)
        return slots

    def advance(self, starts: Integers, counts: Integers, lanes: Lanes = slice(None)) -> None:
        """Goes on to the next symbols.

        Args:
            starts: sum of the counts below the symbol that a lane's slot falls into, one number a lane.
            counts: that symbol's count; 0 for a lane that has no symbol at this step.
            lanes: which lanes; the others have no symbol.

        Raises:
            BitstreamError: a lane has no bytes for so many symbols, or bytes that no writer gives.
        """
        start, count = starts.astype(np.int64), counts.astype(np.int64)
        offsets, widths = self._offsets[lanes], self._widths[lanes]
        units = widths >> PRECISION
        idle = count == 0
        offsets = offsets - np.where(idle, 0, units * start)
        widths = np.where(idle, widths, units * count)
        if (offsets >= widths).any():
            raise _altered(self._owner)
        self._offsets[lanes], self._widths[lanes] = offsets, widths
        narrow = np.arange(len(self._widths))[lanes][widths < _SMALLEST]
        while len(narrow):
            self._refill(narrow)
            narrow = narrow[self._widths[narrow] < _SMALLEST]

    def finish(self) -> None:
        """To be called behind the last symbol.

        Raises:
            BitstreamError: a lane is not what a writer makes of these symbols: it was altered or cut short, or is
                another codec's.
        """
        sizes, windows = _ending((self._windows - self._offsets) & _MASK, self._widths)
        if ((windows & _MASK) != self._windows).any() or (self._moved + sizes != self._sizes).any():
            raise _unfinished(self._owner)

    def _refill(self, lanes: Integers) -> None:
        """Moves windows on by a byte; behind a stream's end stand zeros."""
        moved = self._moved[lanes] + 1
        sizes = self._sizes[lanes]
        if (moved >= sizes).any():
            raise _too_short(self._owner)
        places = moved + (_WINDOW - 1)
        inside = places < sizes
        new = np.where(inside, self._bytes[self._first[lanes] + np.where(inside, places, 0)], 0)
        self._moved[lanes] = moved
        self._windows[lanes] = (self._windows[lanes] << 8 & _MASK) | new
        self._offsets[lanes] = (self._offsets[lanes] << 8) | new
        self._widths[lanes] <<= 8


class StreamDecoder:
    """A :class:`Reader` of one lane, in plain Python: faster than arrays where lanes are few.

    Args:
        stream: what :func:`encode` gave.
        owner: the codec's name, for messages.

    Raises:
        BitstreamError: the stream is empty.
    """

    def __init__(self, stream: bytes, owner: str):
        if not stream:
            raise BitstreamError(f"{owner}: the stream is empty")
        self._owner, self._stream = owner, stream
        self._moved, self._width = 0, 1 << _BITS
        self._window = self._offset = int.from_bytes(stream[:_WINDOW].ljust(_WINDOW, b"\0"), "big")

    def slot(self) -> int:
        """Where the lane stands in its next distribution: 0 to ``TOTAL`` − 1."""
        return min(self._offset // (self._width >> PRECISION), TOTAL - 1)

    def advance(self, start: int, count: int) -> None:
        """Goes on to the next symbol, given the start and the count of the one that the slot falls into.

        Raises:
            BitstreamError: the lane has no bytes for so many symbols, or bytes that no writer gives.
        """
        unit = self._width >> PRECISION
        self._offset -= unit * start
        self._width = unit * count
        if self._offset >= self._width:
            raise _altered(self._owner)
        while self._width < _SMALLEST:
            self._moved += 1
            if self._moved >= len(self._stream):
                raise _too_short(self._owner)
            place = self._moved + _WINDOW - 1
            new = self._stream[place] if place < len(self._stream) else 0
            self._window = self._window << 8 & _MASK | new
            self._offset = self._offset << 8 | new
            self._width <<= 8

    def finish(self) -> None:
        """To be called behind the last symbol.

        Raises:
            BitstreamError: the lane is not what a writer makes of these symbols.
        """
        low = np.array([(self._window - self._offset) & _MASK])
        sizes, windows = _ending(low, np.array([self._width]))
        if windows[0] & _MASK != self._window or self._moved + sizes[0] != len(self._stream):
            raise _unfinished(self._owner)


def _altered(owner: str) -> BitstreamError:
    return BitstreamError(f"{owner}: the stream was altered; its bytes stand for no symbols")


def _too_short(owner: str) -> BitstreamError:
    return BitstreamError(f"{owner}: the stream was altered or cut short; it ends before its symbols do")


def _unfinished(owner: str) -> BitstreamError:
    return BitstreamError(f"{owner}: the stream was altered or cut short; it does not end with its symbols")


def join(lanes: Sequence[bytes]) -> bytes:
    """Puts the lanes of one image into one stream: the lengths of all but the last, then their bytes.

    Args:
        lanes: 1 or more, each shorter than 2**28 bytes.
    """
    return pack_numbers(len(lane) for lane in lanes[:-1]) + b"".join(lanes)


def split(stream: bytes, count: int, owner: str) -> list[bytes]:
    """Undoes :func:`join`.

    Args:
        stream: what it gave.
        count: how many lanes there are, 1 or more.
        owner: the codec's name, for messages.

    Raises:
        BitstreamError: the lengths are cut short, or tell of more bytes than there are.
    """
    if count == 1:
        return [stream]
    lengths, start = unpack_numbers(stream, count - 1, owner)
    ends = [*itertools.accumulate(lengths, initial=start), len(stream)]
    if ends[-2] >= len(stream):
        told = f"it tells of {ends[-2]} bytes and more, and has {len(stream)}"
        raise BitstreamError(f"{owner}: the stream was cut short; {told}")
    return [stream[first:end] for first, end in itertools.pairwise(ends)]
