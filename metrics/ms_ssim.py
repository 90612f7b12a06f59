"""Multi-scale structural similarity, in as many scales as the images are large enough for.

Source: Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment", Asilomar Conference
on Signals, Systems and Computers, 2003.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import codecbench as cb
from codecbench.measure.ssim import SSIM_WINDOW, channel_means

EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the five scales of the paper, finest first; they sum to 1."""
BLOCK_VALUES = 1 << 20
"""Samples of images whose scales are made at once."""


def scales(shape: cb.Shape) -> int:
    """How many scales images of a shape have: each halves the sides, and the window must fit in the last.

    That is 5 if the shorter side has 176 pixels or more, 1 below 22 and 0 below 11.
    """
    shortest = min(shape[:2])
    return sum(shortest >> scale >= SSIM_WINDOW for scale in range(len(EXPONENTS)))


def variant(shape: cb.Shape) -> str:
    """What is computed on images of a shape, in words."""
    count = scales(shape)
    if not count:
        return f"no MS-SSIM: smaller than its window of {SSIM_WINDOW}×{SSIM_WINDOW}"
    return f"MS-SSIM, {count} scale{'s' * (count > 1)}, {SSIM_WINDOW}×{SSIM_WINDOW} window"


@cb.register_metric(
    title="MS-SSIM",
    better="higher",
    description="multi-scale structural similarity, at most 1: SSIM's window in as many of five scales as fit (three "
    "on 64x64, two on 28x28), exponents scaled to sum 1; none for images smaller than the window (Wang et al. 2003)",
    variant=variant,
)
def ms_ssim(original: cb.Images, decoded: cb.Images) -> npt.NDArray[np.float64]:
    """Multi-scale structural similarity.

    Per scale, with the window and constants of SSIM (11×11, sigma 1.5, K1 = 0.01, K2 = 0.03, data range 255, valid
    region), the mean of the map that compares contrast and structure; in the last scale that of the whole SSIM map,
    which compares the local means too. The value is the product of these means, each to the power of its exponent; it
    is taken for each channel, and averaged over the channels.

    Between scales, 2×2 pixels are averaged to one; of an odd side the last row or column is left out. Images too small
    for five scales have fewer: exponents of the finest ones, divided by their sum. With one scale it is SSIM. A
    negative mean, of structure turned into its opposite, has no such power; it counts as 0, and so does the product.

    Args:
        original: uint8, (N, H, W, C).
        decoded: uint8, the same shape.

    Returns:
        float64, (N,), from 0 to 1 (exactly 1 for equal images), with one scale from -1; NaN where a side is shorter
        than the window.
    """
    count = scales(original.shape[1:])
    found = np.full(len(original), np.nan)
    if not count:
        return found
    step = max(1, BLOCK_VALUES // int(np.prod(original.shape[1:])))
    for start in range(0, len(original), step):
        part = slice(start, start + step)
        found[part] = _block(original[part], decoded[part], count)
    return found


def _block(x: npt.NDArray[Any], y: npt.NDArray[Any], count: int) -> npt.NDArray[np.float64]:
    weights = np.array(EXPONENTS[:count]) / sum(EXPONENTS[:count])
    product = np.ones((len(x), x.shape[3]))
    for scale, weight in enumerate(weights, start=1):
        last = scale == count
        means = channel_means(x, y, luminance=last)
        product *= means if count == 1 else np.maximum(means, 0.0) ** weight
        if not last:
            x, y = _halved(x), _halved(y)
    values: npt.NDArray[np.float64] = product.mean(1)
    return values


def _halved(images: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Means of 2×2 pixels, exact: quarters of whole numbers."""
    height, width = (side // 2 * 2 for side in images.shape[1:3])
    rows = images[:, 0:height:2, :width].astype(np.float64)
    rows += images[:, 1:height:2, :width]
    halved: npt.NDArray[np.float64] = rows[:, :, 0::2] + rows[:, :, 1::2]
    halved *= 0.25
    return halved
