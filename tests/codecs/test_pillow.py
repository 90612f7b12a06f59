"""What is particular to each of the formats behind Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import AvifImagePlugin, Image
from size_and_error import error, size

from codecbench.codecs.avif import Avif
from codecbench.codecs.jpeg import Jpeg
from codecbench.codecs.jpeg2000 import Jpeg2000
from codecbench.codecs.png import Png
from codecbench.codecs.webp import Webp
from codecbench.errors import BitstreamError
from codecbench.testing import sample_images

GRAY, RGB = (48, 40, 1), (48, 40, 3)


@pytest.mark.parametrize("make", [Jpeg, Avif])
def test_subsampling_blurs_colour_and_means_nothing_for_gray(make):
    hues = np.full((1, 32, 32, 3), 100, np.uint8)  # of one brightness; the hue changes from column to column
    hues[:, :, ::2, 0] = hues[:, :, 1::2, 2] = 200
    errors = [error(make(quality=90, subsampling=s), hues) for s in ("4:4:4", "4:2:2", "4:2:0")]
    assert errors[0] < min(errors[1:]) / 4
    images = sample_images(GRAY)
    assert make(subsampling="4:4:4").encode(images) == make(subsampling="4:2:0").encode(images)


# ---- JPEG: a walk of our own stands in for Pillow's parser ----------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"progressive": True},
        {"optimize": False, "quality": 100, "subsampling": "4:4:4"},
        {"subsampling": "4:2:2", "quality": 5},
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(28, 28, 1), (1, 1, 3), (17, 31, 3), (300, 270, 3)], ids=str)
def test_jpeg_decodes_what_pillow_decodes(shape, settings):
    codec = Jpeg(**settings)
    for stream in codec.encode(sample_images(shape)):
        with Image.open(io.BytesIO(stream)) as picture:
            expected = np.asarray(picture).reshape(shape)
        np.testing.assert_array_equal(codec.decode([stream])[0], expected)


def test_no_frame_of_another_kind_and_no_second_one_hides_from_the_walk():
    """libjpeg would write a wider image than the walk found into a buffer of the latter's size."""
    stream = Jpeg().encode(sample_images((16, 16, 3)))[0]
    frame, scan = stream.index(b"\xff\xc0"), stream.index(b"\xff\xda")
    wide = stream[frame : frame + 7] + b"\xff\xff" + stream[frame + 9 : frame + 19]
    # TEM has no length for libjpeg; fill bytes; a restart marker has none either; another start; arithmetic coding
    hidden = [start + wide for start in (b"\xff\x01", b"\xff\xff", b"\xff\xd0", b"\xff\xd8", b"")]
    for extra in (*hidden, b"\xff\xc9" + wide[2:]):
        for position in (2, frame, frame + 19, scan, len(stream) - 2):
            with pytest.raises(BitstreamError, match=r"marker segment|two frames|one after"):
                Jpeg().decode([stream[:position] + extra + stream[position:]])
    for offset, value, said in ((4, 12, "8 bits"), (9, 4, "RGB"), (9, 2, "RGB"), (9, 1, "RGB")):
        altered = bytearray(stream)
        altered[frame + offset] = value
        with pytest.raises(BitstreamError, match=f"neither gray nor .*{said}"):
            Jpeg().decode([bytes(altered)])
    with pytest.raises(BitstreamError, match="no image"):
        Jpeg().decode([stream[:frame] + stream[frame + 19 :]])


def test_jpeg_tables_made_for_the_image_save_bytes():
    images = sample_images((64, 64, 3))
    plain, optimised = Jpeg(optimize=False), Jpeg(optimize=True)
    assert size(optimised, images) < size(plain, images)
    assert np.array_equal(plain.decode(plain.encode(images)), optimised.decode(optimised.encode(images)))


def test_jpeg_counts_the_tables_between_progressive_scans():
    for stream in Jpeg(progressive=True).encode(sample_images(RGB)):
        assert b"\xff\xc2" in stream
        starts = [i for i in range(len(stream)) if stream[i : i + 2] == b"\xff\xda"]
        assert len(starts) > 3
        assert Jpeg().container_bytes(stream) > starts[0] + 10 * len(starts)


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_writes_large_noisy_images(progressive, capfd):
    noise = np.random.default_rng(0).integers(0, 256, (1, 300, 500, 3), np.uint8)
    codec = Jpeg(quality=100, subsampling="4:4:4", progressive=progressive)
    assert codec.decode(codec.encode(noise)).shape == noise.shape
    assert capfd.readouterr() == ("", "")


# ---- the others -----------------------------------------------------------------------------------------------------


def test_png_effort_and_strategy():
    images = sample_images((64, 64, 3))[:1]
    assert (
        size(Png(compress_level=9), images) < size(Png(compress_level=1), images) < size(Png(compress_level=0), images)
    )
    assert len({Png(strategy=name).encode(images)[0] for name in ("default", "huffman", "rle", "fixed")}) >= 3


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
    assert [stream[stream.index(b"av1C") + 6] & 0x10 for stream in (gray, rgb)] == [0x10, 0]
    assert Avif().decode([rgb]).shape == (1, *RGB)


def test_avif_uses_one_thread_and_leaves_pillows_default_alone():
    before = AvifImagePlugin.DEFAULT_MAX_THREADS
    Avif().decode(Avif().encode(sample_images((16, 16, 3))))
    assert before == AvifImagePlugin.DEFAULT_MAX_THREADS
    assert Avif().options(gray=False)["max_threads"] == 1


@pytest.mark.parametrize("shape", [GRAY, RGB])
def test_jpeg2000_reaches_the_decibels_asked_for_and_signs_with_one_letter(shape):
    images = sample_images(shape)[:1]
    for psnr in (30.0, 40.0):
        assert 10 * np.log10(255**2 / error(Jpeg2000(psnr=psnr), images)) == pytest.approx(psnr, abs=4)
    assert b"OpenJPEG" not in Jpeg2000().encode(images)[0]


def test_a_jp2_file_is_85_bytes_longer_than_its_codestream():
    for shape in (GRAY, RGB):
        bare, boxed = (Jpeg2000(container=kind).encode(sample_images(shape)) for kind in ("j2k", "jp2"))
        for inner, outer in zip(bare, boxed, strict=True):
            assert outer.endswith(inner)
            assert len(outer) - len(inner) == 85
            assert Jpeg2000().container_bytes(outer) == Jpeg2000().container_bytes(inner) + 85
        assert np.array_equal(Jpeg2000().decode(boxed), Jpeg2000().decode(bare))
