"""What the codecs of published formats have in common: foreign and forged streams, containers, sweeps, exactness."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageFile
from size_and_error import error, size

import codecbench as cb
from codecbench.plugins.registry import CODECS
from codecbench.testing import sample_images

imagecodecs = pytest.importorskip("imagecodecs")

GRAY, RGB = (28, 36, 1), (36, 28, 3)
FORMATS = {  # libraries; points for gray images, more of them for RGB, and how many of all are lossless
    "jpeg": ({"pillow", "libjpeg_turbo"}, 11, 11, 0),
    "png": ({"pillow", "zlib"}, 9, 0, 9),
    "webp": ({"pillow", "webp"}, 24, 0, 2),
    "avif": ({"pillow", "aom"}, 11, 10, 1),
    "jpeg2000": ({"pillow", "jpg_2000"}, 11, 0, 1),
    "jxl": ({"imagecodecs", "libjxl"}, 13, 0, 2),
    "jpegls": ({"imagecodecs", "charls"}, 11, 1, 2),
    "qoi": ({"imagecodecs", "qoi"}, 1, 0, 1),
    "htj2k": ({"imagecodecs", "openjph"}, 11, 0, 1),
    "jpegxr": ({"imagecodecs", "jxrlib"}, 12, 0, 1),
}
every_format = pytest.mark.parametrize("name", FORMATS)


@cache
def streams(spec: str, shape: tuple[int, int, int]) -> list[bytes]:
    return cb.open_codec(spec).encode(sample_images(shape))


# ---- foreign, damaged and forged streams ----------------------------------------------------------------------------


@every_format
@pytest.mark.parametrize("shape", [GRAY, RGB], ids=str)
def test_streams_of_others_and_cuts_that_pillow_would_take(name, shape, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # however Pillow is set
    codec, stream = cb.open_codec(name), streams(name, shape)[0]
    damaged = [stream[: len(stream) // 2], stream[:-1]]
    foreign = [streams(other, shape)[0] for other in FORMATS if other != name]
    for wrong in (*damaged, *foreign):
        with pytest.raises(cb.BitstreamError, match=f"^{name}: "):
            codec.decode([wrong])
    with pytest.raises(cb.BitstreamError):
        codec.container_bytes(b"no stream")


def saved(mode: str, name: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (16, 16), None).save(buffer, format=name, **options)
    return buffer.getvalue()


def jxl(image: np.ndarray, **options) -> bytes:
    return imagecodecs.jpegxl_encode(image, numthreads=1, **options)


ANIMATED = {"save_all": True, "append_images": [Image.new("RGB", (16, 16), "red")]}


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("jpeg", saved("CMYK", "JPEG")),
        *(("png", saved(mode, "PNG")) for mode in ("RGBA", "P", "I;16", "1")),
        ("webp", saved("RGBA", "WEBP")),
        ("webp", saved("RGBA", "WEBP", lossless=True)),
        ("webp", saved("RGB", "WEBP", exif=b"Exif\0\0text")),
        ("webp", saved("RGB", "WEBP", **ANIMATED)),
        ("avif", saved("RGBA", "AVIF")),
        ("avif", saved("RGB", "AVIF", **ANIMATED)),
        ("jpeg2000", saved("RGBA", "JPEG2000")),
        ("jpeg2000", saved("LA", "JPEG2000", no_jp2=True)),
        ("jpeg2000", saved("I;16", "JPEG2000", no_jp2=True)),
        ("jpeg2000", saved("RGB", "JPEG2000", tile_size=(8, 8))),
        ("jxl", jxl(np.zeros((9, 9, 4), np.uint8), lossless=True)),
        ("jxl", jxl(np.zeros((9, 9, 3), np.uint16), lossless=True)),
        ("jxl", jxl(np.zeros((9, 9, 3), np.uint8), usecontainer=True)),
        ("jxl", jxl(np.zeros((2, 9, 9, 3), np.uint8), lossless=True)),
    ],
)
def test_images_that_no_codec_here_writes(name, stream):
    with pytest.raises(cb.BitstreamError):
        cb.open_codec(name).decode([stream])


def forged(name: str) -> bytes:
    """A small stream whose header claims far more pixels than there may be."""
    stream = bytearray(cb.open_codec(name).encode(sample_images((16, 32, 3)))[0])

    def put(position: int, form: str, *values: int) -> None:
        stream[position : position + struct.calcsize(form)] = struct.pack(form, *values)

    if name == "jpeg":
        put(stream.index(b"\xff\xc0") + 5, ">HH", 65500, 65500)
    elif name == "png":
        put(16, ">II", 1 << 15, 1 << 15)
        put(29, ">I", zlib.crc32(stream[12:29]))
    elif name == "webp":
        put(stream.index(b"\x9d\x01\x2a") + 3, "<HH", 16383, 16383)
    elif name == "avif":
        put(stream.index(b"ispe") + 8, ">II", 16384, 16384)
        media = stream.index(b"mdat") + 4
        assert stream[media : media + 3] == b"\x12\x00\x0a"
        bits = "000110000011011101" + "1" * 28  # a reduced still picture; 14 bits a side, all set
        stream[media + 4 : media + 11] = int(bits.ljust(56, "0"), 2).to_bytes(7, "big")
    elif name == "jxl":  # a small image becomes one whose sides take 30 bits each
        stream[2:12] = (3 << 1 | (1 << 28) << 3 | 3 << 36 | (1 << 28) << 38 | 1 << 68 | 1 << 69).to_bytes(10, "little")
    elif name == "jpegls":
        put(stream.index(b"\xff\xf7") + 5, ">HH", 65535, 65535)
    elif name == "qoi":
        put(4, ">II", 1 << 15, 1 << 15)
    elif name == "jpegxr":
        put(134 + 12, ">HH", 0xFFFF, 0xFFFF)
    else:
        for offset in (6, 22):  # image size and tile size
            put(stream.index(b"\xff\x51") + offset, ">II", 1 << 16, 1 << 16)
    return bytes(stream)


@every_format
def test_headers_that_claim_too_many_pixels(name):
    refusal = "checksum" if name == "jpegls" else r"\d{5,}×\d{5,} pixels"
    with pytest.raises(cb.BitstreamError, match=refusal):
        cb.open_codec(name).decode([forged(name)])


# ---- what is taken --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "side"),
    [("jpeg", 65500), ("webp", 16383), ("avif", 32768), ("jpegls", 65535), ("jpegxr", 65535), ("jxl", 1 << 18)],
)
def test_the_longest_side(name, side):
    codec = cb.open_codec(name)
    for shape in ((1, side + 1, 1), (side + 1, 1, 3)):
        with pytest.raises(cb.UnsupportedImageError, match=f"up to {side} pixels a side"):
            codec.encode(np.zeros((1, *shape), np.uint8))
    if name != "jxl":
        image = np.full((1, 1, side, 1), 77, np.uint8)
        assert abs(codec.decode(codec.encode(image)).astype(int) - image).max() <= 4


@pytest.mark.parametrize(
    ("spec", "width"),
    [("jpegls", 0xFFF7), ("htj2k:mode=lossless", 0xFF52), ("htj2k:mode=lossless", 0xFF64), ("htj2k", 0xFF52)],
)
def test_sides_whose_bytes_look_like_a_marker(spec, width):
    codec = cb.open_codec(spec)
    for shape in ((1, width, 1), (width, 1, 3)):
        image = np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8)
        assert abs(codec.decode(codec.encode(image)).astype(int) - image).max() <= (0 if codec.lossless else 8)


@every_format
def test_default_points_and_versions_of_the_libraries(name):
    libraries, gray, more, exact = FORMATS[name]
    cls = CODECS.get(name)
    points = cls.default_points((64, 64, 3))
    assert (len(cls.default_points((64, 64, 1))), len(points)) == (gray, gray + more)
    codecs = [cls(**point) for point in points]
    assert len(set(codecs)) == len(codecs)
    assert [codec.lossless for codec in codecs] == [False] * (len(codecs) - exact) + [True] * exact
    assert libraries <= cls.versions().keys()
    assert all(any(map(str.isdigit, text)) for text in cls.versions().values())


# ---- quality ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [GRAY, RGB], ids=str)
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        *((name, "quality=20", "quality=90") for name in ("jpeg", "webp", "avif", "jpegxr")),
        *(("jpeg2000", "psnr=30", "psnr=40"), ("jxl", "distance=8", "distance=0.5")),
        *(("jpegls", "near=20", "near=2"), ("htj2k", "step=0.2", "step=0.01")),
    ],
)
def test_quality_costs_bytes_and_brings_fidelity(name, low, high, shape):
    images = sample_images(shape)[:2]
    coarse, fine = (cb.open_codec(f"{name}:{quality}") for quality in (low, high))
    assert size(coarse, images) < size(fine, images)
    assert error(coarse, images) > error(fine, images)


# ---- containers, against independent counts -------------------------------------------------------------------------


def jpeg2000_header(stream: bytes, channels: int) -> int:
    exponents = int.from_bytes(stream[stream.index(b"\xff\x5c") + 2 :][:2], "big")
    return 2 + 2 + 38 + 3 * channels + 2 + 12 + 2 + exponents + 7 + 12 + 2 + 2  # SOC to COM; SOT, SOD, EOC


def htj2k_header(stream: bytes, channels: int, sample: int) -> int:
    quantiser = 2 + 3 + sample * (1 + 3 * 5)  # a number for each of sixteen bands
    count = 2 + 2 + 38 + 3 * channels + 2 + 8 + 2 + 12 + quantiser + 12 + 2 + 2  # SOC, SIZ, CAP, COD; SOT, SOD, EOC
    assert count == stream.index(b"\xff\x93") + 2 + 2
    return count


TABLES = 2 * 69 + 2 * (33 + 183)  # the standard's quantisation tables; its Huffman tables, for DC and AC
CONTAINERS = {
    "jpeg": lambda s, c: s.index(b"\xff\xda") + (10 if c == 1 else 14) + 2,
    "jpeg:optimize=false": lambda s, c: 625 if c == 3 else s.index(b"\xff\xda") + 12,
    "png": lambda s, c: 8 + 25 + 12 + 12,  # signature, IHDR, IDAT, IEND
    "webp": lambda s, c: 20 + int.from_bytes(s[16 + (c == 1) :][:4], "little") % 2 + (c == 1),
    "webp:mode=lossless": lambda s, c: 20 + int.from_bytes(s[16 + (c == 1) :][:4], "little") % 2 + (c == 1),
    "avif": lambda s, c: s.index(b"mdat") + 4,
    "jpeg2000:mode=lossless": jpeg2000_header,
    "qoi": lambda s, c: 14 + 8 + (c == 1),
    "jpegls": lambda s, c: 2 + 10 + 3 * c + (10 if c == 1 else 14) + 2,
    "jpegls:transform=hp1": lambda s, c: (9 if c == 3 else 0) + 2 + 10 + 3 * c + (10 if c == 1 else 14) + 2,
    "htj2k:mode=lossless": lambda s, c: htj2k_header(s, c, 1),
    "htj2k": lambda s, c: htj2k_header(s, c, 2),
    "jpegxr": lambda s, c: s.index(b"WMPHOTO\0") + 16,
}


@pytest.mark.parametrize("shape", [GRAY, RGB], ids=str)
@pytest.mark.parametrize("spec", CONTAINERS)
def test_container_bytes(spec, shape):
    assert 2 + 18 + TABLES + 19 + 14 + 2 == 625  # SOI, JFIF; frame, scan header, EOI
    for stream in streams(spec, shape):
        assert cb.open_codec(spec).container_bytes(stream) == CONTAINERS[spec](stream, shape[2])
