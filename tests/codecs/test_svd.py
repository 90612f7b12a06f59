"""Singular value decomposition: the payload's exact form, all ranks, and hostile factors."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from codecbench.codecs.svd import Svd
from codecbench.errors import BitstreamError, SettingError, UnsupportedImageError
from codecbench.testing import sample_images


@pytest.mark.parametrize("shape", [(28, 28, 1), (64, 64, 3), (5, 200, 3)], ids=str)
@pytest.mark.parametrize("rank", [0, 1, 5])
def test_the_payload_is_exactly_the_factors(shape, rank):
    height, width, channels = shape
    header = 3 if max(shape) < 128 else 4
    for stream in Svd(rank=rank).encode(sample_images(shape)):
        assert len(stream) == header + 4 * channels * rank * (height + width + 1)
        assert Svd(rank=rank).container_bytes(stream) == header


def test_streams_written_by_hand():
    stream = b"\x02\x03\x01" + struct.pack("<6f", 0.5, 1.0, 0.8, 1.0, 0.5, 0.25)  # U (2), s (1), V (3)
    floats = Svd(rank=1).decode_float([stream])
    np.testing.assert_allclose(floats[0, :, :, 0], [[0.4, 0.2, 0.1], [0.8, 0.4, 0.2]], rtol=1e-6)
    assert Svd(rank=1).decode([stream])[0, :, :, 0].tolist() == [[102, 51, 26], [204, 102, 51]]
    u, s, v = [[1, 0], [0, 1]], [0.5, 0.25], [[0, 1], [1, 0]]  # row by row; channels one after the other
    channel = struct.pack("<10f", *u[0], *u[1], *s, *v[0], *v[1])
    floats = Svd(rank=2).decode_float([b"\x02\x02\x03" + channel + bytes(40) + channel])
    assert floats[0].transpose(2, 0, 1).tolist() == [[[0, 0.5], [0.25, 0]], [[0, 0], [0, 0]], [[0, 0.5], [0.25, 0]]]


def test_the_streams_bytes_multiply_out_to_the_best_approximation():
    images = sample_images((20, 30, 3))
    u, s, vt = np.linalg.svd(images.transpose(0, 3, 1, 2) / 255, full_matrices=False)
    best = (u[..., :4] * s[..., None, :4]) @ vt[..., :4, :]
    codec = Svd(rank=4)
    np.testing.assert_allclose(codec.decode_float(codec.encode(images)), best.transpose(0, 2, 3, 1), atol=2e-5)


def test_the_full_rank_restores_every_pixel_and_rank_0_is_black():
    images = sample_images((28, 28, 1))
    assert np.array_equal(Svd(rank=28).decode(Svd(rank=28).encode(images)), images)
    streams = Svd(rank=0).encode(sample_images((7, 9, 3)))
    assert set(streams) == {b"\x07\x09\x03"}
    assert not Svd(rank=0).decode(streams).any()


def test_all_ranks_are_swept():
    assert Svd.default_points((28, 28, 1)) == [{"rank": rank} for rank in range(29)]
    assert len(Svd.default_points((64, 64, 3))) == 65
    ranks = [point["rank"] for point in Svd.default_points((768, 512, 3))]
    assert (ranks[0], ranks[1], ranks[-1]) == (0, 1, 512)
    assert ranks == sorted(set(ranks))
    assert len(ranks) < 50


def test_ranks_that_an_image_does_not_have_and_values_or_products_that_are_not_finite():
    with pytest.raises(UnsupportedImageError, match="rank 29 is above the full rank 28 of 28×28×1"):
        Svd(rank=29).encode(sample_images((28, 28, 1)))
    with pytest.raises(BitstreamError, match="no rank 3"):
        Svd(rank=3).decode([b"\x02\x02\x01" + bytes(4 * 3 * 5)])
    with pytest.raises(SettingError, match="0 or more"):
        Svd(rank=-1)
    for values in ((1, float("nan"), 1), (1, float("inf"), 1), (1e30, 1e30, 1e30)):
        with pytest.raises(BitstreamError, match="finite"):
            Svd(rank=1).decode([b"\x01\x01\x01" + struct.pack("<3f", *values)])


def test_the_bytes_do_not_depend_on_the_slices_that_a_cpu_takes(monkeypatch):
    images = np.concatenate([sample_images((28, 28, 3), seed) for seed in range(3)])
    codec = Svd(rank=6)
    streams = codec.encode(images)
    decoded = codec.decode_float(streams)
    monkeypatch.setattr("codecbench.codecs.svd.SLICE_SAMPLES", 28 * 28 * 3 * 7)
    assert codec.encode(images) == streams
    assert np.array_equal(codec.decode_float(streams), decoded)
