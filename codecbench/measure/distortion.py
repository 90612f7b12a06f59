"""Distortion of batches of images, on the CPU: integer errors exactly, SSIM and ``mse_float`` in float64."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from codecbench.errors import ContractError
from codecbench.measure.ssim import blocks, mean_ssim
from codecbench.plugins.codec import FloatImages, Images
from codecbench.text import format_shape

Floats = npt.NDArray[np.float64]

PEAK = 255
"""The data range: 8-bit levels from 0 to 255."""


def measure(original: Images, decoded: Images, decoded_float: FloatImages | None = None) -> dict[str, npt.NDArray[Any]]:
    """All per-image metrics of every run, each (N,), of uint8 images (N, H, W, C); ``ContractError`` for others.

    ``mse`` is on the [0, 1] scale; its sums are integers, so only the final division rounds. ``mse_float`` is given
    where ``decoded_float`` is: the reconstruction before clipping and rounding, nominal range [0, 1].
    """
    _check(original, decoded)
    errors = _integer_errors(original, decoded)
    rows = {**errors._asdict(), "ssim": mean_ssim(original, decoded)}
    if decoded_float is not None:
        _check_shapes(original, decoded_float)
        if not np.issubdtype(decoded_float.dtype, np.floating):
            raise ContractError(f"images decoded as floats must be floating point, not {decoded_float.dtype}")
        rows["mse_float"] = _float_errors(original, decoded_float)
    return rows


def mse(original: Images, decoded: Images) -> Floats:
    """Mean squared error of uint8 images (N, H, W, C) on the [0, 1] scale, (N,); see :func:`measure`."""
    _check(original, decoded)
    return _integer_errors(original, decoded).mse


def psnr_db(mse: npt.ArrayLike) -> Floats:
    """Peak signal-to-noise ratio of errors on the [0, 1] scale, -10·log10(mse).

    Infinities must not enter a mean: leave out the images that were restored exactly, or take the PSNR of the mean MSE,
    which is another number with another name.

    Args:
        mse: mean squared errors on the [0, 1] scale, any shape, 0 or more.

    Returns:
        float64 decibels in the same shape; inf where the error is 0, NaN where it is NaN.
    """
    with np.errstate(divide="ignore"):
        return np.asarray(-10.0 * np.log10(np.asarray(mse, dtype=np.float64)))


def _check(original: Images, decoded: Images) -> None:
    _check_shapes(original, decoded)
    if decoded.dtype != np.uint8:
        raise ContractError(f"decoded images must be uint8, not {decoded.dtype}")


def _check_shapes(original: Images, decoded: npt.NDArray[Any]) -> None:
    if original.dtype != np.uint8 or original.ndim != 4 or min(original.shape[1:]) < 1:
        raise ContractError(f"images must be uint8 (N, H, W, C), not {original.dtype} {format_shape(original.shape)}")
    if decoded.shape != original.shape:
        raise ContractError(
            f"decoded images are {format_shape(decoded.shape)}, the originals {format_shape(original.shape)}"
        )


class _Errors(NamedTuple):
    mse: Floats
    max_abs_error: npt.NDArray[np.int64]
    exact_pixels: Floats


def _integer_errors(x: Images, y: Images) -> _Errors:
    count, height, width, channels = x.shape
    size = height * width * channels
    squared, largest, exact = np.zeros(count), np.zeros(count, np.int64), np.zeros(count)
    for part in blocks(x, size):
        error = np.maximum(x[part], y[part])  # unsigned all the way: eight bits are the cheapest
        error -= np.minimum(x[part], y[part])
        rows = error.astype(np.float64, order="C").reshape(-1, size)
        squared[part] = np.einsum("ij,ij->i", rows, rows)  # whole numbers below 2**53: exact
        largest[part] = error.reshape(-1, size).max(1)
        worst = functools.reduce(np.maximum, (error[..., channel] for channel in range(channels)))
        exact[part] = (worst.reshape(-1, height * width) == 0).sum(1)
    return _Errors(squared / (PEAK * PEAK * size), largest, exact / (height * width))


def _float_errors(x: Images, y: FloatImages) -> Floats:
    size = x.shape[1] * x.shape[2] * x.shape[3]
    means = np.zeros(len(x))
    for part in blocks(x, size):
        error = x[part].astype(np.float64, order="C").reshape(-1, size)
        error /= PEAK
        error -= y[part].reshape(-1, size)
        with np.errstate(over="ignore", invalid="ignore"):  # a network that diverged gives inf or NaN
            error *= error
            means[part] = error.mean(1)
    return means
