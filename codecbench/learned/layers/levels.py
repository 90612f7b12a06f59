"""Vectors that depend on a quality between 1 and ``LEVELS``: learnt at whole qualities, linear in between.

With a vector of logarithms this is the gain unit of Z. Cui et al., Asymmetric Gained Deep Image Compression with
Continuous Rate Adaptation (CVPR 2021): one network for a whole rate-distortion curve.
"""

from __future__ import annotations

import decimal
import functools

import torch
from torch import nn

from codecbench.learned.layers.exact import ACTIVATION_BITS, decimals, on_grid

LEVELS = 8
STEPS = 64
"""Steps between two whole qualities; a quality is rounded to one of them."""

EXPONENTIAL_BITS = 20
MOST_EXPONENT = 6.0


class Levels(nn.Module):
    """A vector of ``size`` numbers for each quality, initially from ``first`` (quality 1) to ``last`` (the highest)."""

    def __init__(self, size: int, first: float = 0.0, last: float = 0.0):
        super().__init__()
        start = torch.linspace(first, last, LEVELS)[:, None].expand(LEVELS, size)
        self.values = nn.Parameter(start.reshape(-1).clone())  # flat: an optimiser for matrices shall leave it alone
        self.size = size

    def forward(self, quality: torch.Tensor) -> torch.Tensor:
        """The vectors at qualities (N,) from 1 to ``LEVELS``: (N, size)."""
        table = self.values.view(LEVELS, self.size)
        below = (quality - 1).floor().clamp(0, LEVELS - 2)
        share = (quality - 1 - below)[:, None]
        index = below.long()
        return table[index] * (1 - share) + table[index + 1] * share

    def exact(self, quality: float) -> torch.Tensor:
        """The vector at one quality, on the grid of activations: float64, (size,).

        The parameters are rounded to that grid first, and the quality to 1/``STEPS``, so every product is exact.
        """
        table = on_grid(self.values.detach()).view(LEVELS, self.size)
        step = round((quality - 1) * STEPS)
        below = min(step // STEPS, LEVELS - 2)
        share = (step - below * STEPS) / STEPS
        return on_grid(table[below] * (1 - share) + table[below + 1] * share)


def round_quality(quality: float) -> float:
    """The nearest quality that makes a difference, a multiple of 1/``STEPS``."""
    return round(quality * STEPS) / STEPS


def exact_exp(values: torch.Tensor) -> torch.Tensor:
    """The exponentials of activations on the grid, to multiples of 2**-20: the same float64 numbers on every machine.

    A library's ``exp`` may differ in its last bit; decimal arithmetic is rounded correctly by its specification. Values
    beyond ± ``MOST_EXPONENT`` are clamped. A product with an integer below 2**20 is exact.
    """
    units = (values.clamp(-MOST_EXPONENT, MOST_EXPONENT) * 2.0**ACTIVATION_BITS).flatten().tolist()
    found = [_exponential(int(unit)) for unit in units]
    return torch.tensor(found, dtype=torch.float64, device=values.device).view(values.shape)


@functools.lru_cache(maxsize=1 << 14)
def _exponential(unit: int) -> float:
    """exp(unit · 2**-10), rounded to a multiple of 2**-20."""
    with decimals(40) as context:
        exact = context.exp(decimal.Decimal(unit) / 2**ACTIVATION_BITS)
        return int((exact * 2**EXPONENTIAL_BITS).to_integral_value(decimal.ROUND_HALF_EVEN)) / 2.0**EXPONENTIAL_BITS
