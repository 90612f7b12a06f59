"""Integer counts from a network's exact logits: a softmax whose results are the same on every machine.

Logits on the grid of :mod:`codecbench.learned.layers.exact` become counts that sum to ``TOTAL``, each at least 1, by
table look-up and by additions, multiplications and divisions of float64, which IEEE 754 defines to the last bit. The
table of exponentials is made by integer arithmetic; libraries' ``exp`` differ. (J. Ballé, N. Johnston, D. Minnen,
Integer Networks for Data Compression with Latent-Variable Models, ICLR 2019, say why encoder and decoder must agree.)
"""

from __future__ import annotations

import decimal
import functools

import torch

from codecbench.learned.coding.interleaved import TOTAL
from codecbench.learned.layers.exact import ACTIVATION_BITS, decimals

GROUP = 16
VALUES = GROUP * GROUP
"""How many symbols a distribution has."""

WEIGHT_BITS = 20
"""The likeliest symbol weighs 2 to this power; a group's sum still fits float32 exactly."""

_SHARED = float(TOTAL - VALUES)  # what is left of the counts when each symbol has had one
_EXPONENT_BITS = 96  # of the fixed-point numbers that the table is made with


@functools.cache
def exponentials() -> tuple[int, ...]:
    """2**``WEIGHT_BITS`` · e**(−d / 2**``ACTIVATION_BITS``) for d = 0, 1, … to the first 0, rounded."""
    unit = 1 << _EXPONENT_BITS
    with decimals(60):
        ratio = int((decimal.Decimal(-1) / (1 << ACTIVATION_BITS)).exp() * unit)
    found: list[int] = []
    power, shift = unit, _EXPONENT_BITS - WEIGHT_BITS
    while not found or found[-1]:
        found.append(power + (1 << (shift - 1)) >> shift)
        power = power * ratio >> _EXPONENT_BITS
    return tuple(found)


class Softmax:
    """P distributions of the symbols 0 to ``VALUES`` − 1.

    The start of symbol s is s plus the share that all symbols below it have of the counts beyond one each, rounded
    down. Sums are made for groups of ``GROUP`` symbols; single symbols are looked at in one group only. ``logits`` are
    integers as float64, (P, ``VALUES``), in units of 2**−``ACTIVATION_BITS``, up to a constant; they are overwritten.
    """

    def __init__(self, logits: torch.Tensor):
        table, self._earlier = _tables(logits.device)
        below = torch.sub(logits.amax(1, keepdim=True), logits, out=logits).clamp_(max=len(table) - 1)
        self._weights = table.index_select(0, below.int().flatten()).view(-1, GROUP, GROUP)
        sums = self._weights.sum(2).double()
        self._before = sums @ self._earlier
        self._share = _SHARED / (self._before[:, -1:] + sums[:, -1:])

    def bounds(self, symbols: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Start and count of one symbol of each distribution: int64, (P,) each."""
        return self._symbol(torch.div(symbols, GROUP, rounding_mode="floor"), place=symbols % GROUP)[1:]

    def starts(self) -> torch.Tensor:
        """Starts of all symbols: int64, (P, ``VALUES``)."""
        sums = self._before[:, :, None] + self._weights.double() @ self._earlier
        return (sums.flatten(1) * self._share).floor_().long() + _numbers(VALUES, 1, sums.device)

    def search(self, slots: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Symbol, start and count, (P,) each, in whose intervals the slots are; all int64 (P,)."""
        starts = (self._before * self._share).floor_() + _numbers(VALUES, GROUP, slots.device)
        return self._symbol((starts <= slots[:, None]).sum(1) - 1, slots=slots)

    def _symbol(
        self, group: torch.Tensor, place: torch.Tensor | None = None, slots: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Symbol, start and count, by the symbol's group and its place there or the slot in its interval."""
        rows = torch.arange(len(group), device=group.device)
        weights = self._weights[rows, group].double()
        before = self._before.gather(1, group[:, None])
        last = before + weights.sum(1, keepdim=True)
        sums = torch.cat([before + weights @ self._earlier, last], 1)  # (P, GROUP + 1)
        starts = (sums * self._share).floor_().long() + _numbers(GROUP + 1, 1, group.device) + GROUP * group[:, None]
        starts[:, -1].masked_fill_(group == GROUP - 1, TOTAL)
        if place is None:
            assert slots is not None
            place = (starts[:, :-1] <= slots[:, None]).sum(1) - 1
        start = starts.gather(1, place[:, None]).squeeze(1)
        count = starts.gather(1, place[:, None] + 1).squeeze(1) - start
        return GROUP * group + place, start, count


@functools.cache
def _tables(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """The exponentials, float32, and the matrix that sums what is before each place, float64."""
    table = torch.tensor(exponentials(), dtype=torch.float32, device=device)
    return table, torch.ones(GROUP, GROUP, dtype=torch.float64, device=device).triu(1)


@functools.cache
def _numbers(end: int, step: int, device: torch.device) -> torch.Tensor:
    return torch.arange(0, end, step, device=device)
