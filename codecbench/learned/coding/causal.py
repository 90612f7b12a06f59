"""Coding images pixel by pixel, row by row from the top left: what is known of a pixel."""

from __future__ import annotations

import torch
import torch.nn.functional as F

Offsets = tuple[tuple[int, int], ...]


def window(above: int, aside: int) -> Offsets:
    """Places before a pixel, as rows and columns from it.

    Args:
        above: how many rows above are seen.
        aside: how many columns to the left, and above to the right.

    Returns:
        The rows from top to bottom, each from left to right; the last are those left of the pixel.
    """
    rows = [(-row, column) for row in range(above, 0, -1) for column in range(-aside, aside + 1)]
    return (*rows, *((0, -column) for column in range(aside, 0, -1)))


def neighbours(images: torch.Tensor, above: int, aside: int) -> torch.Tensor:
    """What lies in each pixel's :func:`window`: (N, C, H, W) to (N, H·W, C, K); zeros outside the image."""
    channels = images.shape[1]
    padded = F.pad(images, (aside, aside, above, 0))
    side = 2 * aside + 1
    patches = padded.unfold(2, above + 1, 1).unfold(3, side, 1)  # (N, C, H, W, above + 1, side)
    flat = patches.permute(0, 2, 3, 1, 4, 5).reshape(len(images), -1, channels, (above + 1) * side)
    return flat[..., : above * side + aside]
