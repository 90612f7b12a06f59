"""Windows of earlier pixels, and what lies in them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codecbench.learned.coding.causal import neighbours, window


@pytest.mark.parametrize(("above", "aside"), [(1, 1), (2, 3), (3, 0)])
def test_a_window_holds_earlier_pixels_alone_each_once(above: int, aside: int) -> None:
    offsets = window(above, aside)
    assert len(set(offsets)) == len(offsets) == above * (2 * aside + 1) + aside
    assert all(row < 0 or (row == 0 and column < 0) for row, column in offsets)
    assert all(row >= -above and abs(column) <= aside for row, column in offsets)


def test_neighbours_lie_where_the_window_says() -> None:
    images = torch.arange(1, 2 * 2 * 4 * 5 + 1).view(2, 2, 4, 5)
    found = neighbours(images, 2, 3).view(2, 4, 5, 2, -1)
    for number, (down, right) in enumerate(window(2, 3)):
        for row, column in np.ndindex(4, 5):
            inside = 0 <= row + down < 4 and 0 <= column + right < 5
            expected = images[:, :, row + down, column + right] if inside else torch.zeros(2, 2)
            assert torch.equal(found[:, row, column, :, number], expected.long())
