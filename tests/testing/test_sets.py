"""Set mode: the contract of codecs that code a whole dataset as one stream, and the conformance kit's check of it."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import codecbench as cb
from codecbench.errors import UnsupportedImageError
from codecbench.testing import CheckFailed, check_sets


@dataclass(frozen=True)
class Plain(cb.SetCodec, cb.PerImageCodec):
    """Raw samples, and a fault in set mode if wished."""

    name = "plain"
    fault: str = cb.setting("")

    @property
    def lossless(self):
        return self.fault != "lossy"

    def encode_image(self, image):
        return self.encode_set(image[None])

    def decode_image(self, stream):
        return self.decode_set(stream)[0]

    def encode_set(self, images):
        if self.fault == "order":
            images = images[images[:, 0, 0, 0].argsort(kind="stable")]
        stream = bytes(images.shape) + images.tobytes()
        return bytearray(stream) if self.fault == "type" else stream

    def decode_set(self, stream):
        if self.fault == "prefix":
            stream = stream.ljust(4 + int(np.prod(list(stream[:4]))), b"\0")
        shape = tuple(stream[:4])
        if self.fault != "unchecked" and (len(stream) < 4 or len(stream) != 4 + np.prod(shape)):
            raise cb.BitstreamError("plain: cut short")
        if shape[3:] not in ((1,), (3,)) or not all(shape):
            raise cb.BitstreamError("plain: no shape")
        images = np.frombuffer(stream[4:], np.uint8).reshape(shape)
        return images[:1] if self.fault == "first" else images


def test_a_sound_codec_passes_and_one_of_single_images_is_not_asked():
    assert check_sets(Plain(), (5, 4, 3)) is None
    assert check_sets(cb.open_codec("none"), (5, 4, 3)).result == "not applicable"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("order", "samples differ"),
        ("type", "encode_set gives a bytearray, not bytes"),
        ("first", "decode_set gives the shape (1, 5, 4, 3), not (5, 5, 4, 3)"),
        ("prefix", "decodes to images"),
        ("unchecked", "ValueError: cannot reshape"),
        ("lossy", "is not lossless"),
    ],
)
def test_unsound_codecs_do_not(fault, message):
    with pytest.raises(CheckFailed) as failure:
        check_sets(Plain(fault), (5, 4, 3))
    assert message in str(failure.value)


PAGE = Path(__file__).parents[2] / "docs" / "adding-a-codec.md"


@pytest.mark.real_data
@pytest.mark.parametrize(("spec", "known"), [("bz2:level=9", 1.415), ("ppmd:order=4,memory_mb=64", 1.316)])
def test_figures_of_mnist(spec, known, data_root):
    images = cb.open_dataset("mnist", data_root).read(range(10_000))
    bits = 8 * len(cb.open_codec(spec).encode_set(images)) / images.size
    assert bits == pytest.approx(known, abs=0.01), "what the same libraries give for the concatenated pixels"
    (row,) = re.findall(rf"^\| `{re.escape(spec)}` \| ([0-9.]+) \|", PAGE.read_text(), re.MULTILINE)
    assert f"{bits:.3f}" == row


def test_what_no_set_is():
    codec = Plain()
    codec.check_set(1 << 12, (1 << 8, 1 << 8, 1))
    for count, shape in ((0, (4, 4, 1)), ((1 << 12) + 1, (1 << 8, 1 << 8, 1))):
        with pytest.raises(UnsupportedImageError, match="a set has 1 image or more and at most 268,435,456 samples"):
            codec.check_set(count, shape)
    assert Plain.set_points((4, 4, 1)) == [{}]
