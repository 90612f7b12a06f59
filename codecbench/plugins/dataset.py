"""The contract that every dataset meets.

A dataset is a frozen dataclass whose fields are its settings (the split, the crop). ``load`` opens it as an
:class:`ImageSet`, which hands out uint8 images (N, H, W, C) by index without holding all of them in memory.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from codecbench.fingerprint import fingerprint_pixels
from codecbench.plugins.answers import require_pixels
from codecbench.plugins.codec import Images, Shape
from codecbench.plugins.settings import HasSettings, format_value, settings_of


@dataclass(frozen=True)
class DatasetStatus:
    """What is known about a dataset without opening it.

    Attributes:
        available: its images can be read now.
        images: how many there are, or None where that is not known.
        shape: height, width, channels, or None where it varies or is not known.
        note: where the images come from, or how to get them.
    """

    available: bool
    images: int | None = None
    shape: Shape | None = None
    note: str = ""


class ImageSet(abc.ABC):
    """Images of a dataset, read on demand.

    Attributes:
        notes: what a person should know about these images, for example which files were left out.
    """

    notes: Sequence[str] = ()

    @abc.abstractmethod
    def __len__(self) -> int:
        """How many images there are."""

    @abc.abstractmethod
    def shape(self, index: int) -> Shape:
        """Height, width and channels of an image."""

    @abc.abstractmethod
    def read(self, indices: Sequence[int]) -> Images:
        """Reads images of one shape.

        Args:
            indices: image numbers from 0 to ``len(self) - 1``, all of one shape.

        Returns:
            uint8, (len(indices), H, W, C), contiguous.

        Raises:
            DatasetError: an image cannot be read.
        """

    def about(self, indices: Sequence[int]) -> list[str]:
        """What a person should know about the images that were chosen; asked once they have been read.

        Args:
            indices: the numbers of the chosen images.

        Returns:
            notes like ``notes``, for example how many of these images come from lossy files.
        """
        return []

    @final
    def fingerprint(self, indices: Sequence[int]) -> str:
        """Identifies the pixels of images of one shape; see :func:`fingerprint_pixels`.

        Raises:
            DatasetError: what is read is not uint8 of that shape.
        """
        parts = (indices[start : start + 256] for start in range(0, len(indices), 256))
        return fingerprint_pixels(require_pixels(self.read(part), len(part), self.shape(part[0])) for part in parts)


class ArrayImages(ImageSet):
    """Images of one shape in an array, which may be a memory map.

    Args:
        array: uint8, (N, H, W, C).
        labels: class numbers, (N,), or None.
    """

    def __init__(self, array: Images, labels: npt.NDArray[np.integer] | None = None):
        self.array = array
        self.labels = labels

    def __len__(self) -> int:
        return len(self.array)

    def shape(self, index: int) -> Shape:
        """Height, width and channels, the same for every image."""
        height, width, channels = self.array.shape[1:]
        return height, width, channels

    def read(self, indices: Sequence[int]) -> Images:
        """Reads images by number."""
        return np.ascontiguousarray(self.array[np.asarray(indices, dtype=np.intp)])


class Dataset(HasSettings, abc.ABC):
    """Base of all datasets.

    Attributes:
        name: the file stem of the plugin; set by ``register_dataset``.
        downloads: what ``codecbench data get`` would fetch, in words with its size, or empty for nothing.
        ask_first: the download is so large that the person is asked before it begins.
    """

    name: ClassVar[str] = ""
    downloads: ClassVar[str] = ""
    ask_first: ClassVar[bool] = False

    @abc.abstractmethod
    def status(self, data_dir: Path) -> DatasetStatus:
        """Whether the images can be read now, without reading them."""

    @abc.abstractmethod
    def load(self, data_dir: Path) -> ImageSet:
        """Opens the images under a data root.

        Raises:
            DatasetError: not there (says how to get it), damaged, or holding images that the settings refuse.
        """

    def download(self, data_dir: Path, say: Callable[[str], None]) -> None:
        """Fetches and verifies the data; does nothing for datasets that need no download.

        Args:
            data_dir: the data root.
            say: receives progress lines.

        Raises:
            DatasetError: the download failed; says what can be done by hand.
        """

    @property
    def family(self) -> str:
        """The kind of data, compared with the ``trained_on`` of learned codecs."""
        return self.name

    @property
    def is_training_data(self) -> bool:
        """Whether learned codecs of this family were trained on these images."""
        return False

    @property
    def label(self) -> str:
        """The dataset's name in every table and plot: the name, and the settings that are not at their defaults."""
        changed = [
            ("" if info.positional else f"{key}=") + format_value(value, literal=info.literal)
            for (key, info), value in zip(settings_of(type(self)).items(), self.settings.values(), strict=True)
            if value != info.default
        ]
        return self.name + (":" + ",".join(changed) if changed else "")
