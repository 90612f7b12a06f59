"""The timing protocol in a host, on codecs whose calls are counted and on a clock that the test moves."""

from types import SimpleNamespace

import numpy as np
import pytest

from codecbench.errors import ContractError
from codecbench.measure import timing
from codecbench.plan.tasks import codec_fingerprint
from codecbench.plugins.codec import CodecSpec
from codecbench.plugins.registry import CODECS

NONE = CodecSpec.of("none", {})


@pytest.fixture
def images():
    return np.zeros((10, 8, 8, 1), dtype=np.uint8)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still; CPU time goes half as fast."""
    moved = SimpleNamespace(now=0.0)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: moved.now)
    monkeypatch.setattr(timing, "_cpu_s", lambda: moved.now / 2)
    return moved


def call_of(clock, seconds, calls):
    def call():
        calls.append(clock.now)
        clock.now += seconds

    return call


BATCHED = SimpleNamespace(batched=True)
ONE_BY_ONE = SimpleNamespace(batched=False)


def test_a_block_is_warmed_up_calibrated_and_read_from_both_clocks(clock):
    calls = []
    block = timing._block([call_of(clock, 0.003, calls)], 10, BATCHED)
    assert block == timing.Block(pytest.approx(0.0003), pytest.approx(0.00015), 7)
    assert len(calls) == 1 + 1 + 7, "a block of 20 ms holds seven calls of 3 ms"


def test_a_block_that_something_held_up_in_its_calibration_is_taken_again(clock):
    calls = []

    def call():
        calls.append(clock.now)
        clock.now += 1.0 if len(calls) == 2 else 0.001  # another program had the processor

    block = timing._block([call], 1, BATCHED)
    assert (block.wall_s, block.cpu_s) == (pytest.approx(0.001), pytest.approx(0.0005))
    assert len(calls) == 1 + 1 + 1 + block.calls
    assert block.calls >= 20


def test_a_slow_call_is_made_once_a_block(clock):
    calls = []
    assert timing._block([call_of(clock, 5.0, calls)], 1, BATCHED).wall_s == 5.0
    assert len(calls) == 3


def test_codecs_that_work_image_by_image_are_warmed_up_on_a_few(clock):
    calls = []
    timing._block([call_of(clock, 1.0, calls)] * 10, 10, ONE_BY_ONE)
    assert len(calls) == timing.WARM_IMAGES + 10 + 10


def test_encoding_and_decoding_are_called_plainly_and_in_batches(images, monkeypatch):
    cls = CODECS.get("none")
    sizes = {"encode": [], "decode": []}
    encode, decode = cls.encode, cls.decode
    monkeypatch.setattr(cls, "encode", lambda self, batch: sizes["encode"].append(len(batch)) or encode(self, batch))
    monkeypatch.setattr(cls, "decode", lambda self, batch: sizes["decode"].append(len(batch)) or decode(self, batch))
    bitstreams = cls().encode(images)
    sizes["encode"].clear()
    for batch, expected in ((10, {10}), (1, {1}), (4, {4, 2})):
        timing.time_encoding(NONE, images, batch, "cpu")
        timing.time_decoding(NONE, bitstreams, batch, "cpu")
        assert (set(sizes["encode"]), set(sizes["decode"])) == (expected, expected)
        sizes["encode"].clear()
        sizes["decode"].clear()


def test_the_first_call_of_a_process_is_cold_and_no_other(images, monkeypatch):
    monkeypatch.setattr(timing, "_worked", False)
    fingerprint = codec_fingerprint(CODECS.get("none"), "cpu")
    first = timing.first_encoding(NONE, fingerprint, images, "cpu", 1, most_s=1.0)
    again = timing.first_encoding(NONE, fingerprint, images, "cpu", 1, most_s=1.0)
    assert first.cold_s > 0
    assert again.cold_s is None
    assert len(first.output) == len(images)
    assert timing.first_decoding(NONE, fingerprint, first.output, "cpu", 1).cold_s is None


def test_slow_codecs_are_timed_on_fewer_images(images, clock, monkeypatch):
    cls = CODECS.get("none")
    encode = cls.encode

    def slow(self, batch):
        clock.now += 0.4 * len(batch)
        return encode(self, batch)

    monkeypatch.setattr(cls, "encode", slow)
    monkeypatch.setattr(timing, "_worked", True)
    assert len(timing.first_encoding(NONE, "", images, "cpu", 1, most_s=1.0).output) == 2
    assert len(timing.first_encoding(NONE, "", images, "cpu", 1, most_s=0.1).output) == 1


def test_a_codec_that_was_edited_meanwhile_is_refused(images, monkeypatch):
    monkeypatch.setattr(timing, "_worked", False)
    with pytest.raises(ContractError, match="changed while the run went on"):
        timing.first_encoding(NONE, "another", images, "cpu", 1, most_s=1.0)


def test_cpu_time_counts_what_this_process_computes():
    before = timing._cpu_s()
    total = sum(number * number for number in range(300_000))
    assert total > 0
    assert timing._cpu_s() > before
