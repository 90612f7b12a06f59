"""Tables of counts for symbols of many scales: logistic ones, or counted at the end of training.

An entropy model such as :class:`codecbench.learned.layers.contexts.ContextModel` predicts for every symbol which of a
few scales its distribution has. By default the table of a scale has the counts of a logistic distribution about 0,
computed in decimal arithmetic, which is specified to the last digit, so every machine has the same ones. Counts of the
symbols of training images can be shipped with the weights instead.
"""

from __future__ import annotations

import decimal
import functools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from codecbench.errors import WeightsError
from codecbench.learned.coding import entropy
from codecbench.learned.coding.entropy import Symbols
from codecbench.learned.layers.contexts import LARGEST_SCALE, SCALES, SMALLEST_SCALE
from codecbench.learned.layers.exact import decimals
from codecbench.learned.layers.levels import LEVELS

Scales = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]

REACH, LEAST_RADIUS = 12, 40
"""A table goes so many scales to either side, and never less than this many symbols."""

PRIOR = 200.0
"""How many symbols the logistic distribution counts for beside those that were counted."""


class ScaleTables:
    """Counts of the symbols -R to R for each scale, and what a symbol costs.

    ``slopes`` are, for each whole quality, the squared rounding error, in steps, that an encoder trades for one bit:
    float64, (``LEVELS``,), zeros by default.
    """

    def __init__(self, counts: Sequence[Counts], slopes: npt.NDArray[np.float64] | None = None):
        self.counts = list(counts)
        self.slopes = np.zeros(LEVELS) if slopes is None else slopes
        self.radius = np.array([len(row) // 2 for row in counts])
        self.middle = int(self.radius.max())
        self.costs = np.full((len(self.counts), 2 * self.middle + 1), np.inf, np.float32)
        for row, radius, costs in zip(self.counts, self.radius, self.costs, strict=True):
            costs[self.middle - radius : self.middle + radius + 1] = np.log2(row.sum() / row)
        self.models = [entropy.model(row) for row in self.counts]
        self.least_bits = float(self.costs.min())

    @classmethod
    def of(cls, shipped: Mapping[str, torch.Tensor], owner: str) -> ScaleTables:
        """The shipped tables, or logistic ones where there are none; ``WeightsError`` for damaged or foreign ones."""
        if not shipped:
            return logistic_tables()
        if set(shipped) != {"counts", "slopes"}:
            raise WeightsError(f"{owner}: tables counts, slopes expected, {', '.join(sorted(shipped))} found")
        counts = shipped["counts"].detach().cpu().long().numpy()
        slopes = shipped["slopes"].detach().cpu().double().numpy()
        ends = np.cumsum([len(row) for row in logistic_tables().counts])
        if counts.shape != (ends[-1],) or slopes.shape != (LEVELS,):
            raise WeightsError(f"{owner}: the tables of the symbols have the wrong shapes; train it anew")
        rows = np.split(counts, ends[:-1])
        fine = counts.min() > 0 and max(int(row.sum()) for row in rows) <= entropy.MAX_TOTAL
        if not fine or not np.isfinite(slopes).all() or slopes.min() < 0:
            raise WeightsError(f"{owner}: the tables of the symbols hold numbers out of range; train it anew")
        return cls(rows, slopes)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The tables as they are shipped: int32 and float32."""
        counts = torch.from_numpy(np.concatenate(self.counts)).int()
        return {"counts": counts, "slopes": torch.from_numpy(self.slopes).float()}

    def bits(self, symbols: Symbols, scales: Scales) -> npt.NDArray[np.float64]:
        """What symbols (N, S) of given scales (N, S) cost, in bits, (N,)."""
        return self.costs[scales, symbols + self.middle].sum(1, dtype=np.float64)

    def slope(self, quality: float) -> float:
        """The slope at a quality, linear between whole ones."""
        return float(np.interp(quality, np.arange(1, LEVELS + 1), self.slopes))


@functools.cache
def logistic_tables() -> ScaleTables:
    """ScaleTables of logistic distributions; every symbol keeps a count of 1 or more."""
    return ScaleTables([_logistic(number) for number in range(SCALES)])


def _logistic(number: int) -> Counts:
    """Counts of the symbols -R to R at one scale; their sum is ``entropy.MAX_TOTAL``."""
    with decimals(30):
        low, high = decimal.Decimal(str(SMALLEST_SCALE)), decimal.Decimal(str(LARGEST_SCALE))
        scale = low * (high / low) ** (decimal.Decimal(number) / (SCALES - 1))
        radius = max(LEAST_RADIUS, int(REACH * scale) + 1)
        ratio = (-1 / scale).exp()
        power = (-1 / (2 * scale)).exp()  # exp(-(s + 1/2) / scale) for s = 0, 1, …
        free = entropy.MAX_TOTAL - (2 * radius + 1)
        above, side = 1 / (1 + power), []
        for _ in range(radius):
            power *= ratio
            below, above = above, 1 / (1 + power)
            side.append(1 + int(free * (above - below)))
    middle = entropy.MAX_TOTAL - 2 * sum(side)
    return np.array([*reversed(side), middle, *side], np.int64)


class Histograms:
    """Counts how often each symbol occurs at each scale."""

    def __init__(self) -> None:
        self._prior = logistic_tables()
        self._found = [np.zeros(len(row), np.int64) for row in self._prior.counts]

    def add(self, symbols: Symbols, scales: Scales) -> None:
        """Counts symbols (N, S) of given scales (N, S)."""
        for scale in np.unique(scales).tolist():
            found = self._found[scale]
            found += np.bincount(symbols[scales == scale] + len(found) // 2, minlength=len(found))

    def tables(self, slopes: npt.NDArray[np.float64]) -> ScaleTables:
        """Tables of the counts, with ``PRIOR`` symbols of the logistic distribution added."""
        rows = []
        for found, prior in zip(self._found, self._prior.counts, strict=True):
            share = (found + PRIOR * prior / prior.sum()) / (found.sum() + PRIOR)
            row = 1 + np.floor(share * (entropy.MAX_TOTAL - len(prior))).astype(np.int64)
            row[int(row.argmax())] += entropy.MAX_TOTAL - int(row.sum())
            rows.append(row)
        return ScaleTables(rows, slopes)
