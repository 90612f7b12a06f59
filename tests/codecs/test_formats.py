"""What the formats behind Pillow have in common: foreign streams, forged headers, images that nobody wrote here."""

from __future__ import annotations

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from codecbench.errors import BitstreamError, UnsupportedImageError
from codecbench.plugins.codec import Codec
from codecbench.plugins.registry import CODECS
from codecbench.testing import sample_images

FORMATS = ("jpeg", "png", "webp", "avif", "jpeg2000")


def make(name: str, **settings) -> Codec:
    return CODECS.get(name)(**settings)


def saved(mode: str, name: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (16, 16), None).save(buffer, format=name, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_decodes_anothers_streams(name):
    for other in FORMATS:
        for shape in ((16, 16, 1), (16, 16, 3)):
            stream = make(other).encode(sample_images(shape))[0]
            if other == name:
                assert make(name).decode([stream]).shape == (1, *shape)
            else:
                with pytest.raises(BitstreamError, match=f"^{name}: "):
                    make(name).decode([stream])


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_files_are_refused_even_if_pillow_is_told_to_accept_them(name, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for shape in ((16, 16, 1), (16, 16, 3)):
        stream = make(name).encode(sample_images(shape))[0]
        for end in range(0, len(stream), 5):
            with pytest.raises(BitstreamError):
                make(name).decode([stream[:end]])


@pytest.mark.parametrize("name", FORMATS)
def test_bytes_behind_the_end_are_refused(name):
    for shape in ((16, 16, 1), (16, 16, 3)):
        stream = make(name).encode(sample_images(shape))[0]
        for tail in (b"\0", b"garbage", stream):
            with pytest.raises(BitstreamError):
                make(name).decode([stream + tail])


@pytest.mark.parametrize("name", FORMATS)
def test_a_batch_of_two_shapes(name):
    streams = [make(name).encode(sample_images(shape))[0] for shape in ((16, 16, 1), (16, 16, 3))]
    with pytest.raises(BitstreamError, match="different shapes"):
        make(name).decode(streams)


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("jpeg", saved("CMYK", "JPEG")),
        ("png", saved("RGBA", "PNG")),
        ("png", saved("P", "PNG")),
        ("png", saved("I;16", "PNG")),
        ("png", saved("1", "PNG")),
        ("webp", saved("RGBA", "WEBP")),
        ("webp", saved("RGBA", "WEBP", lossless=True)),
        ("webp", saved("RGB", "WEBP", exif=b"Exif\0\0text")),
        ("webp", saved("RGB", "WEBP", save_all=True, append_images=[Image.new("RGB", (16, 16), "red")])),
        ("avif", saved("RGBA", "AVIF")),
        ("avif", saved("RGB", "AVIF", save_all=True, append_images=[Image.new("RGB", (16, 16), "red")])),
        ("jpeg2000", saved("RGBA", "JPEG2000")),
        ("jpeg2000", saved("LA", "JPEG2000", no_jp2=True)),
        ("jpeg2000", saved("I;16", "JPEG2000", no_jp2=True)),
        ("jpeg2000", saved("RGB", "JPEG2000", tile_size=(8, 8))),
    ],
)
def test_images_that_no_codec_here_writes(name, stream):
    with pytest.raises(BitstreamError):
        make(name).decode([stream])


def forged(name: str) -> bytes:
    """A small stream whose header claims as many pixels as its format can."""
    stream = bytearray(make(name).encode(sample_images((16, 16, 3)))[0])
    if name == "jpeg":
        at = stream.index(b"\xff\xc0") + 5
        stream[at : at + 4] = struct.pack(">HH", 65500, 65500)
    elif name == "png":
        stream[16:24] = struct.pack(">II", 1 << 15, 1 << 15)
        stream[29:33] = struct.pack(">I", zlib.crc32(stream[12:29]))
    elif name == "webp":
        at = stream.index(b"\x9d\x01\x2a") + 3
        stream[at : at + 4] = struct.pack("<HH", 16383, 16383)
    elif name == "avif":
        at = stream.index(b"ispe") + 8
        stream[at : at + 8] = struct.pack(">II", 16384, 16384)
        at = stream.index(b"mdat") + 4
        assert stream[at : at + 3] == b"\x12\x00\x0a"
        bits = "000110000011011101" + "1" * 28  # a reduced still picture; 14 bits a side, all set
        stream[at + 4 : at + 11] = int(bits.ljust(56, "0"), 2).to_bytes(7, "big")
    else:
        at = stream.index(b"\xff\x51") + 6
        for offset in (0, 16):  # image size and tile size
            stream[at + offset : at + offset + 8] = struct.pack(">II", 1 << 16, 1 << 16)
    return bytes(stream)


@pytest.mark.parametrize("name", FORMATS)
def test_headers_that_claim_too_many_pixels(name):
    with pytest.raises(BitstreamError, match=r"the header claims \d+×\d+ pixels"):
        make(name).decode([forged(name)])


@pytest.mark.parametrize(("name", "side"), [("jpeg", 65500), ("webp", 16383), ("avif", 32768)])
def test_the_longest_side(name, side):
    codec = make(name)
    for shape in ((1, side + 1, 1), (side + 1, 1, 3)):
        with pytest.raises(UnsupportedImageError, match=f"up to {side} pixels a side"):
            codec.check_shape(shape)
        with pytest.raises(UnsupportedImageError):
            codec.encode(np.zeros((1, *shape), np.uint8))
    image = np.full((1, 1, side, 1), 77, np.uint8)
    assert abs(codec.decode(codec.encode(image)).astype(int) - image).max() <= 4


@pytest.mark.parametrize("name", FORMATS)
def test_images_need_not_lie_contiguously(name):
    image = sample_images((32, 48, 3))
    view = image[:, ::2, ::-2]
    assert make(name).encode(view) == make(name).encode(view.copy())


@pytest.mark.parametrize("name", FORMATS)
def test_default_points_are_a_curve(name):
    """A curve for each way to store chroma, which gray images have not, and for each effort of WebP."""
    points, gray = (CODECS.get(name).default_points((64, 64, channels)) for channels in (3, 1))
    chroma = {"jpeg": {"4:2:0", "4:4:4"}, "avif": {"4:2:0", "4:4:4"}}.get(name, {None})
    efforts = {4, 6} if name == "webp" else {None}
    curves = [(point.get("subsampling"), point.get("method")) for point in points if point.get("mode") != "lossless"]
    assert set(curves) == set(itertools.product(chroma, efforts))
    assert 8 <= len(gray) / len(efforts) <= 12
    assert 8 <= len(points) / len(set(curves)) <= 12
    assert len({make(name, **point) for point in points}) == len(points)
    exact = [make(name, **point).lossless for point in points]
    assert sum(exact) == {"jpeg": 0, "avif": 1, "webp": 2, "jpeg2000": 1, "png": 9}[name]


@pytest.mark.parametrize("name", FORMATS)
def test_versions_of_the_libraries(name):
    library = {"jpeg": "libjpeg_turbo", "png": "zlib", "webp": "webp", "avif": "aom", "jpeg2000": "jpg_2000"}[name]
    versions = CODECS.get(name).versions()
    assert {"pillow", library} <= versions.keys()
    assert all(any(map(str.isdigit, text)) for text in versions.values())
