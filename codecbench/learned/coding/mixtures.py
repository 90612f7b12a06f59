"""Integer distributions of the values 0 to 255 from mixtures of logistic distributions.

Mixtures of logistic distributions, each value given the probability of the unit interval about it, suit the values of
pixels (T. Salimans et al., PixelCNN++, ICLR 2017). Here their parameters come exact from
``codecbench.learned.layers.exact``, and turn into counts of ``codecbench.learned.coding.interleaved``. No function of a
mathematical library takes part: exponential and logistic function are tables, made from a few exponentials of Python's
``decimal`` by additions, multiplications and divisions, which IEEE 754 rounds alike on every machine. Products and sums
of table entries are exact in float64.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from codecbench.learned.coding.interleaved import TOTAL
from codecbench.learned.layers.exact import decimals

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SHARED = TOTAL - 256
"""What mixtures share out beside one count for each value."""
MOST_COUNT = TOTAL - 255
"""The largest count of a value."""

LEAST_SCALE, MOST_SCALE = -2.5, 5.0
"""Bounds of a scale's logarithm, gray levels."""
FARTHEST = 512.0
"""Means are clamped to so many levels from the middle of the values."""

_SCALE_STEPS = 16  # scales for each factor of e
_STEPS = 1024  # places in the tables for each unit of their arguments
_SPREAD = 12  # the logistic function is tabled from - to + this
_DEPTH = 12  # and the exponential down to - this
_GRAIN = 2.0**20  # tables hold multiples of its inverse


@dataclass(frozen=True)
class LogisticTables:
    """Tables of the exponential and the logistic function."""

    exponential: Floats  # exp(−i / 1024), (12,289,)
    logistic: Floats  # 1 / (1 + exp(−x)) in the middle of each step of 1/1024 from −12 to 12, (24,576,)
    slopes: Floats  # entries of ``logistic`` for a gray level, for each scale from the smallest, (121,)


@functools.cache
def tables() -> LogisticTables:
    """The tables; made once a process, in milliseconds, the same on every machine."""
    with decimals(28):
        base = float((Decimal(-1) / _STEPS).exp())
        half = float((Decimal(-1) / (2 * _STEPS)).exp())
        places = range(int((MOST_SCALE - LEAST_SCALE) * _SCALE_STEPS) + 1)
        slopes = [float((-Decimal(LEAST_SCALE) - Decimal(place) / _SCALE_STEPS).exp()) * _STEPS for place in places]
    powers = np.cumprod(np.concatenate([np.ones(1), np.full(_DEPTH * _STEPS, base)]))
    above = 1.0 / (1.0 + half * powers[:-1])
    logistic = np.concatenate([1.0 - above[::-1], above])
    return LogisticTables(*(np.rint(values * _GRAIN) / _GRAIN for values in (powers, logistic, np.array(slopes))))


class Mixtures:
    """Distributions of P pixels, each a mixture of K logistic distributions.

    ``parameters`` are logits of the weights, means, and logarithms of the scales in gray levels: multiples of 2**-10,
    float64 (P, 3·K). Means count from the gray levels ``base``, (P,), in gray levels times ``unit``, a power of two.
    """

    def __init__(self, parameters: Floats, base: npt.NDArray[Any], unit: float):
        columns, size = np.ascontiguousarray(parameters.T), parameters.shape[1] // 3
        weights, means, scales = columns[:size], columns[size : 2 * size], columns[2 * size :]
        known = tables()
        places = np.rint((scales - LEAST_SCALE) * _SCALE_STEPS).astype(np.int64)
        slopes = known.slopes.take(places, mode="clip")
        middles = np.minimum(np.maximum(base + means * unit - 127.5, -FARTHEST), FARTHEST) + 128.0
        depths = ((weights.max(0) - weights) * _STEPS).astype(np.int64)
        shares = known.exponential.take(depths, mode="clip")
        self._slopes = slopes
        self._offsets = _SPREAD * _STEPS - middles * slopes
        self._weights = np.floor(shares * SHARED / shares.sum(0))
        self._logistic = known.logistic

    def __len__(self) -> int:
        return int(self._slopes.shape[1])

    def __getitem__(self, chosen: slice) -> Mixtures:
        """Some of the distributions."""
        part = copy.copy(self)
        part._slopes, part._offsets = self._slopes[:, chosen], self._offsets[:, chosen]
        part._weights = self._weights[:, chosen]
        return part

    def below(self, values: npt.NDArray[Any]) -> Integers:
        """Counts below values from 1 to 255, (P,)."""
        places = (self._slopes * values + self._offsets).astype(np.int64)
        shares = self._logistic.take(places, mode="clip")
        shares *= self._weights
        below: Integers = shares.sum(0).astype(np.int64)
        below += values
        return below

    def bounds(self, values: npt.NDArray[np.integer[Any]]) -> tuple[Integers, Integers]:
        """Starts (0 to ``TOTAL`` − 1) and counts (1 to ``MOST_COUNT``) of values from 0 to 255, (P,) each."""
        values = values.astype(np.int64)
        starts = np.where(values == 0, 0, self.below(values))
        ends = np.where(values == 255, TOTAL, self.below(values + 1))
        return starts, ends - starts

    def search(self, slots: Integers) -> tuple[Integers, Integers, Integers]:
        """Value, start and count, (P,) each, of the symbols in whose intervals the slots (P,) are."""
        values = np.zeros(len(slots), np.int64)
        starts = np.zeros(len(slots), np.int64)
        ends = np.full(len(slots), TOTAL, np.int64)
        for step in (128, 64, 32, 16, 8, 4, 2, 1):
            middle = values + step
            below = self.below(middle)
            upper = below <= slots
            values = np.where(upper, middle, values)
            starts = np.where(upper, below, starts)
            ends = np.where(upper, ends, below)
        return values, starts, ends - starts

    def starts(self) -> Integers:
        """The starts of all values, and the end: (P, 257)."""
        values = np.arange(1, 256)
        places = (self._slopes[..., None] * values + self._offsets[..., None]).astype(np.int64)
        shares = self._logistic.take(places, mode="clip")
        shares *= self._weights[..., None]
        starts = np.zeros((len(self), 257), np.int64)
        starts[:, 1:256] = shares.sum(0)
        starts[:, 1:256] += values
        starts[:, 256] = TOTAL
        return starts
