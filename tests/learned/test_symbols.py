"""ScaleTables of many scales, and the writer and reader of symbols under them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codecbench.errors import BitstreamError, WeightsError
from codecbench.learned.coding import entropy
from codecbench.learned.coding.scales import Histograms, ScaleTables, logistic_tables
from codecbench.learned.coding.symbols import SymbolDecoder, SymbolEncoder
from codecbench.learned.layers.contexts import LARGEST_SCALE, SCALES, SMALLEST_SCALE
from codecbench.learned.layers.levels import LEVELS

TABLES = logistic_tables()


def scale(number: int) -> float:
    return SMALLEST_SCALE * (LARGEST_SCALE / SMALLEST_SCALE) ** (number / (SCALES - 1))


def drawn(seed: int, images: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales and numbers that are distributed by them."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, SCALES, (images, size))
    numbers = rng.logistic(0, np.vectorize(scale)(index))
    return torch.from_numpy(index), torch.from_numpy(numbers)


def test_logistic_tables() -> None:
    """Some are pinned: other machines must compute these very numbers."""
    assert len(TABLES.counts) == SCALES
    for number in (0, 1, 20, 40, SCALES - 1):
        row, radius = TABLES.counts[number], TABLES.radius[number]
        assert len(row) == 2 * radius + 1
        assert row.min() >= 1
        assert row.sum() == entropy.MAX_TOTAL
        assert np.array_equal(row, row[::-1])
        edges = (np.arange(-radius, radius + 2) - 0.5) / scale(number)
        probabilities = np.diff(0.5 + 0.5 * np.tanh(edges / 2))
        assert np.abs(row / row.sum() - probabilities).max() < 4e-3
    assert TABLES.counts[0].tolist()[37:44] == [1, 1, 252, 1047994, 252, 1, 1]
    assert [int(row[len(row) // 2]) for row in TABLES.counts[20:64:14]] == [447112, 101162, 21694, 5244]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.lists(st.integers(1, 60), min_size=1, max_size=4))
def test_symbols_come_back(seed: int, images: int, sizes: list[int]) -> None:
    writer, groups = SymbolEncoder(TABLES), [drawn(seed + i, images, size) for i, size in enumerate(sizes)]
    written = [writer(*group) for group in groups]
    streams = writer.streams()
    reader = SymbolDecoder(TABLES, streams, "it")
    for (index, numbers), symbols in zip(groups, written, strict=True):
        assert torch.equal(reader(index, None), symbols)
        radius = torch.from_numpy(TABLES.radius)[index]  # a number beyond its table is rare, and clipped
        assert torch.equal(symbols, numbers.round().long().clamp(-radius, radius))
    reader.finish()
    bits = writer.bits()
    assert (np.array([len(stream) for stream in streams]) * 8 >= bits - 0.1).all()
    assert (np.array([len(stream) for stream in streams]) * 8 < bits * 1.0001 + 16).all()


def test_numbers_beyond_the_tables_are_clipped() -> None:
    index = torch.tensor([[0, 0, 0, SCALES - 1, 5]])
    numbers = torch.tensor([[1e30, -1e30, math.nan, 1e5, math.inf]], dtype=torch.float64)
    for slope in (0.0, 0.1):
        encoder = SymbolEncoder(TABLES, slope)
        symbols = encoder(index, numbers)
        assert torch.equal(SymbolDecoder(TABLES, encoder.streams(), "it")(index, None), symbols)
        assert symbols[0, 3] == TABLES.radius[-1]


def test_a_short_stream_is_not_read_for_long() -> None:
    with pytest.raises(BitstreamError, match="cut short or altered"):
        SymbolDecoder(TABLES, [b"\x55" * 20], "it")(torch.full((1, 5000), 40), None)


def test_a_slope_trades_error_for_bits() -> None:
    index, numbers = drawn(1, 4, 3000)
    index = index % 20
    bits, errors = [], []
    for slope in (0.0, 0.05, 0.15):
        encoder = SymbolEncoder(TABLES, slope)
        errors.append(((encoder(index, numbers) - numbers.clamp(-40, 40)) ** 2).mean().item())
        bits.append(encoder.bits().mean())
        assert 3000 * errors[-1] + slope * bits[-1] <= 3000 * errors[0] + slope * bits[0] + 1e-6
    assert bits[0] > bits[1] > bits[2]
    assert errors[0] < errors[1] < errors[2]


def test_counted_tables_fit_what_was_counted() -> None:
    shares = (0.3, 0.5, 0.2)
    symbols = np.random.default_rng(4).choice([-1, 0, 3], (50, 2000), p=shares).astype(np.int32)
    scales = np.full(symbols.shape, 25, np.uint8)
    histograms = Histograms()
    histograms.add(symbols, scales)
    tables = histograms.tables(np.linspace(0.0, 0.07, LEVELS))
    entropy_bits = -sum(p * math.log2(p) for p in shares)
    assert tables.bits(symbols, scales).mean() / 2000 == pytest.approx(entropy_bits, rel=0.02)
    for row, prior in zip(tables.counts, TABLES.counts, strict=True):
        assert len(row) == len(prior)
        assert row.min() >= 1
        assert row.sum() == entropy.MAX_TOTAL
    assert np.abs(tables.counts[3] - TABLES.counts[3]).max() < 100  # nothing was counted there
    again = ScaleTables.of(tables.tensors(), "it")
    assert all(np.array_equal(*pair) for pair in zip(again.counts, tables.counts, strict=True))
    assert [again.slope(quality) for quality in (1.0, 1.5, LEVELS)] == pytest.approx([0.0, 0.005, 0.07])


def test_tables_of_the_weights() -> None:
    shipped = TABLES.tensors()
    assert ScaleTables.of({}, "it") is TABLES
    damaged = {
        "counts, slopes expected, counts found": {"counts": shipped["counts"]},
        "the wrong shapes": {**shipped, "slopes": shipped["slopes"][1:]},
        "numbers out of range": {**shipped, "counts": shipped["counts"] - 1},
        "hold numbers out of range": {**shipped, "slopes": shipped["slopes"] - 1},
        "out of range": {**shipped, "slopes": shipped["slopes"] / 0},
        "range; train": {**shipped, "counts": shipped["counts"] + 1},
    }
    for reason, tables in damaged.items():
        with pytest.raises(WeightsError, match=f"it: .*{reason}"):
            ScaleTables.of(tables, "it")
