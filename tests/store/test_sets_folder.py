"""The records and the table of whole datasets as one stream; the contract; the conformance kit's check."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from runs import MadeUpRun

import codecbench as cb
from codecbench.analysis import sets
from codecbench.errors import UnsupportedImageError
from codecbench.store.folder import RunFolder, discard
from codecbench.store.io import dump_json
from codecbench.store.sets import SetRecord
from codecbench.testing import CheckFailed, check_codec, check_sets


@pytest.fixture
def made_up(tmp_path):
    return MadeUpRun(tmp_path / "run", {"mnist": (28, 28, 1), "stl10": (64, 64, 3)}, ["exact", "other"])


def write(store, number, dataset="mnist", codec="exact", shape=(28, 28, 1), **fields):
    name = f"{number:024x}"
    record = {
        "format": SetRecord.FORMAT,
        "id": name,
        "dataset": dataset,
        "codec": codec,
        "settings": f"level={number}",
        "codec_fingerprint": f"print-{codec}",
        "data_fingerprint": f"pixels of {dataset}",
        "images": 8,
        "shape": list(shape),
        "failed": "",
        "skipped": "",
        "set_bytes": 980,
        "encode_s": 0.5,
        "decode_s": 0.25,
    }
    store.write_file(f"sets/{name}.json", dump_json(record | fields))


def test_the_table_has_one_row_a_point(made_up):
    store = made_up.store
    write(store, 1, "stl10", shape=(64, 64, 3), set_bytes=4096)
    write(store, 2, failed="ValueError: no")
    write(store, 3)
    write(store, 4, codec="other", set_bytes=784)
    write(store, 5, codec="other", skipped="too large")
    table = sets.table(RunFolder(store.path))
    assert tuple(table.columns) == sets.COLUMNS
    assert list(table["settings"]) == ["level=4", "level=3", "level=2", "level=5", "level=1"]
    assert list(table["status"]) == ["", "", "failed: ValueError: no", "skipped: too large", ""]
    assert table["bits_per_pixel"].dropna().tolist() == [1.0, 1.25, 1.0], "pixels, whatever the channels"
    assert table["bits_per_image"].dropna().tolist() == [784.0, 980.0, 4096.0]
    assert table["set_bytes"].dropna().tolist() == [784, 980, 4096]


@pytest.mark.parametrize(
    "change",
    [
        {"codec_fingerprint": "print-before-the-edit"},
        {"data_fingerprint": "other pixels"},
        {"dataset": "gone"},
        {"codec": "gone"},
        {"format": SetRecord.FORMAT + 1},
        {"id": "0" * 24},
        {"set_bytes": None},
        {"set_bytes": "many"},
        {"shape": [28, 28]},
        {"shape": [0, 28, 1]},
        {"images": 0},
        {"encode_s": None},
        {"failed": None},
    ],
    ids=str,
)
def test_records_that_do_not_count(made_up, change):
    write(made_up.store, 1)
    write(made_up.store, 2, **change)
    assert [record.settings for record in made_up.store.records(SetRecord)] == ["level=1"]


def test_what_is_no_record_is_passed_over(made_up):
    write(made_up.store, 1)
    for name, text in ((f"{2:024x}", "{"), (f"{3:024x}", "[]"), ("notes", "{}")):
        (made_up.store.path / "sets" / f"{name}.json").write_text(text)
    assert len(made_up.store.records(SetRecord)) == 1


def test_a_published_run_has_the_table_as_it_was_written(made_up):
    write(made_up.store, 1)
    write(made_up.store, 2, failed="no")
    made_up.usual()
    table = sets.table(made_up.store)
    (made_up.store.path / sets.CSV).write_text(table.to_csv(index=False))
    (made_up.store.path / "summary.csv").touch()
    for folder in ("parts", "sets"):
        shutil.rmtree(made_up.store.path / folder)
    pd.testing.assert_frame_equal(sets.table(RunFolder(made_up.store.path)), table, check_dtype=False)


def test_a_fresh_run_has_no_sets(made_up):
    write(made_up.store, 1)
    (made_up.store.path / sets.CSV).touch()
    discard(made_up.store.path)
    assert not list(made_up.store.path.iterdir())


def test_an_empty_table_has_its_columns(made_up):
    table = cb.load_run(made_up.store.path).sets()
    assert tuple(table.columns) == sets.COLUMNS
    assert table.empty


# ---- the contract and its check -------------------------------------------------------------------------------------


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


def test_a_sound_codec_passes():
    assert check_sets(Plain(), (5, 4, 3)) is None


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


def test_a_codec_of_single_images_is_not_asked():
    assert check_sets(cb.open_codec("none"), (5, 4, 3)).result == "not applicable"


PAGE = Path(__file__).parents[2] / "docs" / "adding-a-codec.md"


def test_the_example_of_the_page(codec_folder):
    (source,) = re.findall(r"^```python\n(# packed_set.py\n.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (codec_folder / "packed_set.py").write_text(source)
    results = check_codec(cb.open_codec("packed_set"), shapes=((9, 7, 3), (4, 4, 1)), damages=20)
    assert [result.result for result in results if result.check == "whole sets"] == ["passed"]


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
