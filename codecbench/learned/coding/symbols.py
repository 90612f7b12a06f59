"""Range coding of symbols of many scales, image by image.

All scales of a group of symbols are known before its first symbol is. So the symbols of a group are sorted by scale,
and the coder is called once a scale.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from codecbench.errors import BitstreamError
from codecbench.learned.coding import entropy
from codecbench.learned.coding.entropy import Symbols
from codecbench.learned.coding.scales import Histograms, Scales, ScaleTables
from codecbench.learned.layers.contexts import SCALES

_SLACK_BITS = 64.0
_LEAST_COST = 0.99
"""Of what a symbol costs by its table: the coder works with finer counts, by which rare symbols cost a little less."""


class SymbolEncoder:
    """Takes the symbols of some images, group after group: a ``Coding`` of ``contexts`` for encoders.

    ``slope`` is the squared rounding error, in steps, that is traded for one bit: a number becomes the one of its two
    neighbours with less error plus ``slope`` times bits.
    """

    def __init__(self, tables: ScaleTables, slope: float = 0.0):
        self._tables = tables
        self._slope = slope
        self._groups: list[tuple[Symbols, Scales]] = []

    def __call__(self, index: torch.Tensor, wanted: torch.Tensor | None) -> torch.Tensor:
        """Rounds numbers (N, S) to symbols within the tables, and keeps them."""
        assert wanted is not None
        scales = index.cpu().numpy().astype(np.uint8)
        numbers = wanted.cpu().numpy()
        symbols = self._rounded(numbers, scales)
        self._groups.append((symbols, scales))
        return torch.from_numpy(symbols.astype(np.int64)).to(index.device)

    def _rounded(self, numbers: npt.NDArray[np.float64], scales: Scales) -> Symbols:
        radius = self._tables.radius[scales]
        numbers = np.clip(np.nan_to_num(numbers), -radius, radius)
        if not self._slope:
            return np.rint(numbers).astype(np.int32)
        below = np.floor(numbers).astype(np.int32)
        above = np.minimum(below + 1, radius).astype(np.int32)
        below_loss, above_loss = (
            (numbers - symbols) ** 2 + self._slope * self._tables.costs[scales, symbols + self._tables.middle]
            for symbols in (below, above)
        )
        return np.where(below_loss < above_loss, below, above)

    def bits(self) -> npt.NDArray[np.float64]:
        """What each image costs by the tables, in bits, (N,)."""
        return sum((self._tables.bits(*group) for group in self._groups), np.zeros(len(self._groups[0][0])))

    def count_into(self, histograms: Histograms) -> None:
        """Adds the symbols to histograms."""
        for group in self._groups:
            histograms.add(*group)

    def streams(self) -> list[bytes]:
        """One stream an image."""
        return _streams(self._tables, self._groups)


class SymbolDecoder:
    """Decodes the symbols of some images, one stream each: a ``Coding`` of ``contexts`` for decoders."""

    def __init__(self, tables: ScaleTables, streams: Sequence[bytes], owner: str):
        self._tables = tables
        self._given = list(streams)
        self._readers = [entropy.RangeDecoder(stream, owner) for stream in streams]
        self._left = np.array([8.0 * len(stream) + _SLACK_BITS for stream in streams])
        self._owner = owner
        self._groups: list[tuple[Symbols, Scales]] = []

    def __call__(self, index: torch.Tensor, wanted: torch.Tensor | None) -> torch.Tensor:
        """The symbols of the next group; ``BitstreamError`` for bytes that no encoder writes, or too few."""
        scales = index.cpu().numpy().astype(np.uint8)
        symbols = np.empty(scales.shape, np.int32)
        order = np.argsort(scales, axis=1, kind="stable")
        for reader, row, places, found in zip(self._readers, scales, order, symbols, strict=True):
            sizes = np.bincount(row, minlength=SCALES)
            runs = [
                reader.decode(self._tables.models[scale], int(sizes[scale])) - self._tables.radius[scale]
                for scale in np.flatnonzero(sizes).tolist()
            ]
            found[places] = np.concatenate(runs)
        self._left -= _LEAST_COST * self._tables.bits(symbols, scales)
        if (self._left < 0).any():
            raise self._altered()
        self._groups.append((symbols, scales))
        return torch.from_numpy(symbols.astype(np.int64)).to(index.device)

    def finish(self) -> None:
        """Raises ``BitstreamError`` unless the streams are those that :class:`SymbolEncoder` makes of their symbols."""
        if _streams(self._tables, self._groups) != self._given:
            raise self._altered()

    def _altered(self) -> BitstreamError:
        return BitstreamError(f"{self._owner}: the stream was cut short or altered")


def _streams(tables: ScaleTables, groups: Sequence[tuple[Symbols, Scales]]) -> list[bytes]:
    sorted_groups = []
    for symbols, scales in groups:
        order = np.argsort(scales, axis=1, kind="stable")
        scales = np.take_along_axis(scales, order, 1)
        symbols = np.take_along_axis(symbols, order, 1) + tables.radius[scales].astype(np.int32)
        sorted_groups.append((symbols, scales))

    def parts(image: int) -> Iterator[tuple[entropy.Model, Symbols]]:
        for symbols, scales in sorted_groups:
            row = scales[image]
            bounds = [0, *(np.flatnonzero(row[1:] != row[:-1]) + 1).tolist(), len(row)]
            for start, end in itertools.pairwise(bounds):
                yield tables.models[row[start]], symbols[image, start:end]

    return [entropy.encode(parts(image)) for image in range(len(groups[0][0]))]
