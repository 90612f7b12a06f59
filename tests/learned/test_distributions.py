"""Counts of the values 0 to 255 by mixtures and by the integer softmax: whole, near the formula, always the same."""

from __future__ import annotations

import decimal
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from codecbench.learned.coding import mixtures, softmax
from codecbench.learned.coding.interleaved import TOTAL
from codecbench.learned.coding.mixtures import MOST_COUNT, Mixtures
from codecbench.learned.coding.softmax import VALUES, Softmax
from codecbench.learned.layers.exact import ACTIVATION_BITS, LARGEST

COUNT, PARTS, UNIT = 60, 5, 32.0


def softmax_case(spread: float) -> Drawn:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(COUNT, VALUES, generator=generator, dtype=torch.float64) * spread
    logits = (drawn.clamp(-LARGEST, LARGEST) * 2**ACTIVATION_BITS).round()
    real = torch.softmax(logits / 2**ACTIVATION_BITS, 1).numpy()
    return Drawn(lambda rows: Softmax(logits[rows].clone()), torch.from_numpy, real)


def mixtures_case(spread: float) -> Drawn:
    rng = np.random.default_rng(4)
    shape = (COUNT, PARTS)
    drawn = rng.normal(0, 2 * spread, shape), rng.normal(0, 0.3 * spread, shape), rng.normal(1, 0.8 * spread, shape)
    parameters = np.clip(np.rint(np.concatenate(drawn, 1) * 1024) / 1024, -2048, 2048)
    base = rng.integers(0, 256, COUNT)
    logits, means, scales = np.split(parameters, 3, 1)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    edges = np.arange(1, 256)[:, None] - 0.5 - base[:, None, None] - means[:, None] * UNIT
    below = 1 / (1 + np.exp(-np.clip(edges * np.exp(-np.clip(scales, -2.5, 5))[:, None], -700, 700)))
    inner = (below * weights[:, None]).sum(2)
    real = np.diff(np.concatenate([np.zeros((COUNT, 1)), inner, np.ones((COUNT, 1))], 1), axis=1)
    return Drawn(lambda rows: Mixtures(parameters[rows], base[rows], UNIT), np.asarray, real)


@dataclass
class Drawn:
    """Distributions of ``COUNT`` pixels."""

    of: Callable[[np.ndarray], Softmax | Mixtures]  # by the numbers of pixels
    given: Callable[[np.ndarray], torch.Tensor | np.ndarray]  # an array as the distributions take it
    real: np.ndarray  # probabilities in floating point, (COUNT, 256)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Starts and counts of every value, (COUNT, 256)."""
        every = self.of(np.repeat(np.arange(COUNT), VALUES))
        starts, counts = every.bounds(self.given(np.tile(np.arange(VALUES), COUNT)))
        return np.asarray(starts).reshape(COUNT, VALUES), np.asarray(counts).reshape(COUNT, VALUES)


every_kind = pytest.mark.parametrize("draw", [softmax_case, mixtures_case])


@every_kind
@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0, 30.0, 3000.0, 1e6])
def test_counts_are_whole_and_slots_find_their_values(draw: Callable[[float], Drawn], spread: float) -> None:
    drawn = draw(spread)
    starts, counts = drawn.bounds()
    every = np.arange(COUNT)
    assert counts.min() >= 1
    assert (counts.sum(1) == TOTAL).all()
    assert draw is softmax_case or counts.max() <= MOST_COUNT
    assert np.array_equal(starts, counts.cumsum(1) - counts)
    assert np.array_equal(np.asarray(drawn.of(every).starts())[:, :VALUES], starts)
    rng = np.random.default_rng(3)
    for slots in (*rng.integers(0, TOTAL, (20, COUNT)), np.zeros(COUNT, np.int64), np.full(COUNT, TOTAL - 1)):
        values, start, count = map(np.asarray, drawn.of(every).search(drawn.given(slots)))
        assert ((start <= slots) & (slots < start + count)).all()
        assert np.array_equal(start, starts[every, values])
        assert np.array_equal(count, counts[every, values])


@every_kind
@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
def test_few_bits_are_lost_to_the_counts(draw: Callable[[float], Drawn], spread: float) -> None:
    drawn = draw(spread)
    lost = drawn.real * (np.log2(np.maximum(drawn.real, 1e-12)) - np.log2(drawn.bounds()[1] / TOTAL))
    assert 0 <= lost.sum(1).mean() < 0.002
    assert lost.sum(1).max() < 0.006


def test_a_certain_symbol_takes_all_that_the_others_leave() -> None:
    for winner in (0, 16, VALUES - 1):
        logits = torch.zeros(1, VALUES, dtype=torch.float64)
        logits[0, winner] = 30 * 2**ACTIVATION_BITS
        assert int(Softmax(logits).bounds(torch.tensor([winner]))[1]) >= TOTAL - VALUES


def test_tables_are_the_same_on_every_machine() -> None:
    """Pinned, and whatever the caller's decimals are."""
    with decimal.localcontext(decimal.Context(prec=3, rounding=decimal.ROUND_UP, traps=[decimal.Inexact])):
        known, table = mixtures.tables.__wrapped__(), softmax.exponentials.__wrapped__()
    digest = hashlib.sha256(b"".join(table.astype("<f8").tobytes() for table in vars(known).values())).hexdigest()
    assert digest == "4e25cee585a34f96ec9f9abc2f38c769e4fed467ecae0ebea3fc622b4a56c5bf"
    assert hashlib.sha256(np.array(table, "<i4").tobytes()).hexdigest()[:16] == "d717ce9b45d12b96"
