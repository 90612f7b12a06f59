from __future__ import annotations

import hashlib
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from codecbench import data
from codecbench.datasets.stl10 import RandomCrops, Stl10
from codecbench.errors import DatasetError


def photographs(count: int = 6) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)


def write(root: Path, split: str = "test", count: int = 6, labels: bool = True) -> Path:
    folder = root / "stl10_binary"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}_X.bin"
    path.write_bytes(photographs(count).transpose(0, 3, 2, 1).tobytes())  # planes, column by column
    if labels:
        (folder / f"{split}_y.bin").write_bytes(bytes(1 + i % 10 for i in range(count)))
    return path


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


def test_random_places_are_pinned_and_reach_every_corner() -> None:
    crops = RandomCrops(np.zeros((0, 96, 96, 3), np.uint8), seed=0)
    assert [crops.corner(index) for index in range(3)] == PINNED
    places = np.array([crops.corner(index) for index in range(3000)])
    assert places.min(axis=0).tolist() == [0, 0]
    assert places.max(axis=0).tolist() == [32, 32]
    assert np.allclose(places.mean(axis=0), 16, atol=0.7)


PINNED = [(19, 7), (13, 22), (13, 17)]


@pytest.mark.parametrize("change", ["short", "long", "empty"])
def test_a_file_of_the_wrong_size(tmp_path: Path, change: str) -> None:
    path = write(tmp_path)
    content = path.read_bytes()
    path.write_bytes({"short": content[:-1], "long": content + b"x", "empty": b""}[change])
    with pytest.raises(DatasetError, match="expected a multiple of 27648"):
        Stl10().load(tmp_path)
    assert not Stl10().status(tmp_path).available


def test_labels_of_more_images_than_are_there_and_of_fewer(tmp_path: Path) -> None:
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


@pytest.fixture
def small_stl10(server: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A web server with a small STL-10, which torchvision takes for the real one; returns the archive."""
    from torchvision.datasets import STL10

    folder, url = server
    for split in ("test", "train", "unlabeled"):
        write(tmp_path / "source", split, 4, labels=split != "unlabeled")
    archive = folder / "stl10_binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "source" / "stl10_binary", "stl10_binary")

    def sums(split: str) -> list[list[str]]:
        files = sorted((tmp_path / "source" / "stl10_binary").glob(f"{split}_*"))
        return [[file.name, hashlib.md5(file.read_bytes()).hexdigest()] for file in files]

    monkeypatch.setattr(STL10, "url", url + archive.name)
    monkeypatch.setattr(STL10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    monkeypatch.setattr(STL10, "train_list", sums("train") + sums("unlabeled"))
    monkeypatch.setattr(STL10, "test_list", sums("test"))
    monkeypatch.setattr("codecbench.datasets.stl10.NEEDED_BYTES", 1000)
    return archive


def test_download_unpacks_and_verifies(tmp_path: Path, small_stl10: Path) -> None:
    assert Stl10.ask_first
    said: list[str] = []
    Stl10().download(tmp_path / "root", said.append)
    assert "2.6 GB" in said[0]
    assert len(Stl10().load(tmp_path / "root")) == 4
    assert not (tmp_path / "root" / small_stl10.name).exists()
    small_stl10.unlink()
    Stl10().download(tmp_path / "root", said.append)
    assert "already" in said[-1]


def test_an_altered_archive_is_refused(tmp_path: Path, small_stl10: Path) -> None:
    small_stl10.write_bytes(small_stl10.read_bytes()[:-9])
    with pytest.raises(DatasetError, match=r"the download of STL-10 failed .*by hand: unpack"):
        Stl10().download(tmp_path / "root", lambda line: None)


def test_wrong_files_in_the_archive_are_refused(
    tmp_path: Path, small_stl10: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import STL10

    monkeypatch.setattr(STL10, "test_list", [["test_X.bin", "0" * 32]])
    with pytest.raises(DatasetError, match=r"test_X\.bin in .* have wrong checksums"):
        Stl10().download(tmp_path / "root", lambda line: None)


def test_the_disk_must_have_room(tmp_path: Path, small_stl10: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codecbench.datasets.stl10.NEEDED_BYTES", 10**18)
    with pytest.raises(DatasetError, match="GB are free"):
        Stl10().download(tmp_path / "root", lambda line: None)
    assert not (tmp_path / "root").exists()


def test_a_torchvision_that_breaks_on_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise RuntimeError("operator torchvision::nms\ndoes not exist")

    monkeypatch.delitem(sys.modules, "torchvision.datasets", raising=False)
    monkeypatch.setattr(data.importlib, "import_module", broken)
    with pytest.raises(DatasetError, match=r"nms does not exist.*by hand: unpack"):
        Stl10().download(tmp_path, lambda line: None)


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
