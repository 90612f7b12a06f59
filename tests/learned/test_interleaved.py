"""Interleaved range coding: what is written is read, and is short."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecbench.errors import BitstreamError
from codecbench.learned.coding import interleaved
from codecbench.learned.coding.interleaved import InterleavedDecoder, StreamDecoder

SHAPES = [(0, 1), (0, 3), (1, 1), (1, 300), (7, 5), (60, 2), (400, 1)]


def drawn_symbols(seed: int, steps: int, size: int, idle: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Starts and counts: common symbols and rare ones, of count 1, of all of ``TOTAL``, and none."""
    rng = np.random.default_rng(seed)
    starts = np.minimum(interleaved.TOTAL * rng.random((steps, size)) ** 3, interleaved.TOTAL - 1).astype(np.int64)
    counts = np.maximum(1, ((interleaved.TOTAL - starts) * rng.random((steps, size)) ** 2).astype(np.int64))
    kind = rng.random((steps, size))
    starts[kind < 0.1], counts[kind < 0.1] = 0, interleaved.TOTAL
    counts[(kind > 0.1) & (kind < 0.2)] = 1
    starts[kind > 0.95], counts[kind > 0.95] = interleaved.TOTAL - 1, 1
    counts[rng.random((steps, size)) < idle] = 0
    return starts, counts


def ideal_bits(counts: np.ndarray) -> np.ndarray:
    return -np.log2(np.where(counts, counts, interleaved.TOTAL) / interleaved.TOTAL).sum(0)


def check_reads(streams: list[bytes], starts: np.ndarray, counts: np.ndarray) -> None:
    """In arrays, and the first streams also symbol by symbol."""
    reader = InterleavedDecoder(streams, "it")
    for start, count in zip(starts, counts, strict=True):
        slots = reader.slots()
        assert ((count == 0) | ((start <= slots) & (slots < start + count))).all()
        reader.advance(start, count)
    reader.finish()
    for stream, start, count in zip(streams[:3], starts.T, counts.T, strict=False):
        single = StreamDecoder(stream, "it")
        for first, width in zip(start.tolist(), count.tolist(), strict=True):
            if width:
                assert first <= single.slot() < first + width
                single.advance(first, width)
        single.finish()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(SHAPES), st.sampled_from([0.0, 0.5, 1.0]))
def test_symbols_come_back(seed: int, shape: tuple[int, int], idle: float) -> None:
    starts, counts = drawn_symbols(seed, *shape, idle)
    streams = interleaved.encode(starts, counts)
    assert [bool(stream) for stream in streams] == [True] * shape[1]
    check_reads(streams, starts, counts)
    # At most 2 bytes to end with, and a hair for the rounding of widths.
    assert (8 * np.array([len(stream) for stream in streams]) <= ideal_bits(counts) * 1.0001 + 16).all()


def test_carries_run_through_bytes_written_long_before() -> None:
    # A narrow width just below one half: the last symbol decides whether 0x7fff… or 0x8000… is written.
    half = interleaved.TOTAL // 2
    starts = np.array([[half - 1] * 2] + [[interleaved.TOTAL - 1] * 2] * 300)
    counts = np.ones_like(starts)
    starts[0], counts[0] = 0, half + 1
    streams = interleaved.encode(starts, counts)
    check_reads(streams, starts, counts)


@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=9))
def test_joined_streams_come_apart(parts: list[bytes]) -> None:
    stream = interleaved.join(parts)
    assert len(stream) <= sum(map(len, parts)) + 2 * (len(parts) - 1)
    assert interleaved.split(stream, len(parts), "it") == parts
    if len(parts) > 1:
        for cut in range(len(stream) - len(parts[-1]) + 1):
            with pytest.raises(BitstreamError, match=r"^it: "):
                interleaved.split(stream[:cut], len(parts), "it")
