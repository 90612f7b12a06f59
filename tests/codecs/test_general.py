"""Raw bytes and general-purpose compressors: what they leave out of their formats, bounded decoding, set mode."""

from __future__ import annotations

import bz2
import lzma
import zlib

import brotli
import numpy as np
import pytest
import zstandard

import codecbench as cb
from codecbench.codecs import ppmd
from codecbench.codecs._shape import unpack_shape
from codecbench.plugins.registry import CODECS
from codecbench.plugins.varint import pack_numbers
from codecbench.testing import check_damage, sample_images

NAMES = ("deflate", "zstd", "brotli", "lzma", "bz2", "ppmd")
SHAPE = (17, 31, 3)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


# ---- the base of all: the shape, and raw bytes ----------------------------------------------------------------------


def test_a_raw_stream_is_the_shape_and_the_samples():
    image = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    codec = cb.open_codec("none")
    assert codec.encode(image[None]) == [b"\x01\x02\x03\x01\x02\x03\x04\x05\x06"]
    decoded = codec.decode(codec.encode(image[None]))
    assert np.array_equal(decoded[0], image)
    decoded[:] = 0  # decoded images can be written to
    for shape, header in (((28, 28, 1), "1c1c01"), ((127, 128, 3), "7f800103"), ((1, 1 << 25, 1), "018080801001")):
        assert pack_numbers(shape).hex() == header
        assert unpack_shape(bytes.fromhex(header) + b"rest", "x") == (shape, len(header) // 2)


def test_shape_headers_that_no_codec_writes():
    for header in ("", "1c", "1c1c", "000101", "010001", "010102", "ff" * 9, "ffffff7fffffff7f03"):
        with pytest.raises(cb.BitstreamError):
            unpack_shape(bytes.fromhex(header), "x")


# ---- one image a stream ---------------------------------------------------------------------------------------------


def test_the_sweep_has_levels_and_one_filter_and_sets_the_strongest_of_each(name):
    cls = CODECS.get(name)
    points = cls.default_points(SHAPE)
    assert 2 <= len(points) <= 4
    assert [point["filter"] for point in points] == ["none"] * (len(points) - 1) + ["adaptive"]
    assert points[-1] == points[-2] | {"filter": "adaptive"}
    strongest = cls.set_points(SHAPE)
    assert [point["filter"] for point in strongest] == ["none", "adaptive"]
    images = np.concatenate([sample_images(SHAPE, seed) for seed in range(4)])[:, :, :, :1]
    sizes = [len(cls(**point).encode_set(images)) for point in (strongest[0], *points[:-1])]
    assert sizes[0] <= min(sizes) * 1.02


def foreign(name, data):
    """What other tools write for a string of bytes, and what of it the codec leaves out at the front."""
    if name == "deflate":
        packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
        return packer.compress(data) + packer.flush(), b""
    if name == "zstd":
        params = zstandard.ZstdCompressionParameters.from_level(3, source_size=len(data), write_content_size=0)
        return zstandard.ZstdCompressor(compression_params=params).compress(data), b"\x28\xb5\x2f\xfd\x00"
    if name == "brotli":
        return brotli.compress(data, quality=9, lgwin=16), b""
    if name == "bz2":
        return bz2.compress(data), b"BZh9"
    chain = [{"id": lzma.FILTER_LZMA1, "preset": 6, "dict_size": 1 << 12}]
    return lzma.compress(data, lzma.FORMAT_RAW, filters=chain), b"\0"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ppmd"])
def test_a_stream_is_the_shape_and_what_the_format_is_made_of(name):
    image = sample_images(SHAPE)[2]
    codec = cb.open_codec({"deflate": "deflate:level=9"}.get(name, name))
    packed, left_out = foreign(name, image.tobytes())
    assert packed.startswith(left_out)
    assert codec.encode(image[None]) == [pack_numbers(SHAPE) + packed.removeprefix(left_out)]


def test_the_container_is_the_shape_and_the_formats_framing(name):
    codec = cb.open_codec(name)
    framing = {"ppmd": 2, "bz2": 20, "zstd": 1 + 3}.get(name, 0)
    for stream in codec.encode(sample_images(SHAPE)):
        assert codec.container_bytes(stream) == 3 + framing
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    if name == "zstd":
        (stream,) = codec.encode(noise[None])
        assert codec.container_bytes(stream) == len(stream) - noise.size == 5 + 1 + 3 * 4  # blocks of 128 KiB at most


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ppmd"])
def test_a_stream_longer_than_the_shape_is_refused_unread(name, monkeypatch):
    """A stream of a 3×3 image that would decompress to 5 MB."""
    codec = cb.open_codec(name)
    packed = codec.compress(bytes(5_000_000))
    longest = 0
    decompress = type(codec).decompress

    def watched(self, packed, size):
        nonlocal longest
        data = decompress(self, packed, size)
        longest = max(longest, len(data))
        return data

    monkeypatch.setattr(type(codec), "decompress", watched)
    with pytest.raises(cb.BitstreamError):
        codec.decode([pack_numbers((3, 3, 1)) + packed])
    with pytest.raises(cb.BitstreamError):
        codec.decode_set(pack_numbers((1, 3, 3, 1)) + packed)
    assert longest < 100_000


@pytest.mark.parametrize("size", [511, 512, 513, 70_000])
def test_ppmd_restores_what_its_library_alone_does_not(size):
    codec = cb.open_codec("ppmd:order=16,memory_mb=1")
    data = np.random.default_rng(size).integers(0, 200, size, dtype=np.uint8).tobytes() + bytes(size)
    assert codec.decompress(codec.compress(data), len(data)) == data


def test_ppmd_survives_damage_behind_a_right_checksum():
    codec = cb.open_codec("ppmd")

    def mend(stream):
        if stream[:3] != pack_numbers((12, 9, 3)):
            return stream
        return stream[:3] + ppmd.checksum(stream[5:], 12 * 9 * 3) + stream[5:]

    check_damage(codec, (12, 9, 3), trials=200, mend=mend)


# ---- set mode -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["zstd", "brotli", "lzma", "bz2", "ppmd"])
def test_images_of_a_set_learn_from_each_other(name):
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 1), dtype=np.uint8)
    codec = cb.open_codec(name)
    alone = len(codec.encode(image[None])[0])
    assert len(codec.encode_set(np.stack([image] * 6))) < 2 * alone


def test_sets_too_large_and_headers_that_no_codec_writes_are_refused(name):
    codec = cb.open_codec(name)
    for header in ((0, 4, 4, 1), (1, 4, 4, 2), (1, 0, 4, 1), (1 << 20, 1 << 8, 1 << 8, 3), (1, 1 << 14, 1 << 14, 1)):
        with pytest.raises(cb.BitstreamError, match="header claims"):
            codec.decode_set(pack_numbers(header) + b"rest")
    images = np.broadcast_to(np.uint8(0), (1 << 10, 1 << 9, 1 << 10, 1))
    with pytest.raises(cb.UnsupportedImageError, match="at most 268,435,456 samples"):
        codec.encode_set(images)
