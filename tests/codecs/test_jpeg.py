"""JPEG's own walk over the segments, which stands in for Pillow's parser, and decoding without that parser."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from codecbench.codecs.jpeg import Jpeg
from codecbench.errors import BitstreamError
from codecbench.testing import sample_images

SETTINGS = [
    {},
    {"progressive": True},
    {"optimize": False, "quality": 100, "subsampling": "4:4:4"},
    {"subsampling": "4:2:2", "quality": 5},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("shape", [(28, 28, 1), (1, 1, 3), (17, 31, 3), (300, 270, 3)], ids=str)
def test_decodes_what_pillow_decodes(shape, settings):
    codec = Jpeg(**settings)
    for stream in codec.encode(sample_images(shape)):
        with Image.open(io.BytesIO(stream)) as picture:
            expected = np.asarray(picture).reshape(shape)
        np.testing.assert_array_equal(codec.decode([stream])[0], expected)


def a_stream(shape=(16, 16, 3)):
    """A stream, and where its frame header and its scan header begin."""
    stream = Jpeg().encode(sample_images(shape))[0]
    return stream, stream.index(b"\xff\xc0"), stream.index(b"\xff\xda")


def test_no_second_frame_hides_from_the_walk():
    """libjpeg would write a wider image than the walk found into a buffer of the latter's size."""
    stream, frame, scan = a_stream()
    header = stream[frame : frame + 19]
    wide = header[:7] + b"\xff\xff" + header[9:]
    hidden = [
        b"\xff\x01" + wide,  # TEM has no length for libjpeg
        b"\xff\xff" + wide,  # fill bytes
        b"\xff\xd0" + wide,  # restart markers have none either
        b"\xff\xd8" + wide,
        wide,
        b"\xff\xc9" + wide[2:],  # arithmetic coding
    ]
    for extra in hidden:
        for position in (2, frame, frame + 19, scan, len(stream) - 2):
            with pytest.raises(BitstreamError, match=r"marker segment|two frames|one behind"):
                Jpeg().decode([stream[:position] + extra + stream[position:]])


@pytest.mark.parametrize(
    ("offset", "value", "said"),
    [(4, 12, "8 bits"), (9, 4, "neither gray nor RGB"), (9, 2, "neither gray nor RGB"), (9, 1, "neither gray nor RGB")],
)
def test_frames_of_another_kind_are_refused(offset, value, said):
    stream, frame, _ = a_stream()
    altered = bytearray(stream)
    altered[frame + offset] = value
    with pytest.raises(BitstreamError, match=said):
        Jpeg().decode([bytes(altered)])


@pytest.mark.parametrize("side", [1, 15, 17, 200])
def test_a_forged_size_gives_an_image_of_that_size_or_none(side):
    stream, frame, _ = a_stream()
    altered = bytearray(stream)
    altered[frame + 7 : frame + 9] = side.to_bytes(2, "big")  # the width
    try:
        decoded = Jpeg().decode([bytes(altered)])
    except BitstreamError:
        return
    assert decoded.shape == (1, 16, side, 3)


def test_tables_in_front_of_a_missing_frame():
    stream, frame, _ = a_stream()
    with pytest.raises(BitstreamError, match="no image"):
        Jpeg().decode([stream[:frame] + stream[frame + 19 :]])
