"""Speed of the learned codecs in batches, and of streams that are decoded together beside streams decoded one by one.

Run with ``CODECBENCH_DATA=... pytest tests/benchmarks/test_learned_speed.py --benchmark-enable``.
"""

import time

import numpy as np
import pytest
import torch
from clock import seconds

from codecbench import open_codec
from codecbench.learned.coding import interleaved
from codecbench.plan.planner import open_dataset


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("spec", "dataset", "count", "threads"),
    [
        ("rd_ae:quality=4,shape=64x64x3", "stl10", 1_000, 2),
        ("ar_lossless", "mnist", 10_000, 2),
        ("res_lossless", "stl10", 100, 2),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_batch(benchmark, data_root, spec, dataset, count, threads):
    """Encodes, then decodes a batch; what is measured is the decoding."""
    codec = open_codec(spec)
    images = open_dataset(dataset, data_root).read(range(count if benchmark.enabled else 4))
    before = torch.get_num_threads()
    torch.set_num_threads(threads if benchmark.enabled else before)
    try:
        codec.decode(codec.encode(images[:2]))  # loads the weights
        began = time.perf_counter()
        streams = codec.encode(images)
        encode_s = time.perf_counter() - began
        decoded = benchmark.pedantic(codec.decode, (streams,), rounds=1)
    finally:
        torch.set_num_threads(before)
    assert decoded.shape == images.shape
    assert codec.lossless == np.array_equal(decoded, images)
    if benchmark.enabled:
        decode_s = benchmark.stats.stats.max
        taken = {"encode_s": round(encode_s, 2), "decode_s": round(decode_s, 2)}
        benchmark.extra_info |= {"images": count, "threads": threads} | taken


def read_together(streams, counts, steps):
    reader = interleaved.InterleavedDecoder(streams, "it")
    starts = np.cumsum(counts) - counts
    for _ in range(steps):
        values = np.searchsorted(starts, reader.slots(), "right") - 1
        reader.advance(starts[values], counts[values])
    reader.finish()


def read_one_by_one(streams, counts, steps):
    starts = np.cumsum(counts) - counts
    firsts, sizes = starts.tolist(), counts.tolist()
    readers = [interleaved.StreamDecoder(stream, "it") for stream in streams]
    for _ in range(steps):
        for reader in readers:
            value = int(starts.searchsorted(reader.slot(), "right")) - 1
            reader.advance(firsts[value], sizes[value])
    for reader in readers:
        reader.finish()


def test_streams_decoded_together(benchmark):
    """A thousand interleaved streams of equal length, a symbol of each at a time."""
    steps, number = (200, 1_000) if benchmark.enabled else (20, 30)
    counts = np.full(256, interleaved.TOTAL // 256)
    values = np.random.default_rng(0).integers(0, 256, (steps, number))
    starts = np.cumsum(counts) - counts
    streams = interleaved.encode(starts[values], counts[values])
    benchmark.pedantic(read_together, (streams, counts, steps), rounds=3)
    one_by_one = seconds(read_one_by_one, streams, counts, steps)
    if benchmark.enabled:
        ratio = one_by_one / benchmark.stats.stats.median
        benchmark.extra_info["times_as_fast_as_one_by_one"] = round(ratio, 1)
        assert ratio >= 3
