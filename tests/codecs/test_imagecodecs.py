"""The codecs behind imagecodecs: other readers, forged headers, what each library gets wrong, and no library at all."""

from __future__ import annotations

import io
import struct
import sys
import types

import numpy as np
import pytest
from PIL import Image

from codecbench.codecs.avif import Avif
from codecbench.errors import BitstreamError, PluginError, UnsupportedImageError
from codecbench.plugins import registry
from codecbench.plugins.codec import Codec
from codecbench.plugins.registry import CODECS
from codecbench.testing import SHAPES, sample_images

imagecodecs = pytest.importorskip("imagecodecs")

FORMATS = ("jxl", "jpegls", "qoi", "htj2k", "jpegxr")
LIBRARY = {"jxl": "libjxl", "jpegls": "charls", "qoi": "qoi", "htj2k": "openjph", "jpegxr": "jxrlib"}
EXACT = {
    "jxl": [{"mode": "lossless"}, {"mode": "lossless", "effort": 1}],
    "jpegls": [{}, {"transform": "hp1"}],
    "qoi": [{}],
    "htj2k": [{"mode": "lossless"}, {"mode": "lossless", "decompositions": 1}],
    "jpegxr": [{"mode": "lossless"}],
}
GRAY, RGB = (28, 36, 1), (36, 28, 3)


def make(name: str, **settings) -> Codec:
    return CODECS.get(name)(**settings)


def size(codec, images) -> int:
    return sum(len(stream) for stream in codec.encode(images))


def error(codec, images) -> float:
    return float(np.mean((codec.decode(codec.encode(images)).astype(float) - images) ** 2))


@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
@pytest.mark.parametrize("name", FORMATS)
def test_lossless_is_exact(name, shape):
    images = np.concatenate([sample_images(shape), np.random.default_rng(5).integers(0, 256, (6, *shape), np.uint8)])
    for settings in EXACT[name]:
        codec = make(name, **settings)
        assert codec.lossless
        assert np.array_equal(codec.decode(codec.encode(images)), images)


@pytest.mark.parametrize("name", FORMATS)
def test_default_points_are_a_curve_and_then_lossless_points(name):
    points = CODECS.get(name).default_points((64, 64, 1))
    assert len({make(name, **point) for point in points}) == len(points)
    exact = 2 if name == "jxl" else 1
    assert [make(name, **point).lossless for point in points] == [False] * (len(points) - exact) + [True] * exact
    assert len(points) == 1 if name == "qoi" else 9 <= len(points) <= 13
    more = [point for point in CODECS.get(name).default_points((64, 64, 3)) if point not in points]
    assert more == ([{"near": 0, "transform": "hp1"}] if name == "jpegls" else [])


@pytest.mark.parametrize("shape", [GRAY, RGB], ids=str)
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("jxl", {"distance": 8.0}, {"distance": 0.5}),
        ("jpegls", {"near": 20}, {"near": 2}),
        ("htj2k", {"step": 0.2}, {"step": 0.01}),
        ("jpegxr", {"quality": 20}, {"quality": 90}),
    ],
)
def test_quality_costs_bytes_and_brings_fidelity(name, low, high, shape):
    images = sample_images(shape)[:2]
    assert size(make(name, **low), images) < size(make(name, **high), images)
    assert error(make(name, **low), images) > error(make(name, **high), images)
    assert not make(name, **high).lossless


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_decodes_anothers_streams(name):
    others = [make(other) for other in ("jpeg", "png", "webp", "avif", "jpeg2000", *FORMATS)]
    for shape in (GRAY, RGB):
        streams = {codec.name: codec.encode(sample_images(shape)[:1])[0] for codec in others}
        for other, stream in streams.items():
            if other == name:
                assert make(name).decode([stream]).shape == (1, *shape)
                continue
            with pytest.raises(BitstreamError, match=f"^{name}: "):
                make(name).decode([stream])
            with pytest.raises(BitstreamError, match=f"^{other}: "):
                make(other).decode([streams[name]])


