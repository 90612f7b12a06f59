"""Planning: which codecs, datasets, images and points a request stands for."""

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from datafiles import digits, write_mnist
from PIL import Image

import codecbench as cb
from codecbench.data import data_root as find_data_root
from codecbench.errors import SpecError, UsageError
from codecbench.plan.planner import CHUNK_BYTES, choose_codecs, choose_datasets, chunks, make_plan, select
from codecbench.plugins.dataset import ImageSet
from codecbench.plugins.registry import CODECS, DATASETS


class Zeros(ImageSet):
    """Black images of given shapes."""

    def __init__(self, *shapes):
        self.shapes = shapes

    def __len__(self):
        return len(self.shapes)

    def shape(self, index):
        return self.shapes[index]

    def read(self, indices):
        return np.zeros((len(indices), *self.shapes[indices[0]]), dtype=np.uint8)


def plan(codecs, datasets, data_dir, skip=()):
    choices, notes = choose_codecs(codecs, skip)
    chosen, _ = choose_datasets(datasets, data_dir)
    return make_plan(choices, chosen, data_dir, count=5, seed=0, device_name="cpu", notes=notes)


# ---- codecs ---------------------------------------------------------------------------------------------------------


def test_all_stands_for_every_codec_but_those_on_request_and_skip_takes_away():
    choices, _ = choose_codecs("all", skip=["avif"])
    assert [choice.name for choice in choices] == [name for name in CODECS.names() if name not in ("avif", "gan_ae")]
    assert not any(choice.named for choice in choices)
    for specs, names in (("gan_ae", ["gan_ae"]), ("all,gan_ae", sorted(CODECS.names(), key="gan_ae".__eq__))):
        assert [choice.name for choice in choose_codecs(specs)[0]] == names


def test_one_codec_asked_for_twice_is_one_codec_with_both_sweeps_and_defaults_elsewhere(tmp_path):
    tasks = plan("jpeg:quality=5/10,jpeg:quality=10/20", "digits", tmp_path).tasks
    assert [task.codec.settings for task in tasks] == [CODECS.get("jpeg")(quality=q).settings for q in (5, 10, 20)]
    with pytest.raises(SpecError, match="'all' takes no settings"):
        choose_codecs("all:quality=5")
    with pytest.raises(UsageError, match="no codec is left"):
        choose_codecs("jpeg", ["jpeg"])


def test_one_codec_by_its_spec():
    codec = cb.open_codec("jpeg:quality=30,subsampling=4:4:4")
    assert (codec.name, codec.quality, codec.subsampling) == ("jpeg", 30, "4:4:4")
    assert cb.open_codec("svd").settings == {"rank": 5}, "the default and not the sweep"
    for spec in ("all", "jpeg:quality=5,jpeg:quality=6"):
        with pytest.raises(UsageError, match="stands for several codecs; expected one"):
            cb.open_codec(spec)


# ---- datasets -------------------------------------------------------------------------------------------------------


def test_embedded_images_stand_in_for_what_is_not_on_disk(tmp_path):
    datasets, notes = choose_datasets(None, tmp_path)
    assert [dataset.label for dataset in datasets] == ["digits", "photos"]
    (note,) = notes
    assert "codecbench data get mnist" in note
    assert "measuring on digits and photos" in note


@pytest.mark.real_data
def test_real_images_are_taken_where_they_are(data_root):
    datasets, notes = choose_datasets(None, data_root)
    assert [dataset.label for dataset in datasets] == ["mnist", "stl10"]
    assert notes == []


def test_a_dataset_spec_of_several_values_stands_for_several_datasets(tmp_path):
    datasets, _ = choose_datasets("digits:seed=0/1,digits", tmp_path)
    assert [dataset.label for dataset in datasets] == ["digits", "digits:seed=1"]
    for spec in ("digits:seed=0/1", "digits,photos"):
        with pytest.raises(SpecError, match="stands for 2 datasets; expected one"):
            cb.open_dataset(spec, tmp_path)


