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
FINGERPRINT = codec_fingerprint(CODECS.get("none"), "cpu")


@pytest.fixture
def images():
    return np.zeros((10, 8, 8, 1), dtype=np.uint8)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still; CPU time goes half as fast."""
    moved = SimpleNamespace(now=0.0)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: moved.now)
    monkeypatch.setattr(timing.time, "process_time", lambda: moved.now / 2)
    return moved


@pytest.fixture
def slow(clock, monkeypatch):
    """Has the codec ``none`` take some seconds per image; gives how many images were in each call."""

    def of(seconds, batched=True):
        sizes = []

        def work(self, batch):
            sizes.append(len(batch))
            clock.now += (seconds(len(sizes)) if callable(seconds) else seconds) * len(batch)
            return [b"x"] * len(batch)

        for name, value in (("encode", work), ("decode", work), ("batched", batched)):
            monkeypatch.setattr(CODECS.get("none"), name, value)
        return sizes

    return of


def test_a_block_is_warmed_up_calibrated_and_read_from_both_clocks(images, slow):
    sizes = slow(0.0003)
    block = timing.time_encoding(NONE, images, 10, "cpu")
    assert block == timing.Block(pytest.approx(0.0003), pytest.approx(0.00015), 7, pytest.approx(1.0), [b"x"] * 10)
    assert sizes == [10] * (1 + 1 + 7), "a block of 20 ms holds seven calls of 3 ms"


def test_a_block_that_something_held_up_in_its_calibration_is_taken_again(images, slow):
    sizes = slow(lambda call: 1.0 if call == 2 else 0.001)  # another program had the processor
    block = timing.time_encoding(NONE, images[:1], 1, "cpu")
    assert (block.wall_s, block.cpu_s) == (pytest.approx(0.001), pytest.approx(0.0005))
    assert len(sizes) == 1 + 1 + 1 + block.calls + timing.LOOKS, "and a look whether the images cost more by themselves"
    assert block.calls >= 20


def test_a_codec_that_remembers_takes_longer_over_the_images_that_calibrate_a_block(images, clock, monkeypatch):
    seen = set()

    def work(self, batch):
        clock.now += sum(0.00001 if image.tobytes() in seen else 0.01 for image in batch)
        seen.update(image.tobytes() for image in batch)
        return [image.tobytes()[:1] for image in batch]

    monkeypatch.setattr(CODECS.get("none"), "encode", work)
    images[:] = np.arange(10)[:, None, None, None] * 20
    for levels in range(1, 4):
        block = timing.time_encoding(NONE, images, 10, "cpu", levels)
        assert (block.new, block.wall_s) == (pytest.approx(1000), pytest.approx(0.00001))
        assert block.output == [bytes([20 * i + (levels if i < 7 else -levels)]) for i in range(10)]


def test_images_that_cost_more_by_themselves_are_no_sign_of_memory(images, clock, monkeypatch):
    def work(self, batch):
        clock.now += 0.003 + batch.mean() / 100
        return [b"x"] * len(batch)

    monkeypatch.setattr(CODECS.get("none"), "encode", work)
    assert timing.time_encoding(NONE, images, 10, "cpu", 5).new == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("ratios", "words"),
    [
        ((10.0, 9.0, 12.0, 11.0, 10.0), "remembers what it saw: decoding new images takes 9 times as long"),
        ((1.4,) * 5, ""),
        ((10.0, 1.2, 9.0, 9.0, 9.0), ""),  # one quiet round tells that it does not
        ((), ""),  # as an earlier version wrote it
    ],
)
def test_what_remembers_is_told_from_a_busy_machine(ratios, words):
    found = timing.Timing(1, (1.0,) * 5, (1.0,) * 5, 1, "cpu", encode_new=(1.1,) * 5, decode_new=ratios)
    assert found.remembered() == words


def test_slow_calls_are_made_once_a_block_and_warmed_up_on_a_few_images(images, slow):
    sizes = slow(5.0)
    assert timing.time_encoding(NONE, images, 10, "cpu").wall_s == pytest.approx(5.0)
    assert sizes == [10] * 3
    sizes = slow(1.0, batched=False)
    timing.time_encoding(NONE, images, 1, "cpu")
    assert sizes == [1] * (timing.WARM_IMAGES + 10 + 10)


@pytest.mark.parametrize(("batch", "expected"), [(10, {10}), (1, {1}), (4, {4, 2})])
def test_encoding_and_decoding_are_called_plainly_and_in_batches(images, slow, batch, expected):
    for take, items in ((timing.time_encoding, images), (timing.time_decoding, [b"x"] * 10)):
        sizes = slow(0.001)
        take(NONE, items, batch, "cpu")
        assert set(sizes) == expected


def test_the_first_call_of_a_process_is_cold_and_no_other(images, monkeypatch):
    monkeypatch.setattr(timing, "_worked", False)
    first = timing.first_encoding(NONE, FINGERPRINT, images, "cpu", 1, most_s=1.0)
    again = timing.first_encoding(NONE, FINGERPRINT, images, "cpu", 1, most_s=1.0)
    assert first.cold_s > 0
    assert again.cold_s is None
    assert len(first.output) == len(images)
    assert timing.first_decoding(NONE, FINGERPRINT, first.output, "cpu", 1).cold_s is None


def test_slow_codecs_are_timed_on_fewer_images(images, slow):
    slow(0.4)
    assert len(timing.first_encoding(NONE, FINGERPRINT, images, "cpu", 1, most_s=1.0).output) == 2
    assert len(timing.first_encoding(NONE, FINGERPRINT, images, "cpu", 1, most_s=0.1).output) == 1


def test_a_codec_that_was_edited_meanwhile_is_refused(images, monkeypatch):
    monkeypatch.setattr(timing, "_worked", False)
    with pytest.raises(ContractError, match="changed while the run went on"):
        timing.first_encoding(NONE, "another", images, "cpu", 1, most_s=1.0)
