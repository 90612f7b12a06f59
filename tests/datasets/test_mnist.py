from __future__ import annotations

import gzip
import hashlib
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from datafiles import digits, idx
from datafiles import write_mnist as write

from codecbench.datasets import mnist
from codecbench.datasets.mnist import Mnist
from codecbench.errors import DatasetError


def test_gzipped_and_plain_files_are_read_and_plain_ones_preferred_as_memory_maps(tmp_path: Path) -> None:
    for packed, images in ((True, digits()), (False, digits(7))):
        write(tmp_path, images=images, packed=packed)
        status = Mnist().status(tmp_path)
        assert (status.available, status.images, status.shape) == (True, len(images), (28, 28, 1))
        opened = Mnist().load(tmp_path)
        assert (len(opened), opened.shape(4)) == (len(images), (28, 28, 1))
        assert np.array_equal(opened.read([3, 0]), images[[3, 0], ..., np.newaxis])
        assert opened.labels.tolist() == list(range(len(images)))
    assert isinstance(opened.array.base, np.memmap)


def test_splits_have_their_own_files(tmp_path: Path) -> None:
    write(tmp_path, "train", digits(9))
    train = Mnist(split="train")
    assert (train.label, train.family, len(train.load(tmp_path))) == ("mnist:split=train", "mnist", 9)
    with pytest.raises(DatasetError, match=re.escape(str(tmp_path / "MNIST" / "raw"))):
        Mnist().load(tmp_path)


def test_labels_may_be_missing_and_must_match_the_images(tmp_path: Path) -> None:
    labels = write(tmp_path).with_name("t10k-labels-idx1-ubyte")
    labels.write_bytes(idx(np.zeros(4, np.uint8)))
    with pytest.raises(DatasetError, match="4 labels for 5 images"):
        Mnist().load(tmp_path)
    labels.unlink()
    assert Mnist().load(tmp_path).labels is None


GOOD = idx(digits())


@pytest.mark.parametrize(
    ("content", "words", "words_packed"),
    [
        (b"", "not an IDX file of images", ""),
        (GOOD[:10], "not an IDX file of images", ""),
        (b"\x89PNG" + GOOD[4:], "not an IDX file of images .it begins with 89504e47", ""),
        (idx(np.arange(5, dtype=np.uint8)), "not an IDX file of images", ""),
        (GOOD[:-1], "3935 bytes, expected 3936", "fewer bytes than the 3936"),
        (GOOD + b"x", "3937 bytes, expected 3936", "more bytes than the 3936"),
        (idx(np.zeros((3, 32, 32), np.uint8)), "32×32 pixels, expected 28×28", ""),
        (idx(np.zeros((0, 28, 28), np.uint8)), "0 items", ""),
        (struct.pack(">IIII", 0x803, 2**32 - 1, 28, 28), "4294967295 items", ""),
    ],
)
def test_damaged_and_foreign_files(tmp_path: Path, content: bytes, words: str, words_packed: str) -> None:
    path = write(tmp_path)
    path.write_bytes(content)
    assert not Mnist().status(tmp_path).available
    refused(tmp_path, words)
    path.unlink()
    archive = path.with_name(path.name + ".gz")
    archive.write_bytes(gzip.compress(content, mtime=0))
    refused(tmp_path, words_packed or words)
    for damaged in (b"no gzip at all, though it says so", gzip.compress(GOOD, mtime=0)[:-20]):
        archive.write_bytes(damaged)
        refused(tmp_path, "cannot be read")


def refused(root: Path, words: str) -> None:
    with pytest.raises(DatasetError, match=words) as caught:
        Mnist().load(root)
    assert "\n" not in str(caught.value)


@pytest.mark.real_data
def test_the_real_mnist(data_root: Path) -> None:
    opened = Mnist().load(data_root)
    assert len(opened) == 10_000
    assert opened.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    block = opened.read(range(10_000))
    header = struct.pack(">IIII", 0x803, 10_000, 28, 28)
    assert hashlib.md5(header + block.tobytes()).hexdigest() == mnist.PLAIN_MD5["t10k-images-idx3-ubyte"]
    assert len(Mnist(split="train").load(data_root)) == 60_000
