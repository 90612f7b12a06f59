from __future__ import annotations

import gzip
import hashlib
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codecbench.datasets import mnist
from codecbench.datasets.mnist import Mnist
from codecbench.errors import DatasetError, SettingError

STEMS = ("t10k", "train")


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def images(count: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def write(root: Path, stem: str = "t10k", count: int = 5, packed: bool = False) -> Path:
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    contents = {
        "images-idx3-ubyte": images(count),
        "labels-idx1-ubyte": np.arange(count, dtype=np.uint8) % 10,
    }
    for name, array in contents.items():
        path = raw / f"{stem}-{name}"
        if packed:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(idx(array), mtime=0))
        else:
            path.write_bytes(idx(array))
    return raw / "t10k-images-idx3-ubyte"


@pytest.mark.parametrize("packed", [False, True])
def test_reads_plain_and_gzipped_files(tmp_path: Path, packed: bool) -> None:
    write(tmp_path, packed=packed)
    status = Mnist().status(tmp_path)
    assert (status.available, status.images, status.shape) == (True, 5, (28, 28, 1))
    opened = Mnist().load(tmp_path)
    assert len(opened) == 5
    assert opened.shape(4) == (28, 28, 1)
    assert np.array_equal(opened.read([3, 0]), images()[[3, 0], ..., np.newaxis])
    assert opened.read([1]).dtype == np.uint8
    assert opened.labels.tolist() == [0, 1, 2, 3, 4]


def test_plain_files_are_memory_mapped_and_preferred(tmp_path: Path) -> None:
    write(tmp_path, packed=True)
    write(tmp_path, count=7)
    opened = Mnist().load(tmp_path)
    assert len(opened) == 7
    assert isinstance(opened.array.base, np.memmap)


def test_splits_have_their_own_files_and_labels(tmp_path: Path) -> None:
    write(tmp_path, "train", 9)
    train = Mnist(split="train")
    assert (train.label, train.family, len(train.load(tmp_path))) == ("mnist:split=train", "mnist", 9)
    assert not Mnist().status(tmp_path).available
    with pytest.raises(SettingError, match="test, train"):
        Mnist(split="valid")


def test_labels_may_be_missing(tmp_path: Path) -> None:
    write(tmp_path).with_name("t10k-labels-idx1-ubyte").unlink()
    assert Mnist().load(tmp_path).labels is None


def test_a_missing_set_names_folder_and_command(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="codecbench data get mnist") as caught:
        Mnist().load(tmp_path)
    assert str(tmp_path / "MNIST" / "raw") in str(caught.value)
    status = Mnist().status(tmp_path)
    assert not status.available
    assert "data get mnist" in status.note


GOOD = idx(images())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an IDX file of images"),
        (GOOD[:10], "not an IDX file of images"),
        (b"\x89PNG" + GOOD[4:], "not an IDX file of images .it begins with 89504e47"),
        (idx(np.arange(5, dtype=np.uint8)), "not an IDX file of images"),
        (GOOD[:-1], "3935 bytes, expected 3936"),
        (GOOD + b"x", "3937 bytes, expected 3936"),
        (idx(np.zeros((3, 32, 32), np.uint8)), "32×32 pixels, expected 28×28"),
        (idx(np.zeros((0, 28, 28), np.uint8)), "0 items"),
        (struct.pack(">IIII", 0x803, 2**32 - 1, 28, 28), "4294967295 items"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_damaged_and_foreign_files(tmp_path: Path, content: bytes, words: str, packed: bool) -> None:
    path = write(tmp_path)
    path.unlink()
    if packed:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(content, mtime=0))
        words = words.replace("3935 bytes, expected 3936", "fewer bytes than the 3936")
        words = words.replace("3937 bytes, expected 3936", "more bytes than the 3936")
    else:
        path.write_bytes(content)
        assert not Mnist().status(tmp_path).available
    with pytest.raises(DatasetError, match=words) as caught:
        Mnist().load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"no gzip at all, though it says so", gzip.compress(GOOD, mtime=0)[:-20]])
