"""STL-10: colour photographs, 64×64 crops of 96×96 (Coates, Lee, Ng, AISTATS 2011), from its own files.

``codecbench data get stl10`` puts ``test_X.bin`` (8,000 images), ``train_X.bin`` (5,000) and ``unlabeled_X.bin``
(100,000) into ``stl10_binary`` under the data root; each image is stored plane by plane and column by column. A split
needs only its own file, which may hold fewer images than the official one. Files are memory-mapped, so only the images
that are used are read from the disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

import codecbench as cb

FULL = 96
SIDE = 64
IMAGE_BYTES = 3 * FULL * FULL
FOLDER = "stl10_binary"
URL = "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz"
NEEDED_BYTES = 5_900_000_000  # the archive and what it unpacks to


@cb.register_dataset
@dataclass(frozen=True)
class Stl10(cb.Dataset):
    """STL-10 cut to 64×64, images (N, 64, 64, 3) uint8."""

    downloads: ClassVar[str] = "2.6 GB (5.8 GB of disk while it unpacks, 3.1 GB afterwards)"
    ask_first: ClassVar[bool] = True

    split: str = cb.setting("test", choices=("test", "train", "unlabeled"), help="part of STL-10")
    crop: str = cb.setting(
        "center",
        choices=("center", "random", "none"),
        help="place of the 64×64 pixels in the 96×96; none keeps all of them",
    )
    seed: int = cb.setting(0, low=0, high=2**32 - 1, help="seed for the places of random crops")

    @property
    def is_training_data(self) -> bool:
        """All but the test split."""
        return self.split != "test"

    def status(self, data_dir: Path) -> cb.DatasetStatus:
        """Counts the images from the size of their file."""
        try:
            path, count = self._find(data_dir)
        except cb.DatasetError as error:
            return cb.DatasetStatus(False, None, self._shape, str(error))
        return cb.DatasetStatus(True, count, self._shape, str(path))

    def load(self, data_dir: Path) -> cb.ImageSet:
        """Opens the images, and the labels if their file is there."""
        path, count = self._find(data_dir)
        planes = np.memmap(path, np.uint8, mode="r", shape=(count, 3, FULL, FULL))
        images = planes.transpose(0, 3, 2, 1)  # image, channel, column, row -> image, row, column, channel
        labels = self._labels(path, count)
        if self.crop == "none":
            return cb.ArrayImages(images, labels)
        if self.crop == "random":
            return RandomCrops(images, self.seed, labels)
        edge = (FULL - SIDE) // 2
        return cb.ArrayImages(images[:, edge : edge + SIDE, edge : edge + SIDE], labels)

    def download(self, data_dir: Path, say: Callable[[str], None]) -> None:
        """Fetches and unpacks the whole of STL-10 with torchvision, which checks the archive and every file."""
        folder = data_dir / FOLDER
        by_hand = f"by hand: unpack {URL} in {data_dir}, so that its .bin files are in {folder}"
        stl10 = cb.data.torchvision_class("STL10", by_hand)
        expected = [(folder / name, md5) for name, md5 in stl10.train_list + stl10.test_list]
        if all(cb.data.has_md5(path, md5) for path, md5 in expected):
            say(f"stl10 is already in {folder}; its checksums are right")
            return
        cb.data.need_space(data_dir, NEEDED_BYTES, "stl10")
        say(f"stl10: downloading 2.6 GB into {data_dir}; unpacked it takes 3.1 GB")
        with cb.data.reported("STL-10", by_hand):
            from torchvision.datasets.utils import download_and_extract_archive

            # Not STL10(download=True): it would read all 3.1 GB into memory when it is done.
            download_and_extract_archive(
                stl10.url, str(data_dir), filename=stl10.filename, md5=stl10.tgz_md5, remove_finished=True
            )
        say("stl10: checking the files")
        if bad := [path.name for path, md5 in expected if not cb.data.has_md5(path, md5)]:
            raise cb.DatasetError(
                f"stl10: {', '.join(bad)} in {folder} have wrong checksums after unpacking; {by_hand}"
            )
        say(f"stl10: complete in {folder}; checksums are right")

    @property
    def _shape(self) -> cb.Shape:
        side = FULL if self.crop == "none" else SIDE
        return side, side, 3

    def _find(self, data_dir: Path) -> tuple[Path, int]:
        folder = data_dir / FOLDER
        path = folder / f"{self.split}_X.bin"
        if not path.is_file():
            raise cb.DatasetError(
                f"stl10: no {path.name} in {folder}; `codecbench data get stl10` downloads it (2.6 GB)"
            )
        count, rest = divmod(path.stat().st_size, IMAGE_BYTES)
        if rest or not count:
            size = path.stat().st_size
            raise cb.DatasetError(
                f"stl10: {path} has {size} bytes, expected a multiple of {IMAGE_BYTES} (one image): "
                "it is damaged, cut short or another file"
            )
        return path, count

    def _labels(self, images: Path, count: int) -> npt.NDArray[np.uint8] | None:
        """Labels 0 to 9 of the first ``count`` images, or None without their file (which counts from 1)."""
        path = images.with_name(f"{self.split}_y.bin")
        if not path.is_file():
            return None
        labels = np.fromfile(path, np.uint8, count)
        if len(labels) < count:
            raise cb.DatasetError(f"stl10: {path} holds {len(labels)} labels for {count} images")
        if labels.min() < 1 or labels.max() > 10:
            raise cb.DatasetError(f"stl10: {path} holds labels outside 1 to 10: it is damaged or another file")
        return labels - np.uint8(1)


class RandomCrops(cb.ImageSet):
    """64×64 crops of images (N, 96, 96, 3), each from a place that the seed and the image's number alone decide."""

    def __init__(self, images: cb.Images, seed: int, labels: npt.NDArray[np.uint8] | None = None):
        self.images, self.seed, self.labels = images, seed, labels

    def __len__(self) -> int:
        return len(self.images)

    def shape(self, index: int) -> cb.Shape:
        """64×64, three channels."""
        return SIDE, SIDE, 3

    def corner(self, index: int) -> tuple[int, int]:
        """Row and column of the crop's top left corner, each from 0 to 32."""
        # A hash, not a generator: NumPy's may change between versions, and this one needs no state.
        sha = hashlib.sha256(f"{self.seed}:{index}".encode()).digest()
        places = FULL - SIDE + 1
        return int.from_bytes(sha[:8]) % places, int.from_bytes(sha[8:16]) % places

    def read(self, indices: Sequence[int]) -> cb.Images:
        """Cuts crops by number, (len(indices), 64, 64, 3)."""
        crops = np.empty((len(indices), SIDE, SIDE, 3), np.uint8)
        for position, index in enumerate(indices):
            row, column = self.corner(int(index))
            crops[position] = self.images[index, row : row + SIDE, column : column + SIDE]
        return crops
