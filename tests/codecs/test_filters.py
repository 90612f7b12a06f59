"""The row filters of PNG: against Pillow's decoder, and there and back."""

from __future__ import annotations

import io

import numpy as np
import pytest
from datafiles import png
from PIL import Image

from codecbench.codecs import _filters
from codecbench.codecs._filters import FILTERS, TYPES, apply_filter, filtered_size, undo_filter

SHAPES = [(1, 1, 1), (1, 9, 3), (9, 1, 1), (2, 3, 1), (28, 28, 1), (17, 31, 3), (31, 17, 3), (5, 40, 1)]


def images_of(shape, count=3, seed=0):
    """Noise, a slope and one level, so that the adaptive filter has a choice to make."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    slope = np.broadcast_to(np.arange(shape[1], dtype=np.uint8)[None, :, None] * 3, shape)
    return np.concatenate([noise, slope[None], (slope // 2 + rng.integers(0, 3, shape, dtype=np.uint8))[None]])


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("block", [1, 1 << 18], ids=["row by row", "images together"])
def test_filters_are_undone_here_and_by_libpng(kind, shape, block, monkeypatch):
    monkeypatch.setattr(_filters, "_BLOCK_SAMPLES", block)
    images = images_of(shape, count=min(block, 30))  # more than a block
    rows = apply_filter(images, kind)
    flat = rows.reshape(len(images), -1)
    assert flat.shape[1] == filtered_size(shape, kind)
    assert np.array_equal(undo_filter(flat, shape, kind), images)
    for image, filtered in zip(images, rows, strict=True):
        if kind != "adaptive":
            filtered = np.insert(filtered, 0, TYPES.index(kind), axis=1)
        read = np.asarray(Image.open(io.BytesIO(png(filtered, shape)))).reshape(shape)
        assert np.array_equal(read, image)


def test_adaptive_takes_the_smallest_sum_of_absolute_differences():
    images = images_of((24, 19, 3))
    adapted = apply_filter(images, "adaptive")
    every = np.stack([apply_filter(images, kind) for kind in TYPES]).view(np.int8).astype(int)
    costs = np.abs(every).sum(axis=-1)
    assert np.array_equal(adapted[:, :, 0], costs.argmin(axis=0))
    assert np.array_equal(np.abs(adapted[:, :, 1:].view(np.int8).astype(int)).sum(axis=-1), costs.min(axis=0))
    assert len(np.unique(adapted[:, :, 0])) >= 3, "the images give it a choice"


def test_an_unknown_type_is_refused():
    filtered = apply_filter(images_of((4, 4, 1)), "adaptive").copy()
    filtered[1, 2, 0] = 5
    with pytest.raises(ValueError, match="type 5"):
        undo_filter(filtered.reshape(len(filtered), -1), (4, 4, 1), "adaptive")