def test_a_dataset_is_opened_under_the_data_root_given_or_that_of_the_environment(tmp_path, monkeypatch):
    write_mnist(tmp_path)
    monkeypatch.setenv("CODECBENCH_DATA", str(tmp_path / "absent"))
    assert np.array_equal(cb.open_dataset("mnist", tmp_path).read(range(5))[..., 0], digits())
    with pytest.raises(cb.DatasetError, match="codecbench data get mnist"):
        cb.open_dataset("mnist")
    monkeypatch.setenv("CODECBENCH_DATA", str(tmp_path))
    assert len(cb.open_dataset("mnist")) == 5
    assert find_data_root("~/data") == Path.home() / "data"
    monkeypatch.delenv("CODECBENCH_DATA")
    assert find_data_root().name == "codecbench"  # in the user's cache


def test_the_plan_says_what_is_to_know_about_the_chosen_images(tmp_path):
    Image.new("L", (8, 8), 5).save(tmp_path / "a.jpg")
    Image.new("L", (8, 8), 5).save(tmp_path / "b.png")
    label = f"folder:{tmp_path}"
    assert plan("none", label, tmp_path).notes[1:] == [  # the first: that there are only two
        f"{label}: 1 of 2 originals are lossy files (JPEG): this flatters jpeg; downscale=2 takes the traces away",
        f"{label}: 1 double among 2 images: a.jpg = b.png",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have Unicode file names only")
def test_file_names_that_are_no_text_are_said_and_do_no_harm(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("L", (8, 8)).save(folder / "good.png")
    (folder / os.fsdecode(b"\xff.png")).write_bytes(b"damaged")
    notes = plan("none", f"folder:{folder},refused=skip", tmp_path).notes
    assert any("\\udcff.png is damaged" in note for note in notes)
    "".join(notes).encode()
    with pytest.raises(UsageError, match=r"\\udcfe has control characters or is no Unicode"):
        choose_datasets("folder:" + os.fsdecode(b"\xfe"), tmp_path)


# ---- images and points ----------------------------------------------------------------------------------------------


def test_the_choice_of_images_follows_the_seed():
    dataset = DATASETS.get("digits")()
    images = Zeros(*[(2, 2, 1)] * 100)
    first, again, other = (select(dataset, images, 10, seed) for seed in (0, 0, 1))
    assert first == again
    assert first.indices != other.indices
    assert list(first.indices) == sorted(set(first.indices))
    assert len(first.indices) == 10
    assert set(first.shown) <= set(first.indices)
    assert select(dataset, images, None, 0).indices == tuple(range(100))
    assert len(select(dataset, images, 1_000, 0).indices) == 100
    with pytest.raises(UsageError, match="has no images"):
        select(dataset, Zeros(), 10, 0)


def test_chunks_hold_one_shape_and_a_bounded_amount():
    images = Zeros(*[(4, 4, 1), (2, 8, 1)] * 1_500, *[(4096, 4096, 3)] * 2)
    pieces = list(chunks(images, range(len(images))))
    assert sorted(index for _, indices in pieces for index in indices) == list(range(len(images)))
    assert all({images.shape(index) for index in indices} == {shape} for shape, indices in pieces)
    assert all(len(indices) <= 2_000 for _, indices in pieces)
    assert all(len(indices) == 1 or len(indices) * np.prod(shape) <= CHUNK_BYTES for shape, indices in pieces)


def test_datasets_and_points_that_do_not_fit_are_skipped_on_their_own(tmp_path):
    found = plan("lossy_ae,none,svd:rank=28/40", "digits,photos", tmp_path)
    counts = Counter((task.dataset, task.codec.name) for task in found.tasks if task.codec.name != "lossy_ae")
    assert counts == {("digits", "none"): 1, ("photos", "none"): 1, ("digits", "svd"): 1, ("photos", "svd"): 2}
    assert {task.dataset for task in found.tasks if task.codec.name == "lossy_ae"} == {"digits"}
    skips = {(skip.dataset, skip.codec): skip for skip in found.skips}
    assert skips.keys() == {("photos", "lossy_ae"), ("digits", "svd:rank=40")}
    assert skips["photos", "lossy_ae"].images == 5
    assert "28×28×1" in skips["photos", "lossy_ae"].reason


def test_of_all_codecs_those_that_fit_nothing_are_skipped(tmp_path):
    others = [name for name in CODECS.names() if name not in ("lossy_ae", "none")]
    assert [skip.codec for skip in plan("all", "photos", tmp_path, skip=others).skips] == ["lossy_ae"]
