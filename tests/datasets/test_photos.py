from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codecbench.datasets import photos
from codecbench.datasets.photos import Photos
from codecbench.errors import DatasetError

NOWHERE = Path("no data root is needed")


def test_there_are_283_crops_of_the_photographs_pixels_row_by_row() -> None:
    status = Photos().status(NOWHERE)
    assert (status.available, status.images, status.shape) == (True, 283, (64, 64, 3))
    opened = Photos().load(NOWHERE)
    assert len(opened) == 283
    assert opened.read(range(283)).shape == (283, 64, 64, 3)
    assert np.bincount(opened.labels).tolist() == [64, 28, 54, 60, 77]

    with Image.open(photos.photo_folder() / "astronaut.png") as image:
        astronaut = np.asarray(image.convert("RGB"))
    assert np.array_equal(opened.read([0])[0], astronaut[:64, :64])
    assert np.array_equal(opened.read([9])[0], astronaut[64:128, 64:128])
    with Image.open(photos.photo_folder() / "motorcycle_left.png") as image:
        motorcycle = np.asarray(image.convert("RGB"))
    assert np.array_equal(opened.read([282])[0], motorcycle[384:448, 640:704])


def test_missing_and_foreign_photographs_and_no_scikit_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, *_ in photos.FILES:
        shutil.copy(photos.photo_folder() / name, tmp_path)
    monkeypatch.setattr(photos, "photo_folder", lambda: tmp_path)
    photos._crops.cache_clear()
    shutil.copy(tmp_path / "chelsea.png", tmp_path / "coffee.png")
    with pytest.raises(DatasetError, match=r"coffee\.png is 300×451, expected 400×600"):
        Photos().load(NOWHERE)
    (tmp_path / "coffee.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"coffee\.png cannot be read"):
        Photos().load(NOWHERE)
    (tmp_path / "coffee.png").unlink()
    with pytest.raises(DatasetError, match=r"coffee\.png missing.*scikit-image"):
        Photos().load(NOWHERE)
    assert not Photos().status(NOWHERE).available
    monkeypatch.undo()
    monkeypatch.setattr(photos.importlib.util, "find_spec", lambda name: None)
    assert "not installed" in Photos().status(NOWHERE).note
    with pytest.raises(DatasetError, match="scikit-image is not installed"):
        Photos().load(NOWHERE)
