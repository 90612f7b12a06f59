"""How many bytes of a stream are headers and tables, against independent countings."""

from __future__ import annotations

import numpy as np
import pytest

from codecbench.codecs.avif import Avif
from codecbench.codecs.jpeg import Jpeg
from codecbench.codecs.jpeg2000 import Jpeg2000
from codecbench.codecs.png import Png
from codecbench.codecs.webp import Webp
from codecbench.errors import BitstreamError
from codecbench.plan.specs import expand, split_specs
from codecbench.plugins.registry import CODECS
from codecbench.plugins.settings import settings_of
from codecbench.testing import sample_images, taken_shapes

GRAY, RGB = (28, 28, 1), (32, 32, 3)


@pytest.mark.parametrize(("shape", "scan_header"), [(GRAY, 10), (RGB, 14)])
@pytest.mark.parametrize("optimize", [True, False])
def test_jpeg_up_to_the_scan_and_the_end_marker(shape, scan_header, optimize):
    codec = Jpeg(optimize=optimize)
    for stream in codec.encode(sample_images(shape)):
        assert codec.container_bytes(stream) == stream.index(b"\xff\xda") + scan_header + 2


def test_jpeg_counts_the_tables_between_progressive_scans():
    for stream in Jpeg(progressive=True).encode(sample_images(RGB)):
        starts = [i for i in range(len(stream)) if stream[i : i + 2] == b"\xff\xda"]
        assert len(starts) > 3
        assert Jpeg().container_bytes(stream) > starts[0] + 10 * len(starts)


def test_png_has_57_bytes_around_its_data():
    for stream in Png().encode(sample_images(GRAY)):
        assert Png().container_bytes(stream) == 57  # signature 8, IHDR 25, IDAT 12, IEND 12


@pytest.mark.parametrize(("shape", "mark"), [(GRAY, 1), (RGB, 0)])
@pytest.mark.parametrize("mode", ["lossy", "lossless"])
def test_webp_has_20_bytes_the_padding_and_the_mark(shape, mark, mode):
    codec = Webp(mode=mode)
    for stream in codec.encode(sample_images(shape)):
        padding = int.from_bytes(stream[mark + 16 : mark + 20], "little") % 2
        assert codec.container_bytes(stream) == 20 + padding + mark


def test_avif_is_everything_before_the_media_data():
    for shape in (GRAY, RGB):
        for stream in Avif().encode(sample_images(shape)):
            assert Avif().container_bytes(stream) == stream.index(b"mdat") + 4


def test_jpeg2000_is_all_but_the_packets():
    for shape, components in ((GRAY, 1), (RGB, 3)):
        for stream in Jpeg2000(mode="lossless").encode(sample_images(shape)):
            exponents = int.from_bytes(stream[stream.index(b"\xff\x5c") + 2 :][:2], "big")
            main = 2 + 2 + 38 + 3 * components + 2 + 12 + 2 + exponents + 7
            assert Jpeg2000().container_bytes(stream) == main + 12 + 2 + 2  # SOT, SOD, EOC


def test_a_jp2_file_is_85_bytes_longer_than_its_codestream():
    for shape in (GRAY, RGB):
        images = sample_images(shape)
        bare, boxed = Jpeg2000().encode(images), Jpeg2000(container="jp2").encode(images)
        assert all(outer.endswith(inner) for inner, outer in zip(bare, boxed, strict=True))
        for inner, outer in zip(bare, boxed, strict=True):
            assert len(outer) - len(inner) == 85
            assert Jpeg2000().container_bytes(outer) == Jpeg2000().container_bytes(inner) + 85
        assert np.array_equal(Jpeg2000().decode(boxed), Jpeg2000().decode(bare))


def make(text: str):
    (spec,) = split_specs(text)
    cls = CODECS.get(spec.name)
    return cls(**expand(spec, settings_of(cls))[0])


def test_jpeg_with_the_standards_tables_has_625_bytes_around_its_scan():
    tables = 2 * 69 + 2 * (33 + 183)  # quantisation; Huffman, for DC and AC
    for stream in Jpeg(optimize=False).encode(sample_images(RGB)):
        assert Jpeg().container_bytes(stream) == 2 + 18 + tables + 19 + 14 + 2  # SOI, JFIF; frame, scan header, EOI


