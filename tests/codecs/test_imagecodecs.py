"""What is particular to each codec behind imagecodecs: other readers, faults of each library, and no library at all."""

from __future__ import annotations

import io
import sys
import types

import numpy as np
import pytest
from PIL import Image
from plugins import forget, temporary
from size_and_error import error, size

from codecbench.codecs.avif import Avif
from codecbench.errors import BitstreamError, PluginError, UnsupportedImageError
from codecbench.plugins.codec import Codec
from codecbench.plugins.registry import CODECS
from codecbench.testing import sample_images

imagecodecs = pytest.importorskip("imagecodecs")

GRAY, RGB = (28, 36, 1), (36, 28, 3)


def make(name: str, **settings) -> Codec:
    return CODECS.get(name)(**settings)


def test_without_the_library_or_its_part_the_plugin_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with temporary(CODECS):
        forget("qoi")
        with pytest.raises(PluginError, match=r"'qoi' cannot be imported .* pip install codecbench\[imagecodecs\]"):
            CODECS.get("qoi")
    assert not Avif.versions().keys() & {"imagecodecs", "libavif"}
    with pytest.raises(UnsupportedImageError, match=r"pip install codecbench\[imagecodecs\]"):
        Avif(mode="lossless").encode(sample_images(RGB))
    images = sample_images(GRAY)
    assert np.array_equal(Avif(mode="lossless").decode(Avif(mode="lossless").encode(images)), images)
    monkeypatch.setitem(sys.modules, "imagecodecs", imagecodecs)
    monkeypatch.setattr(imagecodecs, "QOI", types.SimpleNamespace(available=False))
    with temporary(CODECS):
        forget("qoi")
        with pytest.raises(PluginError, match=r"comes without QOI; pip install -U"):
            CODECS.get("qoi")


def test_pillow_reads_qoi_files_and_refused_are_those_of_other_channels_or_too_few_pixels():
    images = sample_images(RGB)
    for image, stream in zip(images, make("qoi").encode(images), strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(stream))), image)
    gray = sample_images(GRAY)
    for image, stream in zip(gray, make("qoi").encode(gray), strict=True):
        assert stream[:5] == b"Lqoif"
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(stream[1:]))), image.repeat(3, axis=2))
    with pytest.raises(BitstreamError, match="channels differ"):
        make("qoi").decode([b"L" + make("qoi").encode(images)[0]])
    black = make("qoi").encode(np.zeros((1, 62, 10, 3), np.uint8))[0]
    assert len(black) == 14 + 10 + 8  # ten runs of 62
    with pytest.raises(BitstreamError, match="too short for its 10×62 pixels"):
        make("qoi").decode([black[:20] + black[21:]])


@pytest.mark.parametrize("shape", [GRAY, RGB], ids=str)
@pytest.mark.parametrize("settings", [{"step": 0.004}, {"step": 0.05}, {"step": 0.3}, {"mode": "lossless"}], ids=str)
def test_openjpeg_reads_the_same_from_htj2k(shape, settings):
    """White beside black: where the quantised wavelet overshoots, OpenJPH alone would show black for white."""
    codec = make("htj2k", **settings)
    images = sample_images(shape)
    streams = codec.encode(images)
    read = np.stack([imagecodecs.jpeg2k_decode(stream).reshape(shape) for stream in streams])
    assert np.abs(codec.decode(streams).astype(int) - read).max() <= 1
    assert b"OpenJPH" not in b"".join(streams)


def test_htj2k_tells_what_imagecodecs_only_prints(capfd):
    stream = bytearray(make("htj2k", mode="lossless").encode(sample_images(RGB))[1])
    hooks = sys.unraisablehook, sys.excepthook
    refused = 0
    for position in range(stream.index(b"\xff\x93") + 2, len(stream) - 2, 60):
        damaged = bytes(stream[:position]) + b"\xff\xff\xff" + bytes(stream[position + 3 :])
        try:
            make("htj2k", mode="lossless").decode([damaged[:-2] + b"\xff\xd9"])
        except BitstreamError as refusal:
            refused += "ojph" in str(refusal)
    assert refused
    assert capfd.readouterr() == ("", "")
    assert hooks == (sys.unraisablehook, sys.excepthook)


@pytest.mark.parametrize("near", [0, 1, 7, 127])
def test_jpegls_errs_by_no_more_than_it_is_allowed(near):
    for shape in (GRAY, RGB, (1, 1, 3)):
        images = np.concatenate(
            [sample_images(shape), np.random.default_rng(1).integers(0, 256, (9, *shape), np.uint8)]
        )
        codec = make("jpegls", near=near)
        assert np.abs(codec.decode(codec.encode(images)).astype(int) - images).max() <= near


def test_jpegls_streams_are_what_charls_writes_without_its_spiff_header():
    for shape, channels in ((GRAY, 1), (RGB, 3)):
        for image, stream in zip(sample_images(shape), make("jpegls").encode(sample_images(shape)), strict=True):
            whole = imagecodecs.jpegls_encode(image.squeeze())
            assert len(whole) - len(stream) == 44
            assert np.array_equal(imagecodecs.jpegls_decode(stream), image.squeeze())
            scan = whole.index(b"\xff\xda") + 2 + 6 + 2 * channels
            assert whole[scan:] == stream[scan - 44 :]


