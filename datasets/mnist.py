"""MNIST: 70,000 handwritten digits, 28×28 gray (LeCun, Cortes, Burges, 1998), from its own IDX files.

The files are in ``MNIST/raw`` under the data root, where ``codecbench data get mnist`` puts them. Plain files are
memory-mapped; a gzipped one is read if there is no plain one.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

import codecbench as cb

SIDE = 28
MAX_IMAGES = 1_000_000  # a damaged header must not claim all memory
STEMS = {"test": "t10k", "train": "train"}
PLAIN_MD5 = {
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
}
REPAIR = "`codecbench data get mnist` replaces it"
URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"


@cb.register_dataset
@dataclass(frozen=True)
class Mnist(cb.Dataset):
    """MNIST, images (N, 28, 28, 1) uint8: 10,000 in the test split, 60,000 in the training split."""

    downloads: ClassVar[str] = "11.6 MB (66 MB with the unpacked files)"

    split: str = cb.setting("test", choices=("test", "train"), help="part of MNIST")

    @property
    def is_training_data(self) -> bool:
        """All but the test split."""
        return self.split != "test"

    def status(self, data_dir: Path) -> cb.DatasetStatus:
        """Reads the header of the images' file."""
        try:
            path = _find(data_dir, f"{STEMS[self.split]}-images-idx3-ubyte")
            (count,) = _header(path, (SIDE, SIDE))
        except cb.DatasetError as error:
            return cb.DatasetStatus(False, None, (SIDE, SIDE, 1), str(error))
        return cb.DatasetStatus(True, count, (SIDE, SIDE, 1), str(path))

    def load(self, data_dir: Path) -> cb.ImageSet:
        """Opens the images, and the labels if their file is there."""
        stem = STEMS[self.split]
        images = _read(_find(data_dir, f"{stem}-images-idx3-ubyte"), (SIDE, SIDE))
        try:
            path = _find(data_dir, f"{stem}-labels-idx1-ubyte")
        except cb.DatasetError:
            return cb.ArrayImages(images[..., np.newaxis])
        labels = _read(path, ())
        if len(labels) != len(images):
            raise cb.DatasetError(f"mnist: {path} holds {len(labels)} labels for {len(images)} images")
        return cb.ArrayImages(images[..., np.newaxis], labels)

    def download(self, data_dir: Path, say: Callable[[str], None]) -> None:
        """Fetches both splits with torchvision, which checks the archives; unpacked files are checked here."""
        raw = data_dir / "MNIST" / "raw"
        present = {name: (raw / name).is_file() for name in PLAIN_MD5}
        wrong = [name for name, md5 in PLAIN_MD5.items() if not cb.data.has_md5(raw / name, md5)]
        if not wrong:
            say(f"mnist is already in {raw}; its checksums are right")
            return
        by_hand = f"by hand: put {', '.join(f'{name}.gz' for name in PLAIN_MD5)} from {URL} into {raw}"
        torchvision_mnist = cb.data.torchvision_class("MNIST", by_hand)
        say(f"mnist: downloading 11.6 MB into {raw}")
        with cb.data.reported("MNIST", by_hand):
            for name in (name for name in wrong if present[name]):
                say(f"mnist: {raw / name} is damaged and is replaced")
                (raw / name).unlink()
            torchvision_mnist(root=str(data_dir), train=False, download=True)
        if bad := [name for name, md5 in PLAIN_MD5.items() if not cb.data.has_md5(raw / name, md5)]:
            raise cb.DatasetError(
                f"mnist: {', '.join(bad)} in {raw} have wrong checksums after the download; {by_hand}"
            )
        say(f"mnist: complete in {raw}; checksums are right")


def _find(data_dir: Path, name: str) -> Path:
    folder = data_dir / "MNIST" / "raw"
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise cb.DatasetError(f"mnist: no {name} (or {name}.gz) in {folder}; `codecbench data get mnist` downloads it")


def _read_bytes(path: Path, most: int) -> bytes:
    """At most ``most`` bytes of the content, decompressed if it is gzipped."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return file.read(most)
    except (OSError, EOFError, zlib.error) as error:
        raise cb.DatasetError(f"mnist: {path} cannot be read ({cb.one_line(error)})") from error


def _header(path: Path, item: tuple[int, ...]) -> tuple[int]:
    """Checks an IDX header (unsigned bytes, one dimension and those of ``item``) and returns the count.

    The size of a plain file is checked too, so that one cut short is found before anything is read.
    """
    length = 8 + 4 * len(item)
    head = _read_bytes(path, length)
    if len(head) < length or head[:4] != bytes((0, 0, 8, 1 + len(item))):
        kind = "images" if item else "labels"
        raise cb.DatasetError(
            f"mnist: {path} is not an IDX file of {kind} (it begins with {head[:4].hex() or 'nothing'})"
        )
    count, *dims = np.frombuffer(head[4:], ">u4").tolist()
    if tuple(dims) != item:
        got = "×".join(map(str, dims))
        raise cb.DatasetError(f"mnist: {path} holds images of {got} pixels, expected {SIDE}×{SIDE}")
    if not 0 < count <= MAX_IMAGES:
        raise cb.DatasetError(f"mnist: {path} claims to hold {count} items; from 1 to {MAX_IMAGES} are allowed")
    size = path.stat().st_size
    expected = length + count * math.prod(item)
    if path.suffix != ".gz" and size != expected:
        raise cb.DatasetError(
            f"mnist: {path} has {size} bytes, expected {expected}: it is damaged or cut short; {REPAIR}"
        )
    return (count,)


def _read(path: Path, item: tuple[int, ...]) -> cb.Images | npt.NDArray[np.uint8]:
    """The content of an IDX file, (N, *item) uint8; memory-mapped if the file is plain."""
    (count,) = _header(path, item)
    length = 8 + 4 * len(item)
    if path.suffix != ".gz":
        return np.memmap(path, np.uint8, mode="r", offset=length, shape=(count, *item))
    expected = length + count * math.prod(item)
    content = _read_bytes(path, expected + 1)
    if len(content) != expected:
        more = "more" if len(content) > expected else "fewer"
        raise cb.DatasetError(f"mnist: {path} holds {more} bytes than the {expected} that its header claims")
    return np.frombuffer(content, np.uint8, offset=length).reshape(count, *item)
