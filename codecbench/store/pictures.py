"""Pictures that a run keeps beside its rows: reconstructions of the images shown, and each codec's worst images.

    RUN/samples/ID.npz     reconstructions of the images shown, by task; see ``RunFolder.samples``
    RUN/kept/KEY.npz       one codec point on a few images: originals, reconstructions, and what they are
    RUN/kept/KEY.json      that a codec's worst images are kept, or why not; written last

A codec's worst images are those of ``codecbench.analysis.per_image.worst``. They are encoded once more and decoded from
the bytes alone, as all images are, and kept for the codec itself and, to compare with, for one other: at its points
nearest in rate and in PSNR. Of a large image the window with the largest error is kept, for both the same.

A key covers the codec with its settings and fingerprint, and the tasks whose rows decide which images are the worst.
What was made with another codec, or of other images, stays on disk and never shows. ``codecbench.execution.pictures``
makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from codecbench.plugins.codec import Images
from codecbench.store.io import WINDOW, DatasetRecord, check_picture
from codecbench.store.schema import Signed


@dataclass(frozen=True)
class StoredImage:
    """One image, encoded once more and decoded from the bytes alone."""

    image: int  # its index in the dataset
    height: int  # of the whole image
    width: int
    top: int  # first row of the window that is kept
    left: int  # its first column
    num_bytes: int  # length of its bitstream
    mse: float  # of the whole image on the [0, 1] scale
    original: Images  # the window, uint8 (h, w, C)
    picture: Images  # the same of the reconstruction


@dataclass(frozen=True, kw_only=True)
class WorstImagesRecord(DatasetRecord):
    """That a codec's worst images on a dataset are kept, or why not."""

    FOLDER: ClassVar[str] = "kept"

    settings: str = ""  # the files have them; the subject is the codec, whatever its settings
    codecs: tuple[str, ...]  # what it was compared among
    files: tuple[str, ...]  # keys of worst cases


@dataclass(frozen=True, kw_only=True)
class WorstCaseRecord(DatasetRecord):
    """Whose images a worst case is."""

    FOLDER: ClassVar[str] = "kept"

    failed: str = ""
    worst_of: str  # the codec whose worst images these are; the same, or the one that this is compared with
    key: str  # of the worst case of that codec itself

    @property
    def subject(self) -> object:
        """The codec whose worst images these are."""
        return self.dataset, self.worst_of


@dataclass(frozen=True, kw_only=True)
class WorstCase(WorstCaseRecord):
    """Images kept of one codec point because they are some codec's worst."""

    SUFFIX: ClassVar[str] = ".npz"

    images: tuple[StoredImage, ...]  # in the order of their errors, the worst first
    classes: dict[int, Signed]  # class numbers by image index, where they are known

    def is_whole(self, file: Path) -> bool:
        """Whether each image's window is there twice, and inside the image."""
        for one in self.images:
            high, wide, _ = check_picture(one.original).shape
            if one.picture.shape != one.original.shape or one.top + high > one.height or one.left + wide > one.width:
                return False
        return True


def choose_window(original: Images, picture: Images, side: int = WINDOW) -> tuple[int, int]:
    """Top and left of the window of a large image (H, W, C) with the largest sum of squared errors.

    Of several the first, in rows and then columns; (0, 0) for images no larger than a window of ``side``.
    """
    height, width, _ = original.shape
    error = (original.astype(np.int64) - picture.astype(np.int64)) ** 2
    sums = np.zeros((height + 1, width + 1), dtype=np.int64)  # of everything above and to the left
    sums[1:, 1:] = error.sum(axis=2).cumsum(axis=0).cumsum(axis=1)
    high, wide = min(height, side), min(width, side)
    inside = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(top), int(left)
