from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from codecbench.datasets import digits
from codecbench.datasets.digits import Digits
from codecbench.errors import DatasetError, SettingError

NOWHERE = Path("no data root is needed")


def test_shape_count_and_labels() -> None:
    status = Digits().status(NOWHERE)
    assert (status.available, status.images, status.shape) == (True, 10_000, (28, 28, 1))
    opened = Digits(count=500).load(NOWHERE)
    assert (len(opened), opened.read(range(9)).shape) == (500, (9, 28, 28, 1))
    assert np.bincount(opened.labels, minlength=10).min() > 25
    assert Digits(seed=3).label == "digits:seed=3"
    with pytest.raises(SettingError, match="count=0 is not allowed"):
        Digits(count=0)
    with pytest.raises(IndexError, match="0 to 499"):
        opened.read([500])


def test_each_digit_depends_on_seed_and_index_alone() -> None:
    together = Digits().load(NOWHERE).read(range(40))
    digits._draw.cache_clear()
    digits._glyph.cache_clear()
    backwards = Digits(count=77).load(NOWHERE).read(range(39, -1, -1))[::-1]
    assert np.array_equal(together, backwards)
    assert not np.array_equal(together, Digits(seed=1).load(NOWHERE).read(range(40)))


def test_digits_are_distinct_and_like_mnists() -> None:
    block = Digits(seed=2).load(NOWHERE).read(range(400))[..., 0]
    assert len(np.unique(block.reshape(400, -1), axis=0)) == 400
    # MNIST's test images: mean 33.8, 19 % of the pixels inked, 7 % above 250, 12 % in between; peak 255.
    assert 30 < block.mean() < 40
    assert 0.17 < (block > 0).mean() < 0.25
    assert 0.06 < (block > 250).mean() < 0.12
    assert block.max(axis=(1, 2)).min() > 200
    axis = np.arange(28) + 0.5
    total = block.sum(axis=(1, 2))
    down, across = block.sum(axis=2) @ axis / total, block.sum(axis=1) @ axis / total
    assert np.abs(down - 14).max() < 2.5
    assert np.abs(across - 14).max() < 2.5
    assert np.quantile(np.abs(down - 14), 0.95) < 1
    tall = [np.ptp(np.flatnonzero(image.any(axis=1))) + 1 for image in block]
    assert 17 <= np.median(tall) <= 21


def test_missing_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits.font_folder.cache_clear()
    monkeypatch.setattr(digits.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DatasetError, match="Matplotlib is not installed"):
        Digits().load(NOWHERE)
    assert not Digits().status(NOWHERE).available
    package = tmp_path / "matplotlib"
    (package / "mpl-data" / "fonts" / "ttf").mkdir(parents=True)
    spec = SimpleNamespace(origin=str(package / "__init__.py"))
    monkeypatch.setattr(digits.importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(DatasetError, match=r"fonts DejaVuSans, .* are missing"):
        Digits().load(NOWHERE)
    digits.font_folder.cache_clear()
