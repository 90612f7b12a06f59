"""Structural similarity (SSIM) by matrix products.

Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity",
IEEE Transactions on Image Processing 13(4), 2004.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

SSIM_WINDOW = 11
"""Side of the Gaussian window, in pixels; smaller images have no SSIM."""
SSIM_SIGMA = 1.5
"""Standard deviation of the Gaussian window, in pixels."""
SSIM_K1, SSIM_K2 = 0.01, 0.03
"""Stabilising constants: C1 = (K1·255)², C2 = (K2·255)²."""

_MARGIN = SSIM_WINDOW - 1
_C1, _C2 = (SSIM_K1 * 255) ** 2, (SSIM_K2 * 255) ** 2
_BLOCK_BYTES = 200_000
"""Bytes of one float64 array of a block, of which a processor's cache has room for a few."""
_TILE = 16
"""Output rows or columns of one matrix product, as suits the small kernels of BLAS."""

Floats = npt.NDArray[np.float64]
Levels = npt.NDArray[Any]
"""Images (N, H, W, C) with levels from 0 to 255, uint8 or floating point."""


def mean_ssim(x: Levels, y: Levels) -> Floats:
    """SSIM, mean over the pixels whose window lies inside the image, then over the channels.

    Equal to scikit-image's ``structural_similarity`` with ``gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=255``, whose ``truncate`` of 3.5 makes the same window. At most 1, and
    exactly 1 for equal images; NaN where a side is shorter than the window.
    """
    means: Floats = channel_means(x, y).sum(1) / x.shape[3]
    return means


def channel_means(x: Levels, y: Levels, luminance: bool = True) -> Floats:
    """SSIM of each channel, (N, C), otherwise as :func:`mean_ssim`.

    Without ``luminance`` only contrast and structure are compared, as in all scales but the last of multi-scale SSIM.
    """
    count, height, width, channels = x.shape
    out_height, out_width = height - _MARGIN, width - _MARGIN
    if min(out_height, out_width) < 1:
        return np.full((count, channels), np.nan)
    # Large images are cut into square blocks, so that a block of one image fits the budget.
    span = max(1, (math.isqrt(_BLOCK_BYTES // (8 * channels)) - _MARGIN) // _TILE) * _TILE
    sums = np.zeros((count, channels))
    for top, left in itertools.product(range(0, out_height, span), range(0, out_width, span)):
        bottom, right = min(top + span + _MARGIN, height), min(left + span + _MARGIN, width)
        for part in blocks(x, (bottom - top) * (right - left) * channels):
            block = part, slice(top, bottom), slice(left, right)
            sums[part] += _map_sums(x[block], y[block], luminance).reshape(-1, channels)
    sums /= out_height * out_width
    return sums


def blocks(images: Levels, values_per_image: int) -> Iterator[slice]:
    """Cuts a batch into blocks of images that fit a processor's cache."""
    step = max(1, _BLOCK_BYTES // (8 * values_per_image))
    for start in range(0, len(images), step):
        yield slice(start, start + step)


def _map_sums(x: Levels, y: Levels, luminance: bool) -> Floats:
    """Sum of the SSIM map of each plane, (N·C,), for blocks (N, H, W, C).

    With s = x + y and d = x - y, and m for the Gaussian mean, four maps do:

        2·(m(x)² + m(y)²)  = m(s)² + m(d)²      2·(var(x) + var(y)) = var(s) + var(d)
        4·m(x)·m(y)        = m(s)² - m(d)²      4·cov(x, y)         = var(s) - var(d)

    Equal images have d = 0, and so the same numerator and denominator to the last bit.
    """
    count, height, width, channels = x.shape
    planes = count * channels
    maps = np.empty((4, height, planes, width))
    # Sums and differences of bytes are taken in 16 bits, which costs less than a second pass in 64.
    turned, kind = (height, planes, width), np.int16 if x.dtype.itemsize == 1 else np.float64
    x, y = (images.transpose(1, 0, 3, 2).astype(kind, order="C").reshape(turned) for images in (x, y))
    maps[0], maps[1] = x + y, x - y
    np.multiply(maps[:2], maps[:2], out=maps[2:])
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
    sums: Floats = upper.sum(0).sum(-1)
    return sums


@functools.cache
def _band(outputs: int) -> Floats:
    """The Gaussian window as a banded matrix: (outputs + 10, outputs); ``row @ band`` filters a row."""
    offsets = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    weights = np.exp(-0.5 * (offsets / SSIM_SIGMA) ** 2)
    weights /= weights.sum()
    band = np.zeros((outputs + _MARGIN, outputs))
    for column in range(outputs):
        band[column : column + SSIM_WINDOW, column] = weights
    return band


def _blur(maps: Floats) -> Floats:
    """Gaussian mean over the valid region: (4, H, K, W) to (4, H - 10, K, W - 10).

    Filtering is one product with a banded matrix along the columns and one along the rows; BLAS is so fast that the
    zeros cost less than a loop over the window, as long as the matrices stay small. With the axes ordered (rows,
    planes, columns) both are plain products without a transposition between them.
    """
    count, height, planes, width = maps.shape
    out_height, out_width = height - _MARGIN, width - _MARGIN
    maps = maps.reshape(count, height, planes * width)
    down = np.empty((count, out_height, planes * width))
    # Rows in equal parts: a remainder of one or two would take nearly as long as a whole tile.
    step = math.ceil(out_height / math.ceil(out_height / _TILE))
    for start in range(0, out_height, step):
        stop = min(start + step, out_height)
        np.matmul(_band(stop - start).T, maps[:, start : stop + _MARGIN], out=down[:, start:stop])
    down = down.reshape(-1, width)
    out = np.empty((len(down), out_width))
    for start in range(0, out_width, _TILE):
        stop = min(start + _TILE, out_width)
        np.matmul(down[:, start : stop + _MARGIN], _band(stop - start), out=out[:, start:stop])
    return out.reshape(count, out_height, planes, out_width)
