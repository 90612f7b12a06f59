"""Raw bytes behind a shape header."""

from __future__ import annotations

import numpy as np
import pytest

from codecbench.codecs._shape import unpack_shape
from codecbench.codecs.none import NoCompression
from codecbench.errors import BitstreamError
from codecbench.plugins.varint import pack_numbers


def test_a_stream_written_by_hand():
    image = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    assert NoCompression().encode(image[None]) == [b"\x01\x02\x03\x01\x02\x03\x04\x05\x06"]
    assert np.array_equal(NoCompression().decode([b"\x01\x02\x03\x01\x02\x03\x04\x05\x06"])[0], image)


@pytest.mark.parametrize(
    ("shape", "header"),
    [((28, 28, 1), "1c1c01"), ((127, 128, 3), "7f800103"), ((1, 1 << 25, 1), "018080801001")],
)
def test_shape_headers(shape, header):
    assert pack_numbers(shape).hex() == header
    assert unpack_shape(bytes.fromhex(header) + b"rest", "x") == (shape, len(header) // 2)


@pytest.mark.parametrize("header", ["", "1c", "1c1c", "000101", "010001", "010102", "ff" * 9, "ffffff7fffffff7f03"])
def test_headers_that_no_codec_writes(header):
    with pytest.raises(BitstreamError):
        unpack_shape(bytes.fromhex(header), "x")


def test_decoded_images_can_be_written_to():
    image = NoCompression().decode([b"\x01\x01\x01\x07"])
    image[:] = 0