@pytest.mark.parametrize("name", FORMATS)
def test_streams_cut_short_and_bytes_behind_the_end(name):
    for shape in (GRAY, RGB):
        stream = make(name).encode(sample_images(shape))[0]
        for end in range(0, len(stream), 1 + len(stream) // 40):
            with pytest.raises(BitstreamError):
                make(name).decode([stream[:end]])
        for tail in (b"\0", b"garbage") if name != "jxl" else ():  # its codestream does not tell its length
            with pytest.raises(BitstreamError):
                make(name).decode([stream + tail])


def forged(name: str) -> bytes:
    """A small stream whose header claims far more pixels than there may be."""
    stream = bytearray(make(name).encode(sample_images((16, 32, 3)))[0])
    if name == "jxl":  # a small image becomes one whose sides take 30 bits each
        stream[2:12] = (3 << 1 | (1 << 28) << 3 | 3 << 36 | (1 << 28) << 38 | 1 << 68 | 1 << 69).to_bytes(10, "little")
    elif name == "jpegls":
        at = stream.index(b"\xff\xf7") + 5
        stream[at : at + 4] = struct.pack(">HH", 65535, 65535)
    elif name == "qoi":
        stream[4:12] = struct.pack(">II", 1 << 15, 1 << 15)
    elif name == "htj2k":
        at = stream.index(b"\xff\x51") + 6
        for offset in (0, 16):  # image size and tile size
            stream[at + offset : at + offset + 8] = struct.pack(">II", 1 << 16, 1 << 16)
    else:
        stream[134 + 12 : 134 + 16] = b"\xff\xff\xff\xff"
    return bytes(stream)


@pytest.mark.parametrize("name", FORMATS)
def test_headers_that_claim_too_many_pixels(name):
    refusal = "checksum" if name == "jpegls" else r"\d{5,}×\d{5,} pixels"
    with pytest.raises(BitstreamError, match=refusal):
        make(name).decode([forged(name)])


@pytest.mark.parametrize("name", FORMATS)
def test_images_need_not_lie_contiguously(name):
    view = sample_images((32, 48, 3))[:, ::2, ::-2]
    assert make(name).encode(view) == make(name).encode(view.copy())


@pytest.mark.parametrize("name", FORMATS)
def test_versions_of_the_libraries(name):
    versions = CODECS.get(name).versions()
    assert versions.keys() == {"imagecodecs", LIBRARY[name]}
    assert all(any(map(str.isdigit, text)) for text in versions.values())


def test_without_the_library_the_plugin_says_what_to_install(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.delitem(sys.modules, "codecbench.codecs.qoi", raising=False)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(PluginError, match=r"'qoi' cannot be imported .* pip install codecbench\[imagecodecs\]"):
        CODECS.get("qoi")
    assert not Avif.versions().keys() & {"imagecodecs", "libavif"}
    with pytest.raises(UnsupportedImageError, match=r"pip install codecbench\[imagecodecs\]"):
        Avif(mode="lossless").encode(sample_images(RGB))
    images = sample_images(GRAY)
    assert np.array_equal(Avif(mode="lossless").decode(Avif(mode="lossless").encode(images)), images)


def test_a_build_without_the_part(monkeypatch):
    from codecbench.codecs._imagecodecs import library

    monkeypatch.setattr(imagecodecs, "QOI", types.SimpleNamespace(available=False))
    with pytest.raises(PluginError, match=r"comes without QOI; pip install -U"):
        library("QOI")
    with pytest.raises(PluginError, match="without NOSUCH"):
        library("NOSUCH")


def test_pillow_reads_qoi_files():
    images = sample_images(RGB)
    for image, stream in zip(images, make("qoi").encode(images), strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(stream))), image)
    gray = sample_images(GRAY)
    for image, stream in zip(gray, make("qoi").encode(gray), strict=True):
        assert stream[:5] == b"Lqoif"
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(stream[1:]))), image.repeat(3, axis=2))


def test_a_colourful_qoi_file_that_is_marked_as_gray():
    with pytest.raises(BitstreamError, match="channels differ"):
        make("qoi").decode([b"L" + make("qoi").encode(sample_images(RGB))[0]])


def test_a_qoi_file_that_is_too_short_for_its_pixels():
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
            make("htj2k").decode([damaged[:-2] + b"\xff\xd9"])
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
    positions = range(start, len(stream) - 2, 2)
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


def test_jpegxr_has_chroma_at_half_resolution_below_quality_50():
    hues = np.full((1, 32, 32, 3), 100, np.uint8)
    hues[:, :, ::2, 0] = hues[:, :, 1::2, 2] = 200
    assert error(make("jpegxr", quality=50), hues) < error(make("jpegxr", quality=49), hues) / 4
    with pytest.raises(UnsupportedImageError, match=r"more than 16 pixels a row at qualities below 50, not 5×16×3"):
        make("jpegxr", quality=49).encode(np.zeros((1, 5, 16, 3), np.uint8))
    assert make("jpegxr", quality=50).decode(make("jpegxr", quality=50).encode(hues[:, :5, :16])).shape == (1, 5, 16, 3)


@pytest.mark.parametrize(("name", "side"), [("jpegls", 65535), ("jpegxr", 65535), ("jxl", 1 << 18)])
def test_the_longest_side(name, side):
    codec = make(name)
    for shape in ((1, side + 1, 1), (side + 1, 1, 3)):
        with pytest.raises(UnsupportedImageError, match=f"up to {side} pixels a side"):
            codec.check_shape(shape)
    if name != "jxl":
        image = np.full((1, 1, side, 1), 77, np.uint8)
        assert abs(codec.decode(codec.encode(image)).astype(int) - image).max() <= 4


def test_jxl_reads_every_size_in_its_header():
    sides = (1, 7, 8, 9, 64, 256, 264, 513, 600)
    ratios = ((12, 10), (24, 18), (27, 18), (32, 18), (50, 40), (16, 8))
    codec = make("jxl", mode="lossless", effort=1)
    for height, width in [*((a, b) for a in sides[:7] for b in sides), *((b, a) for a, b in ratios), (8200, 1)]:
        for channels in (1, 3):
            layout = codec.inspect(codec.encode(np.zeros((1, height, width, channels), np.uint8))[0])
            assert (layout.height, layout.width, layout.gray) == (height, width, channels == 1)


def test_jxl_refuses_what_this_codec_does_not_write():
    image = sample_images(RGB)[0]
    alpha = np.dstack([image, image[:, :, :1]])
    for stream in (
        imagecodecs.jpegxl_encode(alpha, lossless=True, numthreads=1),
        imagecodecs.jpegxl_encode(image.astype(np.uint16) * 257, lossless=True, numthreads=1),
        imagecodecs.jpegxl_encode(image, usecontainer=True, numthreads=1),
        imagecodecs.jpegxl_encode(np.stack([image, image[::-1]]), lossless=True, numthreads=1),
    ):
        with pytest.raises(BitstreamError):
            make("jxl").decode([stream])


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
