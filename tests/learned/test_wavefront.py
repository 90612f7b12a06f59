"""Streams of a wavefront: how many, and when they are too short."""

from __future__ import annotations

import numpy as np
import pytest

from codecbench.errors import BitstreamError
from codecbench.learned.coding import interleaved, wavefront
from codecbench.learned.coding.mixtures import MOST_COUNT, Mixtures
from codecbench.learned.coding.wavefront import SYMBOLS_PER_BYTE, WavefrontDecoder


def test_stream_counts() -> None:
    counts = {(1, 1): 1, (64, 64): 1, (96, 85): 1, (96, 96): 2, (512, 768): 96, (1, 1 << 25): 1, (1 << 25, 1): 1 << 13}
    assert {size: wavefront.stream_count(*size) for size in counts} == counts


def test_streams_far_too_short_are_refused_at_once_and_the_cheapest_images_are_not() -> None:
    """Symbols as likely as they may be: what is written of them is never taken for too short."""
    steps = 3 * SYMBOLS_PER_BYTE // 2
    starts, counts = (np.full((steps, 1), value) for value in (interleaved.TOTAL - MOST_COUNT, MOST_COUNT))
    stream = interleaved.encode(starts, counts)[0]
    assert len(stream) <= 3
    WavefrontDecoder([stream], (1, steps, 1), "it")
    with pytest.raises(BitstreamError, match=r"^it: the stream is far too short for an image of 1×\d+ pixels$"):
        WavefrontDecoder([stream], (1, 4 * SYMBOLS_PER_BYTE, 1), "it")


def test_a_reader_without_bytes_stops_at_once() -> None:
    for copies in (1, 40):
        mixtures = Mixtures(np.array([[0.0, 0.0, 5.0]] * copies), np.zeros(copies), 32.0)
        reader = WavefrontDecoder([b"\x7f\xff"] * copies, (1, 8_000, 1), "it")
        with pytest.raises(BitstreamError, match="it ends before its symbols do"):  # noqa: PT012
            for _ in range(8):
                reader.decode(mixtures, slice(0, 1))
