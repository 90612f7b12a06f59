"""Blocks of one size: any image comes back from them, and what they reach beyond it is its mirror image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecbench.learned.tiling import block_count, cut, join

SIDES = st.integers(1, 40)
BLOCKS = st.tuples(st.integers(1, 17), st.integers(1, 17))


def all_blocks(images: np.ndarray, block: tuple[int, int]) -> np.ndarray:
    return cut(images, block, np.arange(len(images) * block_count(*images.shape[1:3], block)))


@settings(max_examples=50, deadline=None)
@given(height=SIDES, width=SIDES, block=BLOCKS, count=st.integers(1, 3), channels=st.sampled_from([1, 3]))
def test_cut_and_join_give_the_images_back(height, width, block, count, channels) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, height, width, channels), dtype=np.uint8)
    blocks = all_blocks(images, block)
    assert blocks.shape == (count * block_count(height, width, block), *block, channels)
    assert blocks.dtype == np.uint8
    joined = np.full(images.shape, 7.5, np.float32)
    numbers = np.arange(len(blocks))
    for part in (numbers[::2], numbers[1::2]):  # in any order, some at a time
        join(blocks[part].astype(np.float32), part, joined)
    assert np.array_equal(joined, images)


@settings(max_examples=50, deadline=None)
@given(height=SIDES, width=SIDES, block=BLOCKS)
def test_filled_by_reflection(height, width, block) -> None:
    image = np.arange(height * width, dtype=np.uint16).reshape(1, height, width, 1)
    down, across = -(-height // block[0]), -(-width // block[1])
    blocks = all_blocks(image, block).reshape(down, across, *block)
    whole = blocks.transpose(0, 2, 1, 3).reshape(down * block[0], across * block[1])
    filling = ((0, down * block[0] - height), (0, across * block[1] - width))
    assert np.array_equal(whole, np.pad(image[0, :, :, 0], filling, mode="symmetric"))


@pytest.mark.parametrize(
    ("size", "expected"), [((1, 1), 1), ((28, 28), 1), ((28, 29), 2), ((57, 28), 3), ((57, 57), 9)]
)
def test_count(size: tuple[int, int], expected: int) -> None:
    assert block_count(*size, (28, 28)) == expected


def test_a_long_image_is_cut_piece_by_piece() -> None:
    image = np.broadcast_to(np.uint8(3), (1, 1, 1 << 25, 3))
    assert block_count(1, 1 << 25, (64, 64)) == 1 << 19
    blocks = cut(image, (64, 64), np.array([0, (1 << 19) - 1]))
    assert blocks.shape == (2, 64, 64, 3)
    assert (blocks == 3).all()
