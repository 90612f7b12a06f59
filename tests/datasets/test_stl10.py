from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from datafiles import photographs
from datafiles import write_stl10 as write

from codecbench.datasets.stl10 import RandomCrops, Stl10
from codecbench.errors import DatasetError


def test_centre_crops_are_upright(tmp_path: Path) -> None:
    write(tmp_path)
    status = Stl10().status(tmp_path)
    assert (status.available, status.images, status.shape) == (True, 6, (64, 64, 3))
    opened = Stl10().load(tmp_path)
    assert len(opened) == 6
    assert np.array_equal(opened.read([5, 2]), photographs()[[5, 2], 16:80, 16:80])
    assert opened.read([0, 1]).flags.c_contiguous
    assert opened.labels.tolist() == [0, 1, 2, 3, 4, 5]


def test_only_the_split_that_is_read_has_to_be_there(tmp_path: Path) -> None:
    write(tmp_path, "unlabeled", 3, labels=False)
    opened = Stl10(split="unlabeled").load(tmp_path)
    assert len(opened) == 3
    assert opened.labels is None
    with pytest.raises(DatasetError, match=r"no test_X\.bin in .*codecbench data get stl10"):
        Stl10().load(tmp_path)
    assert not Stl10(split="train").status(tmp_path).available


def test_random_crops_depend_on_seed_and_index_alone(tmp_path: Path) -> None:
    write(tmp_path)
    opened = Stl10(crop="random", seed=3).load(tmp_path)
    assert isinstance(opened, RandomCrops)
    together = opened.read(range(6))
    for index in range(6):
        row, column = opened.corner(index)
        assert 0 <= row <= 32
        assert 0 <= column <= 32
        assert np.array_equal(together[index], photographs()[index, row : row + 64, column : column + 64])
        assert np.array_equal(opened.read([index])[0], together[index])
    assert opened.shape(0) == (64, 64, 3)
    assert opened.labels.tolist() == [0, 1, 2, 3, 4, 5]
    other = Stl10(crop="random", seed=4).load(tmp_path)
    assert not np.array_equal(other.read(range(6)), together)
    assert Stl10(crop="random", seed=4).label == "stl10:crop=random,seed=4"
    crops = RandomCrops(np.zeros((0, 96, 96, 3), np.uint8), seed=0)
    places = np.array([crops.corner(index) for index in range(3000)])
    assert places[:3].tolist() == [[19, 7], [13, 22], [13, 17]], "pinned"
    assert (places.min(axis=0).tolist(), places.max(axis=0).tolist()) == ([0, 0], [32, 32])
    assert np.allclose(places.mean(axis=0), 16, atol=0.7)


def test_files_of_a_wrong_size_are_refused_but_labels_of_more_images_are_not(tmp_path: Path) -> None:
    path = write(tmp_path)
    labels = path.with_name("test_y.bin")
    labels.write_bytes(bytes([7] * 8000))
    assert Stl10().load(tmp_path).labels.tolist() == [6] * 6
    labels.write_bytes(bytes([7] * 5))
    with pytest.raises(DatasetError, match="5 labels for 6 images"):
        Stl10().load(tmp_path)
    labels.write_bytes(bytes([11] * 6))
    with pytest.raises(DatasetError, match="outside 1 to 10"):
        Stl10().load(tmp_path)
    content = path.read_bytes()
    for wrong in (content[:-1], content + b"x", b""):
        path.write_bytes(wrong)
        with pytest.raises(DatasetError, match="expected a multiple of 27648"):
            Stl10().load(tmp_path)
        assert not Stl10().status(tmp_path).available


@pytest.mark.real_data
def test_the_real_stl10(data_root: Path) -> None:
    opened = Stl10().load(data_root)
    assert len(opened) >= 1000
    crops = opened.read(range(1000))
    assert crops.shape == (1000, 64, 64, 3)
    # A photograph is smooth: rows and columns that were swapped, or planes that were mixed up, are not.
    smooth = np.abs(np.diff(crops.astype(np.int16), axis=2)).mean()
    assert smooth < 15
    train = Stl10(split="train").load(data_root)
    assert len(train) == 5000
    assert np.bincount(train.labels).tolist() == [500] * 10