def test_damaged_archives(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path)
    path.unlink()
    path.with_name(path.name + ".gz").write_bytes(content)
    with pytest.raises(DatasetError, match="cannot be read"):
        Mnist().load(tmp_path)


def test_labels_must_match_the_images(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.with_name("t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(4, np.uint8)))
    with pytest.raises(DatasetError, match="4 labels for 5 images"):
        Mnist().load(tmp_path)


@pytest.fixture
def small_mnist(server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A web server with a small MNIST, which torchvision takes for the real one; returns its folder."""
    from torchvision.datasets import MNIST

    folder, url = server
    resources, plain = [], {}
    for stem in STEMS:
        write(folder, stem, packed=True)
    for path in sorted((folder / "MNIST" / "raw").glob("*.gz")):
        content = path.read_bytes()
        (folder / path.name).write_bytes(content)
        resources.append((path.name, hashlib.md5(content).hexdigest()))
        plain[path.stem] = hashlib.md5(gzip.decompress(content)).hexdigest()
    monkeypatch.setattr(MNIST, "mirrors", [url])
    monkeypatch.setattr(MNIST, "resources", resources)
    monkeypatch.setattr(mnist, "PLAIN_MD5", plain)
    return folder


def test_download_leaves_verified_plain_files(tmp_path: Path, small_mnist: Path) -> None:
    said: list[str] = []
    root = tmp_path / "root"
    Mnist().download(root, said.append)
    assert "11.6 MB" in said[0]
    for split in ("test", "train"):
        opened = Mnist(split=split).load(root)
        assert np.array_equal(opened.read(range(5))[..., 0], images())
    said.clear()
    Mnist().download(root, said.append)
    assert len(said) == 1
    assert "already" in said[0]


def test_download_replaces_a_damaged_file(tmp_path: Path, small_mnist: Path) -> None:
    path = write(tmp_path / "root")
    path.write_bytes(path.read_bytes()[:-7])
    said: list[str] = []
    Mnist().download(tmp_path / "root", said.append)
    assert any("is damaged and is replaced" in line for line in said)
    assert len(Mnist().load(tmp_path / "root")) == 5


def test_download_of_altered_files_is_refused(tmp_path: Path, small_mnist: Path) -> None:
    (small_mnist / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"something else"))
    with pytest.raises(DatasetError, match="by hand: put") as caught:
        Mnist().download(tmp_path / "root", lambda line: None)
    assert "\n" not in str(caught.value)


def test_download_without_a_server(tmp_path: Path, small_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(DatasetError, match="the download of MNIST failed") as caught:
        Mnist().download(tmp_path / "root", lambda line: None)
    assert "\n" not in str(caught.value)


def test_download_without_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(DatasetError, match=r"torchvision.*cannot be imported.*by hand: put t10k-images"):
        Mnist().download(tmp_path, lambda line: None)


def test_dataset_plugins_load_nothing_heavy() -> None:
    code = (
        "import sys; from codecbench.plugins.registry import DATASETS;"
        "[DATASETS.get(name) for name in DATASETS.names()];"
        "heavy = {'torch', 'torchvision', 'pandas', 'matplotlib', 'skimage'} & set(sys.modules);"
        "assert not heavy, heavy;"
        "assert {'digits', 'folder', 'mnist', 'photos', 'stl10'} <= set(DATASETS.names())"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.real_data
def test_the_real_mnist(data_root: Path) -> None:
    opened = Mnist().load(data_root)
    assert len(opened) == 10_000
    assert opened.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    block = opened.read(range(10_000))
    header = struct.pack(">IIII", 0x803, 10_000, 28, 28)
    assert hashlib.md5(header + block.tobytes()).hexdigest() == mnist.PLAIN_MD5["t10k-images-idx3-ubyte"]
    assert len(Mnist(split="train").load(data_root)) == 60_000
