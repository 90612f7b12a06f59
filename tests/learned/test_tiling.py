"""Blocks of one size: any image comes back from them, and what they reach beyond it is its mirror image."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from codecbench.learned.tiling import block_count, cut, join

SIDES = st.integers(1, 40)
BLOCKS = st.tuples(st.integers(1, 17), st.integers(1, 17))


@settings(max_examples=50, deadline=None)
@given(height=SIDES, width=SIDES, block=BLOCKS, count=st.integers(1, 3), channels=st.sampled_from([1, 3]))
def test_cut_and_join_give_the_images_back(height, width, block, count, channels) -> None:
    """Blocks are filled by reflection."""
    images = np.random.default_rng(0).integers(0, 256, (count, height, width, channels), dtype=np.uint8)
    down, across = -(-height // block[0]), -(-width // block[1])
    assert block_count(height, width, block) == down * across
    numbers = np.arange(count * down * across)
    blocks = cut(images, block, numbers)
    whole = blocks.reshape(count, down, across, *block, channels).swapaxes(2, 3)
    filling = ((0, 0), (0, down * block[0] - height), (0, across * block[1] - width), (0, 0))
    assert np.array_equal(
        whole.reshape(count, down * block[0], -1, channels), np.pad(images, filling, mode="symmetric")
    )
    joined = np.full(images.shape, 7.5, np.float32)
    for part in (numbers[::2], numbers[1::2]):  # in any order, some at a time
        join(blocks[part].astype(np.float32), part, joined)
    assert np.array_equal(joined, images)


def test_a_long_image_is_cut_piece_by_piece() -> None:
    image = np.broadcast_to(np.uint8(3), (1, 1, 1 << 25, 3))
    assert block_count(1, 1 << 25, (64, 64)) == 1 << 19
    blocks = cut(image, (64, 64), np.array([0, (1 << 19) - 1]))
    assert blocks.shape == (2, 64, 64, 3)
    assert (blocks == 3).all()
