"""Latents as small integers: a linear transform across the channels, one uniform step, a range-coded symbol a number.

The channels z of a latent, at each place, become y = (z − mean)·analysis: coefficients that are uncorrelated over the
training images, and to which the reconstruction's mean squared error is about equally sensitive (a Karhunen-Loève
transform in the metric of the decoder's Jacobian, in units of the step). Each is rounded to a symbol and coded under
its channel's table; the decoder adds the mean to the symbols times the synthesis matrix. A latent belongs to one of M
classes with tables of their own; where M > 1, the class is coded in front.
:mod:`codecbench.learned.training.fit_latents` makes the tables from training images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from codecbench.errors import BitstreamError, WeightsError
from codecbench.learned.coding import entropy
from codecbench.learned.coding.entropy import Symbols

Latents = npt.NDArray[np.float32]
Classes = npt.NDArray[np.int32]

LOWEST, HIGHEST = -128, 127
"""Range of a symbol: one signed byte."""

HUGE = 1e9
"""Latents are clipped to ± this: far outside any table, and the transform of it is finite."""

CHUNK = 1 << 22
"""Costs of symbols that are held at once; bounds the memory while symbols are chosen."""

_FLOATS = ("mean", "analysis", "synthesis", "slope")
_INTEGERS = ("low", "counts", "front")


@dataclass(frozen=True, eq=False)
class LatentCoder:
    """Turns latents of C channels and P places into symbols and back, and symbols into bytes and back."""

    mean: Latents  # of each channel, float32, (C,)
    analysis: Latents  # from a place's channels to its coefficients in units of the step, float32, (C, C)
    synthesis: Latents  # from a place's symbols to its channels, float32, (C, C)
    low: npt.NDArray[np.int64]  # the smallest symbol of each coefficient, (C,)
    counts: npt.NDArray[np.int64]  # of each symbol from ``low`` on, zeros behind a table's end, (M, C, S)
    front: npt.NDArray[np.int64]  # counts of the classes, (M,)
    slope: float = 0.0  # squared rounding error, in steps, that the encoder trades for one bit

    @classmethod
    def of(cls, tables: Mapping[str, torch.Tensor], channels: int, owner: str) -> LatentCoder:
        """The coder of shipped tables; raises ``WeightsError`` where they do not fit a latent of so many channels."""
        if set(tables) != {*_FLOATS, *_INTEGERS}:
            found = ", ".join(sorted(tables)) or "none"
            raise WeightsError(f"{owner}: tables {', '.join(sorted((*_FLOATS, *_INTEGERS)))} expected, {found} found")
        floats = [tables[name].detach().cpu().float().numpy() for name in _FLOATS]
        integers = [tables[name].detach().cpu().long().numpy() for name in _INTEGERS]
        if fault := _fault(floats, integers, channels):
            raise WeightsError(f"{owner}: the tables of the latent {fault}; train it anew")
        mean, analysis, synthesis, slope = floats
        low, counts, front = integers
        return cls(mean, analysis, synthesis, low, counts, front, float(slope[0]))

    def tables(self) -> dict[str, torch.Tensor]:
        """The tables as they are shipped: float32 and int32."""
        types = dict.fromkeys(_FLOATS, torch.float32) | dict.fromkeys(_INTEGERS, torch.int32)
        return {name: torch.tensor(np.array(getattr(self, name), ndmin=1), dtype=types[name]) for name in types}

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """How many symbols the table of each coefficient holds, (C,)."""
        return (self.counts[0] > 0).sum(1)

    @cached_property
    def costs(self) -> npt.NDArray[np.float32]:
        """Bits of each symbol, float32, (M, C, S); infinite behind a table's end."""
        counts = self.counts.astype(np.float64)
        with np.errstate(divide="ignore"):
            bits: npt.NDArray[np.float32] = np.log2(counts.sum(2, keepdims=True) / counts).astype(np.float32)
        return bits

    @cached_property
    def front_costs(self) -> npt.NDArray[np.float32]:
        """Bits of each class, float32, (M,)."""
        return np.log2(self.front.sum() / self.front).astype(np.float32)

    @cached_property
    def _models(self) -> list[list[entropy.Model]]:
        return [[entropy.model(row[:size]) for row, size in zip(m, self.sizes, strict=True)] for m in self.counts]

    @cached_property
    def _front_model(self) -> entropy.Model:
        return entropy.model(self.front)

    def quantise(self, latents: Latents, classes: Classes | None = None) -> tuple[Symbols, Classes]:
        """Rounds latents, float32 (N, C, …) without NaN, to symbols (N, P, C); also returns the classes (N,).

        Of each number's two neighbours the one of less squared error plus ``slope`` times bits is chosen; without
        classes all latents are of class 0.
        """
        places = latents.reshape(len(latents), len(self.mean), -1).swapaxes(1, 2)
        symbols = np.empty(places.shape, np.int32)
        chosen = np.zeros(len(places), np.int32) if classes is None else classes
        step = max(1, CHUNK // max(1, symbols[:1].size))
        for start in range(0, len(places), step):
            part = slice(start, start + step)
            # Bounded, since a number far outside the tables may be too large for an integer.
            z = np.clip(places[part], -HUGE, HUGE).astype(np.float32)
            y: Latents = np.clip((z - self.mean) @ self.analysis, 2 * LOWEST, 2 * HIGHEST)
            symbols[part] = self._nearest(y, chosen[part])
        return symbols, chosen

    def _nearest(self, y: Latents, classes: Classes) -> Symbols:
        """The better neighbour of each coefficient, (N, P, C)."""
        high = self.low + self.sizes - 1
        below = np.floor(y)
        best, least = np.zeros(y.shape, np.int32), np.full(y.shape, np.inf, np.float32)
        for candidate in (below, below + 1):
            symbol = np.clip(candidate, self.low, high).astype(np.int32)
            loss = (y - symbol) ** 2 + np.float32(self.slope) * self._costs_of(symbol, classes)
            best, least = np.where(loss < least, symbol, best), np.minimum(loss, least)
        return best

    def _costs_of(self, symbols: Symbols, classes: Classes) -> Latents:
        return self.costs[classes[:, None, None], np.arange(len(self.low)), symbols - self.low]

    def dequantise(self, symbols: Symbols) -> Latents:
        """Latents from symbols (N, P, C): float32, (N, C, P)."""
        latents: Latents = (symbols.astype(np.float32) @ self.synthesis + self.mean).swapaxes(1, 2)
        return np.ascontiguousarray(latents)

    def bits(self, symbols: Symbols, classes: Classes) -> npt.NDArray[np.float64]:
        """What symbols (N, P, C) and classes (N,) cost by the tables, in bits, (N,)."""
        each = self._costs_of(symbols, classes).sum((1, 2), dtype=np.float64)
        return each + self.front_costs[classes]

    def encode(self, symbols: Symbols, classes: Classes) -> bytes:
        """One stream for the B latents of an image: classes (B,), then symbols (B, P, C) by class and channel.

        No stream of B latents is a prefix of another one of B latents.
        """
        offsets = np.ascontiguousarray(np.moveaxis(symbols - self.low, 2, 0), np.int32)
        parts: list[tuple[entropy.Model, Symbols]] = [(self._front_model, classes)]
        for number, models in enumerate(self._models):
            members = offsets if len(self.front) == 1 else offsets[:, classes == number]
            if members.shape[1]:
                parts += zip(models, members.reshape(len(models), -1), strict=True)
        return entropy.encode(parts)

    def decode(self, stream: bytes, count: int, places: int, owner: str) -> tuple[Symbols, Classes]:
        """Symbols (B, P, C) and classes (B,) of an image's ``count`` latents of ``places`` places.

        Raises ``BitstreamError`` for a stream that :meth:`encode` does not write: truncated, altered or foreign.
        """
        least = int(count * self.least_bits(places) / 8)
        if len(stream) < least:  # said before anything of that size is allocated
            raise BitstreamError(f"{owner}: {count} latents take {least} bytes or more, not {len(stream)}")
        reader = entropy.RangeDecoder(stream, owner)
        classes = reader.decode(self._front_model, count)
        offsets = np.zeros((len(self.low), count, places), np.int32)
        for number, models in enumerate(self._models):
            members = np.flatnonzero(classes == number)
            for channel, model in enumerate(models if len(members) else ()):
                offsets[channel, members] = reader.decode(model, len(members) * places).reshape(-1, places)
        symbols = (np.moveaxis(offsets, 0, 2) + self.low).astype(np.int32)
        if self.encode(symbols, classes) != stream:
            raise BitstreamError(f"{owner}: the stream was cut short or altered")
        return symbols, classes

    def least_bits(self, places: int) -> float:
        """Bits of the cheapest latent of P places; bounds what a forged header can allocate."""
        return float((self.costs.min(2).sum(1) * places + self.front_costs).min())


def _fault(floats: list[npt.NDArray[Any]], integers: list[npt.NDArray[Any]], channels: int) -> str:
    """What is wrong with tables; empty where nothing is."""
    mean, analysis, synthesis, slope = floats
    low, counts, front = integers
    if counts.ndim != 3 or 0 in counts.shape:
        return "have the wrong shapes"
    found = [array.shape for array in (mean, analysis, synthesis, slope, low, counts[0, :, 0], front)]
    vector, matrix = (channels,), (channels, channels)
    if found != [vector, matrix, matrix, (1,), vector, vector, counts.shape[:1]]:
        return f"are not made for {channels} channels"
    if not all(np.isfinite(array).all() for array in floats) or slope[0] < 0:
        return "hold numbers that are not finite"
    held = counts > 0
    sizes = held[0].sum(1)
    if (counts < 0).any() or (held != (np.arange(counts.shape[2]) < sizes[:, None])).any() or (sizes < 1).any():
        return "lack counts"
    if (front < 1).any() or max(int(front.sum()), int(counts.sum(2).max())) > entropy.MAX_TOTAL:
        return "hold counts out of range"
    if (low < LOWEST).any() or (low + sizes - 1 > HIGHEST).any():
        return f"hold symbols outside {LOWEST} to {HIGHEST}"
    return ""
