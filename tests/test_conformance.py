"""Every registered codec passes the conformance kit; one whose plugin cannot be imported fails it."""

from __future__ import annotations

from functools import cache

import pytest

from codecbench.errors import BitstreamError
from codecbench.plugins.codec import Codec
from codecbench.plugins.registry import CODECS
from codecbench.plugins.settings import Value
from codecbench.testing import CHECKS, SHAPES, check_truncation, run_check, sample_images, taken_shapes
from codecbench.testing.suite import Check, Subject

NAMES = CODECS.names()
SAMPLE = 112  # damaged streams a point in the plain tests, as the seed decides

# Beside the default, the first, the middle and the last of the default sweep.
MORE_POINTS: dict[str, list[dict[str, Value]]] = {
    "jpeg": [{"subsampling": "4:4:4", "optimize": False}, {"subsampling": "4:2:2", "progressive": True}],
    "png": [{"compress_level": 0, "strategy": "rle"}, {"strategy": "fixed"}],
    "webp": [
        {"mode": "lossless", "quality": 100, "method": 6},
        {"mode": "lossless", "quality": 0},
        {"quality": 0, "method": 0},
    ],
    "jxl": [{"mode": "lossless", "effort": 1}],
    "jpegls": [{"transform": "hp1"}],
    "htj2k": [{"mode": "lossless", "decompositions": 1}],
    "avif": [{"subsampling": "4:4:4", "speed": 10}, {"subsampling": "4:2:2", "quality": 100}],
    "jpeg2000": [{"container": "jp2"}, {"container": "jp2", "mode": "lossless"}],
    "rd_ae": [{"shape": "64x64x3"}, {"checksum": True}],
    "stl10_ae": [{"latent": "float16"}, {"latent": "float32"}, {"latent": "float64"}],
}


# Codecs whose every pixel is a network's work: one point, few shapes and streams in the plain tests, more in slow ones.
SLOW = ("ar_lossless", "gan_ae", "rd_ae", "res_lossless")
LONG = ("determinism", "batches")
FEW_SHAPES = ((28, 28, 1), (17, 31, 3), (1, 1, 3))


@cache
def codecs(name: str) -> tuple[Codec, ...]:
    cls = CODECS.get(name)
    sweep = cls.default_points(taken_shapes(cls())[0])
    points = [{}, sweep[0], sweep[len(sweep) // 2], sweep[-1], *MORE_POINTS.get(name, [])]
    return tuple(dict.fromkeys(cls(**point) for point in points))


every_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)


def passes(check: Check, subjects: list[Subject]) -> None:
    one = check.once or check.name == "fresh process"  # another process takes seconds to begin
    results = [run_check(check, subject) for subject in subjects[: 1 if one else None]]
    for result in results:
        assert result.result not in ("failed", "warning"), f"{result.point}: {result.reason}"
    if all(result.result == "skipped" for result in results):
        pytest.skip(results[0].reason)


# Small networks of the slow codecs are compared over batches in tests/codecs/test_learned_codecs.py.
PLAIN = [(name, check) for name in NAMES for check in CHECKS if name not in SLOW or check.name not in LONG]


@pytest.mark.parametrize(("name", "check"), PLAIN, ids=[f"{name}-{check.name}" for name, check in PLAIN])
def test_every_check(name, check):
    if name not in SLOW:
        passes(check, [Subject(codec, SHAPES, 0, SAMPLE) for codec in codecs(name)])
        return
    subject = Subject(codecs(name)[0], FEW_SHAPES, 0, SAMPLE // 8)
    if check.name == "cut streams":
        check_truncation(subject.codec, subject.taken[0], cuts=0)  # at both ends alone
    else:
        passes(check, [subject])


@pytest.mark.slow
@every_check
@pytest.mark.parametrize("name", SLOW)
def test_every_check_of_slow_codecs_in_full(name, check):
    passes(check, [Subject(codec, SHAPES, 0, SAMPLE) for codec in codecs(name)])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SLOW])
def test_images_need_not_be_contiguous_and_streams_of_a_batch_have_one_shape(name):
    codec = codecs(name)[0]
    first, *others = taken_shapes(codec)
    height, width, channels = first
    view = sample_images((2 * height, 2 * width, channels))[:, ::2, ::-2]
    streams = codec.encode(view)
    assert streams == codec.encode(view.copy())
    if others:
        with pytest.raises(BitstreamError, match="different shapes"):
            codec.decode([streams[0], codec.encode(sample_images(others[0]))[0]])
