"""64×64 crops of the colour photographs that scikit-image carries in its wheel; nothing to download.

Five photographs: an astronaut (NASA), Chelsea the cat, a cup of coffee, a rocket (SpaceX), and the left picture of the
Middlebury motorcycle. Cut without overlap from the top left corner, row by row, photograph by photograph in that order,
they give 283 crops; the rest at the right and at the bottom is not used. The crops of one photograph look alike, so a
split into training and test images goes by photograph: ``labels`` are the photographs' numbers.

The files are read straight from scikit-image's own folder, since the functions of ``skimage.data`` download a file that
is missing.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

import codecbench as cb

SIDE = 64
FILES = (  # file, height, width
    ("astronaut.png", 512, 512),
    ("chelsea.png", 300, 451),
    ("coffee.png", 400, 600),
    ("rocket.jpg", 427, 640),
    ("motorcycle_left.png", 500, 741),
)
COUNT = sum((height // SIDE) * (width // SIDE) for _, height, width in FILES)


@cb.register_dataset
@dataclass(frozen=True)
class Photos(cb.Dataset):
    """283 crops of five colour photographs, images (283, 64, 64, 3) uint8."""

    def status(self, data_dir: Path) -> cb.DatasetStatus:
        """The crops are available if scikit-image's photographs are installed."""
        try:
            folder = photo_folder()
        except cb.DatasetError as error:
            return cb.DatasetStatus(False, COUNT, (SIDE, SIDE, 3), str(error))
        if missing := [name for name, *_ in FILES if not (folder / name).is_file()]:
            return cb.DatasetStatus(False, COUNT, (SIDE, SIDE, 3), _missing(missing, folder))
        return cb.DatasetStatus(True, COUNT, (SIDE, SIDE, 3), "crops of scikit-image's photographs")

    def load(self, data_dir: Path) -> cb.ImageSet:
        """Cuts the crops; each process does so once."""
        return cb.ArrayImages(*_crops(photo_folder()))


def photo_folder() -> Path:
    """The folder of scikit-image's pictures, found without importing scikit-image."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise cb.DatasetError("photos: scikit-image is not installed; its photographs are used")
    return Path(spec.origin).parent / "data"


def _missing(names: list[str], folder: Path) -> str:
    return f"photos: {', '.join(names)} missing from {folder}; reinstall scikit-image from its wheel"


@functools.cache
def _crops(folder: Path) -> tuple[cb.Images, npt.NDArray[np.uint8]]:
    pieces, labels = [], []
    for number, (name, height, width) in enumerate(FILES):
        path = folder / name
        if not path.is_file():
            raise cb.DatasetError(_missing([name], folder))
        try:
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                pixels = np.asarray(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise cb.DatasetError(f"photos: {path} cannot be read ({error}); reinstall scikit-image") from error
        if pixels.shape != (height, width, 3):
            raise cb.DatasetError(f"photos: {path} is {pixels.shape[0]}×{pixels.shape[1]}, expected {height}×{width}")
        rows, columns = height // SIDE, width // SIDE
        grid = pixels[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE, 3)
        pieces.append(grid.transpose(0, 2, 1, 3, 4).reshape(-1, SIDE, SIDE, 3))
        labels += [number] * len(pieces[-1])
    crops = np.concatenate(pieces)
    crops.flags.writeable = False
    return crops, np.array(labels, np.uint8)
