"""Integer softmax: sums to the total, close to the real one, and the same however it is looked at."""

from __future__ import annotations

import decimal
import hashlib

import numpy as np
import pytest
import torch

from codecbench.learned.coding import interleaved, softmax
from codecbench.learned.coding.softmax import VALUES, Softmax
from codecbench.learned.layers.exact import ACTIVATION_BITS, LARGEST

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def drawn_logits(spread: float, count: int = 40, seed: int = 0) -> torch.Tensor:
    """Multiples of the grid's step, as whole numbers: (count, VALUES)."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(count, VALUES, generator=generator, dtype=torch.float64) * spread
    return (drawn.clamp(-LARGEST, LARGEST) * 2**ACTIVATION_BITS).round()


def all_bounds(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Starts and counts of every symbol, (P, VALUES) each."""
    each = logits.repeat_interleave(VALUES, 0)
    start, count = Softmax(each).bounds(torch.arange(VALUES, device=logits.device).repeat(len(logits)))
    return start.view(-1, VALUES), count.view(-1, VALUES)


def test_the_table_is_the_exponential_function_rounded() -> None:
    table = softmax.exponentials()
    assert (table[0], table[-1]) == (2**softmax.WEIGHT_BITS, 0)
    assert 0 not in table[:-1]
    with decimal.localcontext() as context:
        context.prec = 40
        for number in range(0, len(table), 97):
            exact = (-decimal.Decimal(number) / 2**ACTIVATION_BITS).exp() * 2**softmax.WEIGHT_BITS
            assert table[number] == int((exact + decimal.Decimal("0.5")) // 1)


def test_the_table_is_the_same_everywhere() -> None:
    content = np.array(softmax.exponentials(), "<i4").tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "d717ce9b45d12b96"


@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0, 5.0, 100.0, 3000.0])
def test_counts_sum_to_the_total_and_none_is_zero(spread: float) -> None:
    starts, counts = all_bounds(drawn_logits(spread))
    assert int(counts.min()) >= 1
    assert bool((counts.sum(1) == interleaved.TOTAL).all())
    assert torch.equal(starts, counts.cumsum(1) - counts)


@pytest.mark.parametrize("winner", [0, 15, 16, 200, VALUES - 1])
def test_a_certain_symbol_takes_all_but_one_count_each(winner: int) -> None:
    logits = torch.zeros(1, VALUES, dtype=torch.float64)
    logits[0, winner] = 30 * 2**ACTIVATION_BITS
    counts = all_bounds(logits)[1][0].tolist()
    assert counts[winner] >= interleaved.TOTAL - VALUES
    assert sorted(counts)[:-1] == [1] * (VALUES - 2) + [sorted(counts)[-2]]
    assert sorted(counts)[-2] <= 2


@pytest.mark.parametrize("spread", [0.5, 2.0, 6.0])
def test_few_bits_are_lost_to_the_counts(spread: float) -> None:
    logits = drawn_logits(spread)
    counts = all_bounds(logits.clone())[1]
    real = torch.softmax(logits / 2**ACTIVATION_BITS, 1)
    lost = (real * (real.log2() - (counts / interleaved.TOTAL).log2())).sum(1)
    assert 0 <= float(lost.mean()) < 0.001


@pytest.mark.parametrize("spread", [0.0, 1.0, 5.0, 3000.0])
def test_every_slot_finds_the_symbol_whose_bounds_hold_it(spread: float) -> None:
    logits = drawn_logits(spread, 1)
    starts, counts = all_bounds(logits.clone())
    slots = torch.arange(0, interleaved.TOTAL, 97)
    symbols, start, count = Softmax(logits.repeat(len(slots), 1)).search(slots)
    assert torch.equal(symbols, torch.searchsorted(starts[0], slots, right=True) - 1)
    assert torch.equal(start, starts[0][symbols])
    assert torch.equal(count, counts[0][symbols])


def test_starts_are_those_of_the_bounds() -> None:
    logits = drawn_logits(2.0)
    assert torch.equal(Softmax(logits.clone()).starts(), all_bounds(logits)[0])


def test_results_depend_on_neither_batch_nor_threads() -> None:
    logits, slots = drawn_logits(2.0, 300), torch.arange(300) * 200
    together = Softmax(logits.clone()).search(slots)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert all(map(torch.equal, Softmax(logits.clone()).search(slots), together))
    finally:
        torch.set_num_threads(before)
    for row in range(0, 300, 30):
        alone = Softmax(logits[row : row + 1].clone()).search(slots[row : row + 1])
        assert [int(value) for value in alone] == [int(value[row]) for value in together]


def test_a_constant_makes_no_difference() -> None:
    logits, slots = drawn_logits(3.0), torch.arange(40) * 1600
    assert all(map(torch.equal, Softmax(logits + 5000).search(slots), Softmax(logits.clone()).search(slots)))


@CUDA
def test_a_gpu_gives_the_same() -> None:
    logits, slots = drawn_logits(2.0, 500), torch.arange(500) * 131
    there = Softmax(logits.cuda()).search(slots.cuda())
    assert all(torch.equal(a.cpu(), b) for a, b in zip(there, Softmax(logits.clone()).search(slots), strict=True))
