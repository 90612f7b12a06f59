"""One codec, or one dataset, by its spec."""

import numpy as np
import pytest

import codecbench as cb


def test_a_codec_with_the_settings_that_the_spec_names():
    codec = cb.open_codec("jpeg:quality=30,subsampling=4:4:4")
    assert (codec.name, codec.quality, codec.subsampling) == ("jpeg", 30, "4:4:4")


def test_settings_left_out_stand_at_their_defaults_and_not_at_the_sweep():
    assert cb.open_codec("svd").settings == {"rank": 5}


@pytest.mark.parametrize("spec", ["jpeg,png", "jpeg:quality=1..3", "all", "jpeg:quality=5,jpeg:quality=6"])
def test_a_spec_of_several_codecs_is_refused(spec):
    with pytest.raises(cb.UsageError, match="stands for several codecs; expected one"):
        cb.open_codec(spec)


def test_an_unknown_codec_is_refused():
    with pytest.raises(cb.UsageError, match="unknown codec 'jpg'"):
        cb.open_codec("jpg")


def test_a_dataset_with_its_labels():
    digits = cb.open_dataset("digits:count=7,seed=3")
    assert digits.read([0, 6]).shape == (2, 28, 28, 1)
    assert len(digits) == len(digits.labels) == 7


def test_the_data_root_is_the_one_given_or_that_of_the_environment(tmp_path, monkeypatch):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    pixels = np.arange(2 * 784).astype(np.uint8)
    header = np.array([0x0803, 2, 28, 28], ">i4").tobytes()
    (folder / "t10k-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
    monkeypatch.setenv("CODECBENCH_DATA", str(tmp_path / "absent"))
    assert np.array_equal(cb.open_dataset("mnist", tmp_path).read([0, 1]).ravel(), pixels)
    with pytest.raises(cb.DatasetError, match="codecbench data get mnist"):
        cb.open_dataset("mnist")
    monkeypatch.setenv("CODECBENCH_DATA", str(tmp_path))
    assert len(cb.open_dataset("mnist")) == 2


def test_a_spec_of_several_datasets_is_refused():
    with pytest.raises(cb.UsageError, match="stands for 2 datasets; expected one"):
        cb.open_dataset("digits,photos")
