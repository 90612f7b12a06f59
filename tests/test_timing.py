"""The timing protocol, on codecs whose calls are counted."""

import numpy as np
import pytest

from codecbench import timing
from codecbench.records import CodecSpec
from codecbench.registry import CODECS


@pytest.fixture
def images():
    return np.zeros((4, 8, 8, 1), dtype=np.uint8)


def test_every_repeat_is_kept_with_what_it_was_taken_on(images):
    found = timing.time_codec(CodecSpec.of("none", {}), images, "cpu", threads=1)
    assert (found.images, found.threads, found.device, found.failed) == (4, 1, "cpu", "")
    assert len(found.encode_s) == len(found.decode_s) == timing.REPEATS
    assert min(found.encode_s + found.decode_s) > 0


def test_calls_are_warmed_up_and_blocks_calibrated(monkeypatch):
    clock = [0.0]
    calls = []

    def call():
        calls.append(clock[0])
        clock[0] += 0.001 if len(calls) > 1 else 5.0  # the first call loads and compiles

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    seconds = timing._repeat(call, images=10)
    assert seconds == pytest.approx([0.0001] * timing.REPEATS)
    assert len(calls) == 2 + timing.REPEATS * 5, "a block of 5 ms holds five calls of 1 ms"


def test_slow_codecs_are_repeated_less_but_three_times(monkeypatch):
    clock = [0.0]

    def call():
        clock[0] += 10.0

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    assert timing._repeat(call, images=1) == (10.0, 10.0, 10.0)


def test_encoding_and_decoding_are_called_plainly(images, monkeypatch):
    cls = CODECS.get("none")
    calls = []
    encode, decode = cls.encode, cls.decode
    monkeypatch.setattr(cls, "encode", lambda self, batch: calls.append("encode") or encode(self, batch))
    monkeypatch.setattr(cls, "decode", lambda self, streams: calls.append("decode") or decode(self, streams))
    timing.time_codec(CodecSpec.of("none", {}), images, "cpu", threads=1)
    assert calls.index("decode") > timing.REPEATS
    assert calls.count("encode") - 1 >= timing.REPEATS + 2
    assert calls.count("decode") >= timing.REPEATS + 2


def test_fewer_large_images_are_timed():
    assert timing.timed_count((28, 28, 1)) == timing.TIMED_IMAGES
    assert timing.timed_count((512, 768, 3)) == 5
    assert timing.timed_count((8_000, 8_000, 3)) == 1
