"""Structural similarity (SSIM) by matrix products, on NumPy arrays and torch tensors alike.

Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity",
IEEE Transactions on Image Processing 13(4), 2004.
"""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import numpy.typing as npt

from codecbench.measure import arrays
from codecbench.measure.arrays import Array

SSIM_WINDOW = 11
"""Side of SSIM's Gaussian window, in pixels; smaller images have no SSIM."""
SSIM_SIGMA = 1.5
"""Standard deviation of SSIM's Gaussian window, in pixels."""
SSIM_K1, SSIM_K2 = 0.01, 0.03
"""SSIM's stabilising constants: C1 = (K1·255)², C2 = (K2·255)²."""

_MARGIN = SSIM_WINDOW - 1
_C1, _C2 = (SSIM_K1 * 255) ** 2, (SSIM_K2 * 255) ** 2


def mean_ssim(x: Array, y: Array) -> npt.NDArray[np.float64]:
    """SSIM, mean over the pixels whose window lies inside the image, then over the channels.

    Args:
        x: uint8, (N, H, W, C).
        y: uint8, the same shape.

    Returns:
        float64, (N,), at most 1 (exactly 1 for equal images); NaN where a side is shorter than the window.
    """
    means: npt.NDArray[np.float64] = channel_means(x, y).sum(1) / x.shape[3]
    return means


def channel_means(x: Array, y: Array, luminance: bool = True) -> npt.NDArray[np.float64]:
    """SSIM of each channel, mean over the pixels whose window lies inside the image.

    Args:
        x: (N, H, W, C), levels from 0 to 255, uint8 or floating point.
        y: the same shape and type.
        luminance: with the factor that compares means; without it, contrast and structure alone are compared, as in
            all scales but the last of multi-scale SSIM.

    Returns:
        float64, (N, C), at most 1 (exactly 1 for equal images); NaN where a side is shorter than the window.
    """
    count, height, width, channels = x.shape
    out_height, out_width = height - _MARGIN, width - _MARGIN
    if min(out_height, out_width) < 1:
        return np.full((count, channels), np.nan)
    tile = _tile(x)
    # Large images are cut into square blocks, so that a block of one image fits the budget.
    span = max(1, (math.isqrt(arrays.budget(x) // (8 * channels)) - _MARGIN) // tile) * tile
    sums = np.zeros((count, channels))
    for top, left in itertools.product(range(0, out_height, span), range(0, out_width, span)):
        bottom, right = min(top + span + _MARGIN, height), min(left + span + _MARGIN, width)
        for part in arrays.blocks(x, (bottom - top) * (right - left) * channels):
            block = part, slice(top, bottom), slice(left, right)
            sums[part] += arrays.get(_map_sums(x[block], y[block], luminance)).reshape(-1, channels)
    sums /= out_height * out_width
    return sums


def _map_sums(x: Array, y: Array, luminance: bool) -> Array:
    """Sum of the SSIM map of each plane, (N·C,), for blocks (N, H, W, C).

    With s = x + y and d = x - y, and m for the Gaussian mean, four maps do:

        2·(m(x)² + m(y)²)  = m(s)² + m(d)²      2·(var(x) + var(y)) = var(s) + var(d)
        4·m(x)·m(y)        = m(s)² - m(d)²      4·cov(x, y)         = var(s) - var(d)

    Equal images have d = 0, and so the same numerator and denominator to the last bit.
    """
    count, height, width, channels = x.shape
    planes = count * channels
    maps = arrays.empty(x, 4, height, planes, width)
    # Sums and differences of bytes are taken in 16 bits, which costs less than a second pass in 64.
    turned, kind = (height, planes, width), "int16" if x.dtype.itemsize == 1 else "float64"
    x, y = (arrays.cast(arrays.turn(images, (1, 0, 3, 2)), kind).reshape(turned) for images in (x, y))
    maps[0], maps[1] = x + y, x - y
    arrays.home(x).multiply(maps[:2], maps[:2], out=maps[2:])
    mean_s, mean_d, var_s, var_d = _blur(maps)
    mean_s *= mean_s
    mean_d *= mean_d
    var_s -= mean_s
    var_d -= mean_d
    var_s += 2 * _C2
    upper = var_s - var_d
    var_s += var_d
    if luminance:
        mean_s += 2 * _C1
        upper *= mean_s - mean_d
        mean_s += mean_d
        var_s *= mean_s
    upper /= var_s
    return upper.sum(0).sum(-1)


def _tile(images: Array) -> int:
    """Output rows or columns of one matrix product: what suits the small kernels of BLAS, or a GPU."""
    return 16 if isinstance(images, np.ndarray) else 64


@functools.cache
def _band(outputs: int) -> npt.NDArray[np.float64]:
    """The Gaussian window as a banded matrix: (outputs + 10, outputs); ``row @ band`` filters a row."""
    offsets = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    weights = np.exp(-0.5 * (offsets / SSIM_SIGMA) ** 2)
    weights /= weights.sum()
    band = np.zeros((outputs + _MARGIN, outputs))
    for column in range(outputs):
        band[column : column + SSIM_WINDOW, column] = weights
    return band


def _blur(maps: Array) -> Array:
    """Gaussian mean over the valid region: (4, H, K, W) to (4, H - 10, K, W - 10).

    Filtering is one product with a banded matrix along the columns and one along the rows; BLAS is so fast that the
    zeros cost less than a loop over the window, as long as the matrices stay small. With the axes ordered (rows,
    planes, columns) both are plain products without a transposition between them.
    """
    matmul, tile = arrays.home(maps).matmul, _tile(maps)
    count, height, planes, width = maps.shape
    out_height, out_width = height - _MARGIN, width - _MARGIN
    maps = maps.reshape(count, height, planes * width)
    down = arrays.empty(maps, count, out_height, planes * width)
    # Rows in equal parts: a remainder of one or two would take nearly as long as a whole tile.
    step = math.ceil(out_height / math.ceil(out_height / tile))
    for start in range(0, out_height, step):
        stop = min(start + step, out_height)
        band = arrays.beside(maps, _band(stop - start))
        matmul(band.T, maps[:, start : stop + _MARGIN], out=down[:, start:stop])
    down = down.reshape(-1, width)
    out = arrays.empty(maps, len(down), out_width)
    for start in range(0, out_width, tile):
        stop = min(start + tile, out_width)
        band = arrays.beside(maps, _band(stop - start))
        matmul(down[:, start : stop + _MARGIN], band, out=out[:, start:stop])
    return out.reshape(count, out_height, planes, out_width)
