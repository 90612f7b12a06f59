"""Range-coded symbols: exact, as short as their model says, and never the beginning of another stream."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecbench.errors import BitstreamError
from codecbench.learned.coding import entropy

COUNTS = st.one_of(
    st.lists(st.integers(1, 1_000), min_size=1, max_size=8),
    st.just([1, entropy.MAX_TOTAL - 2, 1]),
    st.just([1] * 256),
)
PARTS = st.lists(st.tuples(COUNTS, st.lists(st.integers(0, 255), max_size=6)), max_size=8)


def read(stream: bytes, parts) -> list[list[int]]:
    reader = entropy.RangeDecoder(stream, "it")
    return [reader.decode(model, len(symbols)).tolist() for model, symbols in parts]


@settings(max_examples=60, deadline=None)
@given(PARTS, st.binary(max_size=12))
def test_streams_are_read_whatever_follows_and_are_the_shortest(drawn, tail: bytes) -> None:
    parts = [
        (entropy.model(np.array(counts)), np.array([symbol % len(counts) for symbol in symbols], np.int32))
        for counts, symbols in drawn
    ]
    stream, expected = entropy.encode(parts), [symbols.tolist() for _, symbols in parts]
    for behind in (b"", b"\0" * 9, b"\xff" * 9, tail):
        assert read(stream + behind, parts) == expected
    bits = sum(
        float(-np.log2(np.array(counts)[symbols] / sum(counts)).sum())
        for (counts, _), (_, symbols) in zip(drawn, parts, strict=True)
    )
    assert bits * 0.9999 - 1 < 8 * len(stream) < bits * 1.0001 + 16
    # One byte less leaves room for other symbols, whatever that byte's neighbour is.
    shorter = int.from_bytes(stream[:-1], "big")
    for start in {shorter, max(0, shorter - 1), shorter + 1} if len(stream) > 1 else ():
        if start >> 8 * (len(stream) - 1):
            continue
        begun = start.to_bytes(len(stream) - 1, "big")
        with contextlib.suppress(BitstreamError):
            assert [read(begun + end * 12, parts) for end in (b"\0", b"\xff")] != [expected, expected]
    for end in range(len(stream)):  # no stream begins another
        with contextlib.suppress(BitstreamError):
            found = read(stream[:end], parts)
            again = [(model, np.array(symbols, np.int32)) for (model, _), symbols in zip(parts, found, strict=True)]
            assert entropy.encode(again) != stream[:end]


def test_long_streams_and_edges() -> None:
    rng = np.random.default_rng(1)
    counts = np.array([1, 5, 30, 300, 40, 6, 1])
    symbols = rng.choice(len(counts), 200_000, p=counts / counts.sum()).astype(np.int32)
    model = entropy.model(counts)
    stream = entropy.encode([(model, symbols)])
    bits = -np.log2(counts[symbols] / counts.sum()).sum()
    assert bits - 1 < 8 * len(stream) < bits * 1.0001 + 16
    assert np.array_equal(entropy.RangeDecoder(stream, "it").decode(model, len(symbols)), symbols)
    with pytest.raises(BitstreamError, match="it: the stream's bytes stand for no latent"):
        entropy.RangeDecoder(b"\xff" * 16, "it").decode(entropy.model(np.array([1, 2, 3])), 5)
    alone = entropy.model(np.array([9]))  # one symbol costs nothing
    assert len(entropy.encode([(alone, np.zeros(1_000, np.int32))])) == 1
    assert entropy.RangeDecoder(b"", "it").decode(alone, 3).tolist() == [0, 0, 0]
