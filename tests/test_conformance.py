"""Every codec on the shelf passes the conformance suite; one whose plugin cannot be imported fails it."""

from __future__ import annotations

from functools import cache

import pytest
from conformance import (
    SHAPES,
    check_damage,
    check_fresh_process,
    check_round_trip,
    check_settings,
    check_truncation,
    taken_shapes,
)

from codecbench.codec import Codec
from codecbench.registry import CODECS
from codecbench.settings import Value

NAMES = CODECS.names()

# Beside the default, the first, the middle and the last of the default sweep.
MORE_POINTS: dict[str, list[dict[str, Value]]] = {
    "jpeg": [{"subsampling": "4:4:4", "optimize": False}, {"subsampling": "4:2:2", "progressive": True}],
    "png": [{"compress_level": 0, "strategy": "rle"}],
    "webp": [{"mode": "lossless", "quality": 100, "method": 6}, {"quality": 0, "method": 0}],
    "avif": [{"subsampling": "4:4:4", "speed": 10}, {"subsampling": "4:2:2", "quality": 100}],
    "jpeg2000": [{"container": "jp2"}, {"container": "jp2", "mode": "lossless"}],
    "stl10_ae": [{"latent": "float16"}, {"latent": "float32"}, {"latent": "float64"}],
}


@cache
def codecs(name: str) -> tuple[Codec, ...]:
    cls = CODECS.get(name)
    shape = taken_shapes(cls())[0]
    sweep = cls.default_points(shape)
    points = [{}, sweep[0], sweep[len(sweep) // 2], sweep[-1], *MORE_POINTS.get(name, [])]
    return tuple(dict.fromkeys(cls(**point) for point in points))


@pytest.fixture(params=NAMES)
def points(request: pytest.FixtureRequest) -> tuple[Codec, ...]:
    return codecs(request.param)


def test_settings_rebuild_the_codec(points):
    for codec in points:
        check_settings(codec)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_round_trip(points, shape):
    taken = [codec for codec in points if shape in taken_shapes(codec)]
    for codec in taken:
        check_round_trip(codec, shape)


def test_streams_cut_short(points):
    for codec in points:
        for shape in taken_shapes(codec)[:4]:
            check_truncation(codec, shape)


@pytest.mark.parametrize("seed", [0, 1])
def test_damaged_streams(points, seed):
    for codec in points:
        for shape in taken_shapes(codec)[:2]:
            check_damage(codec, shape, seed, trials=56)


@pytest.mark.slow
def test_many_damaged_streams(points):
    for codec in points:
        for shape in taken_shapes(codec)[:3]:
            check_damage(codec, shape, seed=2, trials=800)


@pytest.mark.parametrize("name", NAMES)
def test_decodes_in_a_fresh_process(name):
    codec = codecs(name)[0]
    check_fresh_process(codec, taken_shapes(codec)[0])


@pytest.mark.parametrize("name", NAMES)
def test_versions_and_weights_are_told(name):
    cls = CODECS.get(name)
    assert all(isinstance(key, str) and value for key, value in cls.versions().items())
    assert all(isinstance(path, str) for path in cls.weight_files())
