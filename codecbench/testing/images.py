"""The images that codecs are checked with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from codecbench.errors import UnsupportedImageError
from codecbench.plugins.codec import Codec, Images, Shape
from codecbench.plugins.dataset import ArrayImages, Dataset, DatasetStatus, ImageSet
from codecbench.testing.results import CheckFailed
from codecbench.text import format_shape

SHAPES: tuple[Shape, ...] = (
    (28, 28, 1),
    (64, 64, 3),
    (1, 1, 1),
    (1, 1, 3),
    (17, 31, 3),
    (31, 17, 1),
    (2, 150, 3),
    (150, 3, 1),
)
"""Height, width and channels of the images: the usual ones, the smallest, odd, wide and tall ones."""

WRONG_SHAPES: tuple[Shape, ...] = ((8, 8, 2), (8, 8, 4), (0, 8, 1), (1 << 13, 1 << 13, 3))
"""No codec takes these: neither gray nor RGB, empty, more than ``MAX_PIXELS``."""


def sample_images(shape: Shape, seed: int = 0) -> Images:
    """Five images of a shape: smooth, noise, a drawing of few levels, black, white; uint8, (5, H, W, C)."""
    rng = np.random.default_rng(seed)
    height, width, channels = shape
    y, x = np.meshgrid(np.linspace(0, 3, height), np.linspace(0, 3, width), indexing="ij")
    phases = rng.uniform(0, 6, channels)
    smooth = np.stack([127.5 + 127 * np.sin(x + 2 * y + phase) for phase in phases], axis=-1)
    noise = rng.integers(0, 256, shape)
    drawing = np.where(smooth > 150, 255, np.where(noise > 240, 90, 0))
    images = np.stack([smooth, noise, drawing, np.zeros(shape), np.full(shape, 255)])
    return images.astype(np.uint8)


@dataclass(frozen=True)
class Samples(Dataset):
    """The sample images of a shape as a dataset."""

    name: ClassVar[str] = "samples"
    sample_shape: Shape
    seed: int

    def status(self, data_dir: Path) -> DatasetStatus:
        """They are always there."""
        return DatasetStatus(True)

    def load(self, data_dir: Path) -> ImageSet:
        """Makes them."""
        return ArrayImages(sample_images(self.sample_shape, self.seed))


def takes(codec: Codec, shape: Shape) -> bool:
    """Whether a codec takes images of a shape."""
    try:
        codec.check_shape(shape)
    except UnsupportedImageError:
        return False
    return True


def taken_shapes(codec: Codec, shapes: Sequence[Shape] = SHAPES) -> list[Shape]:
    """Those of some shapes that a codec takes.

    A codec that takes none of them is asked for its own ``image_shape``.

    Raises:
        CheckFailed: it takes none.
    """
    taken = [shape for shape in shapes if takes(codec, shape)]
    if not taken and codec.image_shape and takes(codec, codec.image_shape):
        taken = [codec.image_shape]
    if not taken:
        tried = ", ".join(map(format_shape, shapes))
        raise CheckFailed(f"takes images of none of the shapes {tried}; a codec of one other shape says image_shape")
    return taken
