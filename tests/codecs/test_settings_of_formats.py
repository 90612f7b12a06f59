"""The settings of each format do what their names say."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from codecbench.codecs.avif import Avif
from codecbench.codecs.jpeg import Jpeg
from codecbench.codecs.jpeg2000 import Jpeg2000
from codecbench.codecs.png import Png
from codecbench.codecs.webp import Webp
from codecbench.testing import sample_images

GRAY, RGB = (48, 40, 1), (48, 40, 3)


def colourful() -> np.ndarray:
    """One RGB image of one brightness whose hue changes from column to column."""
    image = np.full((1, 32, 32, 3), 100, np.uint8)
    image[:, :, ::2, 0] = 200
    image[:, :, 1::2, 2] = 200
    return image


def size(codec, images) -> int:
    return sum(len(stream) for stream in codec.encode(images))


def error(codec, images) -> float:
    return float(np.mean((codec.decode(codec.encode(images)).astype(float) - images) ** 2))


@pytest.mark.parametrize("make", [Jpeg, Webp, Avif])
@pytest.mark.parametrize("shape", [GRAY, RGB])
def test_quality_costs_bytes_and_brings_fidelity(make, shape):
    images = sample_images(shape)[:2]
    low, high = make(quality=20), make(quality=90)
    assert size(low, images) < size(high, images)
    assert error(low, images) > error(high, images)


@pytest.mark.parametrize("shape", [GRAY, RGB])
def test_jpeg2000_reaches_the_decibels_asked_for(shape):
    images = sample_images(shape)[:1]
    for psnr in (30.0, 40.0):
        assert 10 * np.log10(255**2 / error(Jpeg2000(psnr=psnr), images)) == pytest.approx(psnr, abs=4)


@pytest.mark.parametrize("make", [Jpeg, Avif])
def test_subsampling_blurs_colour(make):
    errors = [error(make(quality=90, subsampling=s), colourful()) for s in ("4:4:4", "4:2:2", "4:2:0")]
    assert errors[0] < errors[1] / 4
    assert errors[0] < errors[2] / 4


@pytest.mark.parametrize("make", [Jpeg, Avif])
def test_subsampling_means_nothing_for_gray(make):
    images = sample_images(GRAY)
    assert make(subsampling="4:4:4").encode(images) == make(subsampling="4:2:0").encode(images)


def test_jpeg_tables_made_for_the_image_save_bytes():
    images = sample_images((64, 64, 3))
    plain, optimised = Jpeg(optimize=False), Jpeg(optimize=True)
    assert size(optimised, images) < size(plain, images)
    assert np.array_equal(plain.decode(plain.encode(images)), optimised.decode(optimised.encode(images)))
    assert b"\xff\xc2" in Jpeg(progressive=True).encode(images)[0]


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_writes_large_noisy_images(progressive, capfd):
    noise = np.random.default_rng(0).integers(0, 256, (1, 300, 500, 3), np.uint8)
    codec = Jpeg(quality=100, subsampling="4:4:4", progressive=progressive)
    assert codec.decode(codec.encode(noise)).shape == noise.shape
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shape", [GRAY, RGB, (1, 1, 1), (1, 1, 3), (3, 5, 3), (129, 2, 1)])
@pytest.mark.parametrize(
    "codec",
    [Png(), Png(compress_level=0), Png(strategy="fixed"), Webp(mode="lossless"), Webp(mode="lossless", quality=0),
     Jpeg2000(mode="lossless"), Jpeg2000(mode="lossless", container="jp2")],
    ids=lambda codec: str(codec.spec),
)  # fmt: skip
def test_lossless_is_exact(codec, shape):
    rng = np.random.default_rng(5)
    images = np.concatenate([sample_images(shape), rng.integers(0, 256, (10, *shape), np.uint8)])
    assert codec.lossless
    assert np.array_equal(codec.decode(codec.encode(images)), images)


@pytest.mark.parametrize("codec", [Jpeg(quality=100), Webp(quality=100), Avif(quality=100), Jpeg2000(psnr=100.0)])
def test_the_best_lossy_quality_is_not_called_lossless(codec):
    assert not codec.lossless


def test_png_effort():
    images = sample_images((64, 64, 3))[:1]
    assert size(Png(compress_level=9), images) < size(Png(compress_level=1), images)
    assert size(Png(compress_level=1), images) < size(Png(compress_level=0), images)
    assert len({Png(strategy=s).encode(images)[0] for s in ("default", "huffman", "rle", "fixed")}) >= 3


def test_webp_marks_gray_with_one_byte_before_a_valid_file():
    images = sample_images(GRAY)
    for codec in (Webp(), Webp(mode="lossless")):
        gray, rgb = codec.encode(images), codec.encode(images.repeat(3, axis=3))
        assert gray == [b"L" + stream for stream in rgb]
        assert codec.decode(gray).shape == images.shape
        assert codec.decode(rgb).shape == (*images.shape[:3], 3)
        assert Image.open(io.BytesIO(gray[0][1:])).format == "WEBP"


def test_avif_stores_gray_as_monochrome():
    gray = Avif().encode(sample_images(GRAY))[0]
    rgb = Avif().encode(sample_images(GRAY).repeat(3, axis=3))[0]
    assert len(gray) < len(rgb)
    flags = [stream[stream.index(b"av1C") + 6] & 0x10 for stream in (gray, rgb)]
    assert flags == [0x10, 0]
    assert Avif().decode([rgb]).shape == (1, *RGB)


def test_a_gray_avif_that_pillow_opens_as_colour(monkeypatch):
    images = sample_images(GRAY)
    streams, codec = Avif().encode(images), Avif()
    expected = codec.decode(streams)
    load = Avif.plugin.load

    def load_as_colour(picture):
        load(picture)
        if picture.mode == "L":
            picture.im, picture._mode = picture.im.convert("RGB", 0), "RGB"

    monkeypatch.setattr(Avif.plugin, "load", load_as_colour)
    assert np.array_equal(codec.decode(streams), expected)


def test_avif_uses_one_thread_and_leaves_pillows_default_alone():
    from PIL import AvifImagePlugin

    before = AvifImagePlugin.DEFAULT_MAX_THREADS
    Avif().decode(Avif().encode(sample_images((16, 16, 3))))
    assert before == AvifImagePlugin.DEFAULT_MAX_THREADS
    assert Avif().options(gray=False)["max_threads"] == 1


def test_jpeg2000_signs_with_one_letter():
    for stream in Jpeg2000().encode(sample_images(RGB)):
        assert b"OpenJPEG" not in stream
