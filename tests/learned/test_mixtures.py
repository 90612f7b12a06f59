"""Counts of values under mixtures of logistic distributions: whole, the same everywhere, close to the formula."""

from __future__ import annotations

import decimal
import hashlib

import numpy as np
import pytest

from codecbench.learned.coding import mixtures
from codecbench.learned.coding.interleaved import TOTAL
from codecbench.learned.coding.mixtures import MOST_COUNT, Mixtures

PIXELS, PARTS, UNIT = 300, 5, 32.0


def drawn(seed: int, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Parameters on their grid, and what the means count from."""
    rng = np.random.default_rng(seed)
    shape = (PIXELS, PARTS)
    logits, means = rng.normal(0, 2 * spread, shape), rng.normal(0, 0.3 * spread, shape)
    scales = rng.normal(1, 0.8 * spread, shape)
    grid = np.rint(np.concatenate([logits, means, scales], 1) * 1024) / 1024
    return np.clip(grid, -2048, 2048), rng.integers(0, 256, PIXELS)


def bounds_of_all(found: Mixtures) -> np.ndarray:
    """Starts of the values 0 to 255 and the end: (P, 257)."""
    pairs = [found.bounds(np.full(len(found), value)) for value in range(256)]
    starts = np.stack([start for start, _ in pairs], 1)
    ends = np.stack([start + count for start, count in pairs], 1)
    assert np.array_equal(starts[:, 1:], ends[:, :-1])
    return np.concatenate([starts, ends[:, -1:]], 1)


def test_tables_do_not_depend_on_the_caller_s_decimals() -> None:
    expected = mixtures.tables()
    with decimal.localcontext(decimal.Context(prec=3, rounding=decimal.ROUND_UP, traps=[decimal.Inexact])):
        found = mixtures.tables.__wrapped__()
    for name in ("exponential", "logistic", "slopes"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("spread", [0.1, 1.0, 30.0, 1e6])
def test_counts_are_whole(spread: float) -> None:
    bounds = bounds_of_all(Mixtures(*drawn(1, spread), UNIT))
    assert (bounds[:, 0] == 0).all()
    assert (bounds[:, -1] == TOTAL).all()
    counts = np.diff(bounds, axis=1)
    assert counts.min() >= 1
    assert counts.max() <= MOST_COUNT


@pytest.mark.parametrize("spread", [1.0, 30.0, 1e6])
def test_slots_find_their_values(spread: float) -> None:
    found = Mixtures(*drawn(2, spread), UNIT)
    bounds, every = bounds_of_all(found), np.arange(PIXELS)
    rng = np.random.default_rng(3)
    for slots in (rng.integers(0, TOTAL, PIXELS), np.zeros(PIXELS, np.int64), np.full(PIXELS, TOTAL - 1)):
        values, starts, counts = found.search(slots)
        assert ((starts <= slots) & (slots < starts + counts)).all()
        assert np.array_equal(starts, bounds[every, values])
        assert np.array_equal(starts + counts, bounds[every, values + 1])
        part = found[100:180]
        assert len(part) == 80
        assert np.array_equal(part.search(slots[100:180])[0], values[100:180])
    assert np.array_equal(found.starts(), bounds)
    assert np.array_equal(found[100:180].starts(), bounds[100:180])


def test_counts_say_what_the_mixtures_say() -> None:
    """Against the formula in floating point: a share of 256 slots is paid for, and next to nothing beside it."""
    parameters, base = drawn(4)
    logits, means, scales = np.split(parameters, 3, 1)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    edges = np.arange(1, 256)[:, None] - 0.5 - base[:, None, None] - means[:, None] * UNIT
    below = 1 / (1 + np.exp(-np.clip(edges * np.exp(-np.clip(scales, -2.5, 5))[:, None], -700, 700)))
    inner = (below * weights[:, None]).sum(2)
    probabilities = np.diff(np.concatenate([np.zeros((PIXELS, 1)), inner, np.ones((PIXELS, 1))], 1), axis=1)
    counts = np.diff(bounds_of_all(Mixtures(parameters, base, UNIT)), axis=1)
    excess = (probabilities * (np.log2(np.maximum(probabilities, 1e-12)) - np.log2(counts / TOTAL))).sum(1)
    assert 0 <= excess.mean() < 0.002
    assert excess.max() < 0.005


def test_tables_are_the_same_on_every_machine() -> None:
    known = mixtures.tables()
    assert [len(known.exponential), len(known.logistic), len(known.slopes)] == [12_289, 24_576, 121]
    for table in (known.exponential, known.logistic, known.slopes):
        assert np.array_equal(table * 2**20, np.rint(table * 2**20))
    assert np.abs(known.exponential - np.exp(-np.arange(12_289) / 1024)).max() < 2**-20
    assert (np.diff(known.logistic) >= 0).all()
    assert np.array_equal(known.logistic + known.logistic[::-1], np.ones(24_576))
    digest = hashlib.sha256(b"".join(table.astype("<f8").tobytes() for table in vars(known).values())).hexdigest()
    assert digest == "4e25cee585a34f96ec9f9abc2f38c769e4fed467ecae0ebea3fc622b4a56c5bf"
