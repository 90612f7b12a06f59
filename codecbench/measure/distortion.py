"""Distortion: pure functions over batches of images.

Every function takes uint8 images (N, H, W, C) and returns one number an image, (N,). With ``device="cpu"``
NumPy does the work and torch is never loaded; any other device name (``"cuda"``) is torch's, and the same
code runs there. Integer errors are exact on every device; SSIM and ``mse_float`` are computed in float64
and may differ between devices and batch sizes in their last bits (about 1e-15).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from codecbench.errors import ContractError
from codecbench.measure import arrays
from codecbench.measure.arrays import Array
from codecbench.measure.ssim import SSIM_K1, SSIM_K2, SSIM_SIGMA, SSIM_WINDOW, mean_ssim
from codecbench.plugins.codec import FloatImages, Images
from codecbench.text import format_shape

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PEAK = 255
"""The data range: 8-bit levels from 0 to 255."""


class Metric(NamedTuple):
    """What a metric is called in words.

    Attributes:
        unit: its unit, empty for a ratio.
        description: one line for ``codecbench list``.
        better: ``"lower"`` or ``"higher"``.
    """

    unit: str
    description: str
    better: str


METRICS: dict[str, Metric] = {
    "mse": Metric("", "mean squared error of the 8-bit output, levels scaled to [0, 1]", "lower"),
    "mse_float": Metric(
        "",
        "mean squared error before clipping and rounding, on [0, 1]; only codecs with decode_float",
        "lower",
    ),
    "psnr_db": Metric(
        "dB",
        "peak signal-to-noise ratio: mean of -10·log10(mse) over the images that are not restored exactly",
        "higher",
    ),
    "psnr_of_mean_mse_db": Metric("dB", "-10·log10 of the mean mse of all images; not the mean of psnr_db", "higher"),
    "max_abs_error": Metric("8-bit levels", "largest difference of any sample, 0 to 255", "lower"),
    "exact_pixels": Metric("", "share of all pixels that are restored exactly in every channel, 0 to 1", "higher"),
    "ssim": Metric(
        "",
        f"structural similarity, at most 1: Gaussian window {SSIM_WINDOW}x{SSIM_WINDOW}, sigma {SSIM_SIGMA}, "
        f"K1={SSIM_K1}, K2={SSIM_K2}, data range {PEAK}, population covariance, mean over the valid "
        f"region and the channels; none for images smaller than the window (Wang et al. 2004)",
        "higher",
    ),
}
"""The distortion metrics in the order in which tables show them."""


def mse(original: Images, decoded: Images, device: str = "cpu") -> Floats:
    """Mean squared error of 8-bit images, on the [0, 1] scale.

    The squared differences are summed as integers, so the result is exact but for the final division.

    Args:
        original: uint8, (N, H, W, C).
        decoded: uint8, the same shape.
        device: ``"cpu"`` for NumPy, else a torch device.

    Returns:
        float64, (N,), from 0 to 1.

    Raises:
        ContractError: other types, or shapes that differ.
    """
    x, y = _pair(original, decoded, device)
    return _integer_errors(x, y).mse


def max_abs_error(original: Images, decoded: Images, device: str = "cpu") -> Ints:
    """Largest absolute difference of any sample, in 8-bit levels.

    Args:
        original: uint8, (N, H, W, C).
        decoded: uint8, the same shape.
        device: ``"cpu"`` for NumPy, else a torch device.

    Returns:
        int64, (N,), from 0 (equal) to 255.

    Raises:
        ContractError: other types, or shapes that differ.
    """
    x, y = _pair(original, decoded, device)
    return _integer_errors(x, y).largest


def exact_pixels(original: Images, decoded: Images, device: str = "cpu") -> Floats:
    """Share of the pixels that are equal in every channel.

    Args:
        original: uint8, (N, H, W, C).
        decoded: uint8, the same shape.
        device: ``"cpu"`` for NumPy, else a torch device.

    Returns:
        float64, (N,), from 0 to 1.

    Raises:
        ContractError: other types, or shapes that differ.
    """
    x, y = _pair(original, decoded, device)
    return _integer_errors(x, y).exact


def mse_float(original: Images, decoded: FloatImages, device: str = "cpu") -> Floats:
    """Mean squared error before clipping and rounding, on the [0, 1] scale; the figure that papers quote.

    Args:
        original: uint8, (N, H, W, C); level 255 stands for 1.
        decoded: floating point, the same shape, nominal range [0, 1], not clipped.
        device: ``"cpu"`` for NumPy, else a torch device.

    Returns:
        float64, (N,), 0 or more; NaN where ``decoded`` holds a NaN.

    Raises:
        ContractError: other types, or shapes that differ.
    """
    _check_floats(original, decoded)
    return _float_errors(arrays.put(original, device), arrays.put(decoded, device))


def psnr_db(mse: npt.ArrayLike) -> Floats:
    """Peak signal-to-noise ratio of errors on the [0, 1] scale, -10·log10(mse).

    Infinities never enter a mean: whoever averages leaves out the images that were restored exactly (and
    counts them as lossless), or takes the PSNR of the mean MSE, which is another number with another name.

    Args:
        mse: mean squared errors on the [0, 1] scale, any shape, 0 or more.

    Returns:
        float64 decibels in the same shape; inf where the error is 0, NaN where it is NaN.
    """
    with np.errstate(divide="ignore"):
        return np.asarray(-10.0 * np.log10(np.asarray(mse, dtype=np.float64)))


def ssim(original: Images, decoded: Images, device: str = "cpu") -> Floats:
    """Structural similarity (SSIM) with the Gaussian window of the paper.

    Window 11×11, sigma 1.5, K1 = 0.01, K2 = 0.03, data range 255, population covariance; the mean over the
    pixels whose window lies inside the image, then over the channels. Equal to scikit-image's
    ``structural_similarity`` with ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    data_range=255`` (its ``truncate`` of 3.5 makes the same window, and it crops to the same region).

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE Transactions on Image Processing 13(4), 2004.

    Args:
        original: uint8, (N, H, W, C).
        decoded: uint8, the same shape.
        device: ``"cpu"`` for NumPy, else a torch device.

    Returns:
        float64, (N,), at most 1 (exactly 1 for equal images); NaN where a side is shorter than the window.

    Raises:
        ContractError: other types, or shapes that differ.
    """
    x, y = _pair(original, decoded, device)
    return mean_ssim(x, y)


def measure(
    original: Images, decoded: Images, decoded_float: FloatImages | None = None, device: str = "cpu"
) -> dict[str, npt.NDArray[Any]]:
    """All per-image metrics at once; the images go to the device once.

    Args:
        original: uint8, (N, H, W, C).
        decoded: uint8, the same shape.
        decoded_float: the reconstruction before clipping and rounding, where the codec has one.
        device: ``"cpu"`` for NumPy, else a torch device.

    Returns:
        ``mse``, ``max_abs_error``, ``exact_pixels`` and ``ssim``, and ``mse_float`` if ``decoded_float`` is given,
        each (N,).

    Raises:
        ContractError: other types, or shapes that differ.
    """
    x, y = _pair(original, decoded, device)
    errors = _integer_errors(x, y)
    rows = {"mse": errors.mse, "max_abs_error": errors.largest, "exact_pixels": errors.exact, "ssim": mean_ssim(x, y)}
    if decoded_float is not None:
        _check_floats(original, decoded_float)
        rows["mse_float"] = _float_errors(x, arrays.put(decoded_float, device))
    return rows


# --- Checks -------------------------------------------------------------------------------------------------


def _pair(original: Images, decoded: Images, device: str) -> tuple[Array, Array]:
    _check_shapes(original, decoded)
    if decoded.dtype != np.uint8:
        raise ContractError(f"decoded images must be uint8, not {decoded.dtype}")
    return arrays.put(original, device), arrays.put(decoded, device)


def _check_floats(original: Images, decoded: FloatImages) -> None:
    _check_shapes(original, decoded)
    if not np.issubdtype(decoded.dtype, np.floating):
        raise ContractError(f"images decoded as floats must be floating point, not {decoded.dtype}")


def _check_shapes(original: Images, decoded: npt.NDArray[Any]) -> None:
    if original.dtype != np.uint8 or original.ndim != 4 or min(original.shape[1:]) < 1:
        raise ContractError(f"images must be uint8 (N, H, W, C), not {original.dtype} {format_shape(original.shape)}")
    if decoded.shape != original.shape:
        raise ContractError(
            f"decoded images are {format_shape(decoded.shape)}, the originals {format_shape(original.shape)}"
        )


# --- The work -----------------------------------------------------------------------------------------------


class _Errors(NamedTuple):
    """Mean squared errors on the [0, 1] scale, largest differences in levels, shares of exact pixels; each (N,)."""

    mse: Floats
    largest: Ints
    exact: Floats


def _integer_errors(x: Array, y: Array) -> _Errors:
    home, (count, height, width, channels) = arrays.home(x), x.shape
    size = height * width * channels
    squared, largest, exact = np.zeros(count), np.zeros(count, np.int64), np.zeros(count)
    for part in arrays.blocks(x, size):
        error = home.maximum(x[part], y[part])  # unsigned all the way: eight bits are the cheapest
        error -= home.minimum(x[part], y[part])
        rows = arrays.cast(error, "float64").reshape(-1, size)
        squared[part] = arrays.get(home.einsum("ij,ij->i", rows, rows))  # whole numbers below 2**53: exact
        largest[part] = arrays.get(arrays.largest(error.reshape(-1, size)))
        worst = functools.reduce(home.maximum, (error[..., channel] for channel in range(channels)))
        exact[part] = arrays.get((worst.reshape(-1, height * width) == 0).sum(1))
    return _Errors(squared / (PEAK * PEAK * size), largest, exact / (height * width))


def _float_errors(x: Array, y: Array) -> Floats:
    size = x.shape[1] * x.shape[2] * x.shape[3]
    means = np.zeros(len(x))
    for part in arrays.blocks(x, size):
        error = arrays.cast(x[part], "float64").reshape(-1, size)
        error /= PEAK
        error -= y[part].reshape(-1, size)
        with np.errstate(over="ignore", invalid="ignore"):  # a network that diverged gives inf or NaN
            error *= error
            means[part] = arrays.get(error.mean(1))
    return means
