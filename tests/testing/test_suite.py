"""The checks in one's own process: what they raise and return, and the damages and limits that they work with."""

from __future__ import annotations

import sys
import zlib
from dataclasses import dataclass
from unittest import mock

import numpy as np
import pytest

import codecbench as cb
from codecbench.testing import (
    CHECKS,
    CheckFailed,
    check_codec,
    check_devices,
    check_rate,
    damages,
    decode_doubtful,
    processes,
    sample_images,
    taken_shapes,
)
from codecbench.testing.damage import asked_for_too_much, memory_limit


def test_check_codec_returns_how_every_check_ended():
    results = check_codec(cb.open_codec("none"), damages=20)
    assert [result.check for result in results] == [check.name for check in CHECKS]
    assert {result.result for result in results} == {"passed", "not applicable"}
    assert {result.point for result in results} == {"none"}


def test_check_codec_names_the_codec_and_every_failed_check(mine):
    with pytest.raises(CheckFailed) as failure:
        check_codec(mine(restore="image = image ^ 1", encode="print('noise')"), damages=20)
    assert isinstance(failure.value, AssertionError)
    first, *lines = str(failure.value).splitlines()
    assert first == f"mine:level=0 fails 3 of {len(CHECKS)} checks"
    assert [line.partition(":")[0] for line in lines] == ["lossless", "silence", "fresh process"]


def test_check_codec_takes_shapes_of_ones_own():
    assert taken_shapes(cb.open_codec("none"), [(96, 96, 3)]) == [(96, 96, 3)]
    assert taken_shapes(cb.open_codec("lossy_ae"), [(8, 8, 1)]) == [(28, 28, 1)], "the codec's image_shape"
    with pytest.raises(CheckFailed, match="none of the shapes 8×8×2; a codec of one other shape says image_shape"):
        taken_shapes(cb.open_codec("none"), [(8, 8, 2)])


def test_the_reason_of_an_exception_says_where_it_was_raised(mine):
    with pytest.raises(CheckFailed, match="types: 17×31×3: decode: AssertionError: seventeen"):
        check_codec(mine(restore="assert image.shape != (17, 31, 3), 'seventeen'"), damages=0)


def test_damages_and_sample_images_follow_from_their_seed():
    streams = [bytes(range(200)), b"abc" * 50, b"x"]
    made = list(damages(streams, seed=4, trials=500))
    assert made == list(damages(streams, seed=4, trials=500))
    assert made != list(damages(streams, seed=5, trials=500))
    assert len(made) == 500
    assert sum(damaged in streams for damaged in made) < 100, "few are as they were"
    lengths = {len(damaged) for damaged in made if damaged not in streams}
    assert {0, 1} & lengths
    assert any(length > 200 for length in lengths)
    assert any(1 < length < 150 for length in lengths)
    one, again, other = (sample_images((17, 31, 3), seed) for seed in (3, 3, 4))
    assert (one.shape, one.dtype) == ((5, 17, 31, 3), np.uint8)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def decoder(image):
    """Decodes everything to an image, or raises the exception."""
    return mock.Mock(**{"decode.side_effect": [image]})


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((1, 4, 4, 2), np.uint8), "decodes to an image of 4×4×2"),
        (np.zeros((1, 0, 4, 1), np.uint8), "decodes to an image of 0×4×1"),
        (np.broadcast_to(np.uint8(0), (1, 1 << 13, 1 << 13, 3)), "decodes to an image of 8192×8192×3"),
        (np.zeros((2, 4, 4, 1), np.uint8), "returns the shape (2, 4, 4, 1), not (1, 4, 4, 1)"),
        (np.zeros((1, 4, 4, 1), np.int16), "returns int16, not uint8"),
        (np.zeros((4, 4), np.uint8), "decodes to ndarray of the shape (4, 4)"),
        (None, "decodes to NoneType of the shape ()"),
        (zlib.error("incorrect header check"), "error: incorrect header check, not BitstreamError"),
    ],
)
def test_what_a_doubtful_stream_must_not_decode_to(image, words):
    with pytest.raises(CheckFailed) as failure:
        decode_doubtful(decoder(image), b"", "here")
    assert str(failure.value).startswith("here")
    assert words in str(failure.value)


def test_a_doubtful_stream_may_be_refused_or_decode_to_an_image():
    image = np.zeros((1, 4, 4, 1), np.uint8)
    assert decode_doubtful(decoder(image), b"", "") is image
    assert decode_doubtful(decoder(cb.BitstreamError("no stream")), b"", "") is None


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
def test_memory_is_bounded_and_given_back():
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    with memory_limit(1 << 30):
        np.empty(1 << 28, np.uint8)
        with pytest.raises(MemoryError), memory_limit(1 << 33):  # the narrower limit stays
            np.empty(1 << 32, np.uint8)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_refused_memory_is_seen_behind_other_exceptions():
    behind = cb.BitstreamError("large")
    behind.__cause__ = ValueError("larger")
    assert asked_for_too_much(behind) is False
    behind.__cause__.__context__ = MemoryError()
    assert asked_for_too_much(behind) is True
    assert asked_for_too_much(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")) is True
    assert asked_for_too_much(None) is False


@dataclass(frozen=True)
class OnDevices(cb.PerImageCodec):
    """Says in its stream where it was encoded."""

    uses_device = True
    name = "on_devices"
    apart: int = cb.setting(0)

    def encode_image(self, image):
        return bytes([self.device == "cuda", *image.shape]) + image.tobytes()

    def decode_image(self, stream):
        image = np.frombuffer(stream, np.uint8, offset=4).reshape(tuple(stream[1:4]))
        return image if stream[0] == (self.device == "cuda") else image // (self.apart + 1)


def test_devices_are_compared_where_there_is_a_gpu_and_skipped_visibly_elsewhere(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    finding = check_devices(OnDevices(), (8, 8, 1))
    assert (finding.result, finding.reason) == ("skipped", "no GPU: CUDA_VISIBLE_DEVICES is empty")
    assert check_devices(cb.open_codec("none"), (8, 8, 1)).result == "not applicable"
    monkeypatch.setattr(processes, "_no_gpu", lambda: "")
    assert check_devices(OnDevices(), (8, 8, 1)) is None
    with pytest.raises(CheckFailed, match="8×8×1: what cpu encodes, cuda decodes to other images: by 128 levels"):
        check_devices(OnDevices(apart=1), (8, 8, 1))


def test_the_rate_is_followed_along_one_setting_with_the_others_held():
    assert check_rate(cb.open_codec("jpeg"), (64, 64, 3)) is None
    assert check_rate(cb.open_codec("jpeg2000"), (64, 64, 3)) is None  # ten lossy points, and a lossless one apart
    assert check_rate(cb.open_codec("none"), (64, 64, 3)).result == "not applicable"