def test_jpegls_takes_green_from_red_and_blue():
    light = sample_images((48, 48, 1))[1:2]
    photo = np.concatenate([light // 2 + 60, light // 2 + 80, light // 2 + 20], axis=3)
    plain, turned = make("jpegls"), make("jpegls", transform="hp1")
    assert size(turned, photo) < 0.7 * size(plain, photo)
    assert np.array_equal(imagecodecs.jpegls_decode(turned.encode(photo)[0]), photo[0])
    assert turned.encode(light) == plain.encode(light)
    assert make("jpegls", near=3, transform="hp1").encode(photo) == make("jpegls", near=3).encode(photo)


def test_jpegls_notices_damage_by_the_components_name():
    """CharLS 2.4 never comes back from some damaged streams."""
    stream = make("jpegls").encode(sample_images(GRAY))[0]
    start, noticed = stream.index(b"\xff\xda") + 10, 0
    positions = range(start, len(stream) - 2, 5)
    for position in positions:
        damaged = stream[:position] + bytes([stream[position] ^ 4]) + stream[position + 1 :]
        try:
            make("jpegls").container_bytes(damaged)
        except BitstreamError:
            noticed += 1
    assert noticed >= 0.96 * len(positions)


def test_jpegxr_hides_a_checksum_that_other_readers_skip():
    """jxrlib writes where it must not on some damaged codestreams."""
    for shape in (GRAY, RGB):
        image = sample_images(shape)[:1]
        stream, plain = make("jpegxr").encode(image)[0], imagecodecs.jpegxr_encode(image.squeeze(), level=0.75)
        assert stream[:24] + bytes(8) + stream[32:] == plain
        assert np.array_equal(imagecodecs.jpegxr_decode(stream), make("jpegxr").decode([stream])[0].squeeze())
        for position in range(0, len(stream), 13):
            damaged = stream[:position] + bytes([stream[position] ^ 1]) + stream[position + 1 :]
            with pytest.raises(BitstreamError):
                make("jpegxr").decode([damaged])
    (stream,) = make("jpegxr").encode(np.zeros((1, 3, 4081, 1), np.uint8))  # a header with four more bytes
    assert make("jpegxr").container_bytes(stream) == stream.index(b"WMPHOTO\0") + 20


def test_jpegxr_has_chroma_at_half_resolution_below_quality_50():
    hues = np.full((1, 32, 32, 3), 100, np.uint8)
    hues[:, :, ::2, 0] = hues[:, :, 1::2, 2] = 200
    assert error(make("jpegxr", quality=50), hues) < error(make("jpegxr", quality=49), hues) / 4
    with pytest.raises(UnsupportedImageError, match=r"more than 16 pixels a row at qualities below 50, not 5×16×3"):
        make("jpegxr", quality=49).encode(np.zeros((1, 5, 16, 3), np.uint8))
    assert make("jpegxr", quality=50).decode(make("jpegxr", quality=50).encode(hues[:, :5, :16])).shape == (1, 5, 16, 3)


def test_jxl_reads_every_size_in_its_header():
    sides = (1, 7, 8, 9, 64, 256, 264, 513, 600)
    ratios = ((12, 10), (24, 18), (27, 18), (32, 18), (50, 40), (16, 8))
    codec = make("jxl", mode="lossless", effort=1)
    for height, width in [*((a, b) for a in sides[:7] for b in sides), *((b, a) for a, b in ratios), (8200, 1)]:
        for channels in (1, 3):
            layout = codec.inspect(codec.encode(np.zeros((1, height, width, channels), np.uint8))[0])
            assert (layout.height, layout.width, layout.gray) == (height, width, channels == 1)


@pytest.mark.parametrize("mode", ["lossy", "lossless"])
@pytest.mark.parametrize("shape", [GRAY, RGB, (64, 64, 3)], ids=str)
def test_the_container_of_jxl_is_what_all_streams_of_a_shape_have_in_common(shape, mode):
    settings = ({"effort": 1}, {"effort": 4, "distance": 0.3}, {"effort": 7, "distance": 9.0})
    streams = [stream for some in settings for stream in make("jxl", mode=mode, **some).encode(sample_images(shape))]
    (count,) = {make("jxl").container_bytes(stream) for stream in streams}
    assert len({stream[:count] for stream in streams}) == 1
    assert len({stream[count : count + 8] for stream in streams}) > 3
    if shape == (64, 64, 3) and mode == "lossy":  # signature; a size of 9 bits; two bits that say: all as usual
        assert streams[0][:count] == b"\xff\x0a\x4f\x06"


def test_avif_codes_rgb_itself_in_lossless_mode():
    images = np.concatenate([sample_images(RGB), np.random.default_rng(3).integers(0, 256, (3, *RGB), np.uint8)])
    codec = Avif(mode="lossless")
    assert codec.lossless
    assert not Avif(quality=100).lossless
    assert error(Avif(quality=100, subsampling="4:4:4"), images) > 0
    streams = codec.encode(images)
    assert np.array_equal(codec.decode(streams), images)
    assert np.array_equal(np.stack([imagecodecs.avif_decode(stream) for stream in streams]), images)
    assert Avif(mode="lossless", quality=10, subsampling="4:2:0").encode(images) == streams
    assert Avif(mode="lossless").encode(images[..., :1]) == Avif(quality=100).encode(images[..., :1])