@pytest.mark.parametrize(("shape", "mark"), [(GRAY, 1), (RGB, 0)])
def test_qoi_has_22_bytes_and_the_mark(shape, mark):
    for stream in make("qoi").encode(sample_images(shape)):
        assert make("qoi").container_bytes(stream) == 14 + 8 + mark


@pytest.mark.parametrize("transform", ["none", "hp1"])
@pytest.mark.parametrize(("shape", "scan_header"), [(GRAY, 10), (RGB, 14)])
def test_jpegls_up_to_the_scan_and_the_end_marker(shape, scan_header, transform):
    codec = make(f"jpegls:transform={transform}")
    colours = 9 if transform == "hp1" and shape == RGB else 0
    for stream in codec.encode(sample_images(shape)):
        start = stream.index(b"\xff\xda") + scan_header
        assert codec.container_bytes(stream) == start + 2 == 2 + colours + 10 + 3 * shape[2] + scan_header + 2


def test_htj2k_is_all_but_the_packets():
    for mode, sample in (("lossless", 1), ("lossy", 2)):
        for shape, components in ((GRAY, 1), (RGB, 3)):
            for stream in make(f"htj2k:mode={mode}").encode(sample_images(shape)):
                quantiser = 2 + 3 + sample * (1 + 3 * 5)  # a number each of sixteen bands
                main = 2 + 2 + 38 + 3 * components + 2 + 8 + 2 + 12 + quantiser  # SOC, SIZ, CAP, COD
                count = make("htj2k").container_bytes(stream)
                assert count == main + 12 + 2 + 2 == stream.index(b"\xff\x93") + 2 + 2  # SOT, SOD, EOC


@pytest.mark.parametrize(("width", "size"), [(30, 16), (4080, 16), (4081, 20)])
def test_jpegxr_is_the_file_around_the_codestream_and_its_header(width, size):
    for stream in make("jpegxr").encode(np.zeros((1, 3, width, 1), np.uint8)):
        assert make("jpegxr").container_bytes(stream) == stream.index(b"WMPHOTO\0") + size == 134 + size


@pytest.mark.parametrize("mode", ["lossy", "lossless"])
@pytest.mark.parametrize("shape", [GRAY, RGB, (64, 64, 3)])
def test_jxl_is_what_all_streams_of_a_shape_have_in_common(shape, mode):
    pytest.importorskip("imagecodecs")
    streams = [
        stream
        for option in ("effort=1", "effort=4,distance=0.3", "effort=7,distance=9.0")
        for stream in make(f"jxl:mode={mode},{option}").encode(sample_images(shape))
    ]
    (count,) = {make("jxl").container_bytes(stream) for stream in streams}
    assert len({stream[:count] for stream in streams}) == 1
    assert len({stream[count : count + 8] for stream in streams}) > 3
    if shape == (64, 64, 3) and mode == "lossy":  # signature; a size of 9 bits; two bits that say: all as usual
        assert streams[0][:count] == b"\xff\x0a\x4f\x06"


@pytest.mark.parametrize("name", CODECS.names())
def test_every_codec_tells(name):
    codec = CODECS.get(name)()
    shape = taken_shapes(codec)[0]
    for stream in codec.encode(sample_images(shape)[:2]):
        count = codec.container_bytes(stream)
        assert count is not None
        assert 0 <= count <= len(stream)


@pytest.mark.parametrize(
    ("spec", "known"),
    [
        ("jpeg:optimize=false", 689),
        ("jpeg", 305),
        ("avif:subsampling=4:4:4", 306),
        ("avif:subsampling=4:2:0", 306),
        ("qoi", 93),
        ("webp", 62),
        ("jxl", 70),
        ("jxl:mode=lossless", 28),
    ],
)
def test_the_known_sizes_of_a_flat_image(spec, known):
    """Measured with other scripts, some with other versions of the libraries."""
    codec = make(spec)
    (stream,) = codec.encode(np.full((1, 64, 64, 3), 128, np.uint8))
    assert len(stream) == pytest.approx(known, abs=6)
    assert len(stream) - codec.container_bytes(stream) <= {"qoi": 71, "jxl": 72, "jpeg": 66}.get(codec.name, 50)


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "avif", "jpeg2000", "jxl", "jpegls", "qoi", "htj2k", "jpegxr"])
def test_no_count_for_foreign_bytes(name):
    with pytest.raises(BitstreamError):
        make(name).container_bytes(b"no stream")
