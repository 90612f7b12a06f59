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
from codecbench.testing import sample_images

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


@pytest.mark.parametrize("codec", [Jpeg(), Png(), Webp(), Avif(), Jpeg2000()], ids=lambda codec: codec.name)
def test_no_count_for_foreign_bytes(codec):
    with pytest.raises(BitstreamError):
        codec.container_bytes(b"no stream")
