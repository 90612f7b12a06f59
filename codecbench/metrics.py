"""Distortion: pure functions over batches of images.

Every function takes uint8 images (N, H, W, C) and returns one number an image, (N,). With ``device="cpu"``
NumPy does the work and torch is never loaded; any other device name (``"cuda"``) is torch's, and the same
code runs there. Integer errors are exact on every device; SSIM and ``mse_float`` are computed in float64
and may differ between devices and batch sizes in their last bits (about 1e-15).
"""

from __future__ import annotations

import functools
import importlib
import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from codecbench.codec import FloatImages, Images, format_shape
from codecbench.errors import ContractError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_Array = Any
"""A NumPy array or a torch tensor: the code below uses only what both understand."""

PEAK = 255
"""The data range: 8-bit levels from 0 to 255."""

SSIM_WINDOW = 11
"""Side of SSIM's Gaussian window, in pixels; smaller images have no SSIM."""
SSIM_SIGMA = 1.5
"""Standard deviation of SSIM's Gaussian window, in pixels."""
SSIM_K1, SSIM_K2 = 0.01, 0.03
"""SSIM's stabilising constants: C1 = (K1·255)², C2 = (K2·255)²."""

_MARGIN = SSIM_WINDOW - 1
_C1, _C2 = (SSIM_K1 * PEAK) ** 2, (SSIM_K2 * PEAK) ** 2


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
    return _get(_integer_errors(x, y)[0])


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
    return _get(_integer_errors(x, y)[1])


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
    return _get(_exact(x, y))


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
    return _get(_float_errors(_put(original, device), _put(decoded, device)))


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
    return _ssim(x, y)


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
    squared, largest = _integer_errors(x, y)
    rows = {"mse": _get(squared), "max_abs_error": _get(largest), "exact_pixels": _get(_exact(x, y))}
    rows["ssim"] = _ssim(x, y)
    if decoded_float is not None:
        _check_floats(original, decoded_float)
        rows["mse_float"] = _get(_float_errors(x, _put(decoded_float, device)))
    return rows


# --- What NumPy and torch spell differently -----------------------------------------------------------------


def _put(images: npt.NDArray[Any], device: str) -> _Array:
    if device == "cpu":
        return images
    # torch.tensor copies, and so takes read-only arrays too, such as those that np.frombuffer gives.
    return importlib.import_module("torch").tensor(np.ascontiguousarray(images), device=device)


def _get(values: _Array) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = values if isinstance(values, np.ndarray) else values.cpu().numpy()
    return array


def _cast(array: _Array, dtype: str) -> _Array:
    if isinstance(array, np.ndarray):
        return array.astype(dtype, order="C")
    return array.to(getattr(_home(array), dtype)).contiguous()


def _home(array: _Array) -> Any:
    return np if isinstance(array, np.ndarray) else importlib.import_module("torch")


# --- Checks -------------------------------------------------------------------------------------------------


def _pair(original: Images, decoded: Images, device: str) -> tuple[_Array, _Array]:
    _check_shapes(original, decoded)
    if decoded.dtype != np.uint8:
        raise ContractError(f"decoded images must be uint8, not {decoded.dtype}")
    return _put(original, device), _put(decoded, device)


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


def _exact(x: _Array, y: _Array) -> _Array:
    equal = _cast((x == y).all(-1), "float64")
    return equal.sum((1, 2)) / (x.shape[1] * x.shape[2])


def _budget(images: _Array) -> int:
    """Bytes of one float64 array of a block: a processor's cache holds a few, a GPU wants more."""
    return 300_000 if isinstance(images, np.ndarray) else 64_000_000


def _slices(images: _Array, values_per_image: int) -> Iterator[slice]:
    """Cuts a batch into blocks of images that fit the budget."""
    step = max(1, _budget(images) // (8 * values_per_image))
    for start in range(0, len(images), step):
        yield slice(start, start + step)


def _integer_errors(x: _Array, y: _Array) -> tuple[_Array, _Array]:
    """Mean squared errors on the [0, 1] scale and largest absolute differences in levels, each (N,)."""
    home, size = _home(x), x.shape[1] * x.shape[2] * x.shape[3]
    squared, largest = [_cast(x[:0, 0, 0, 0], "int64")], [_cast(x[:0, 0, 0, 0], "int64")]
    for part in _slices(x, size):
        error = _cast(x[part], "int32").reshape(-1, size)
        error -= y[part].reshape(-1, size)
        squared.append((error * error).sum(1, dtype=home.int64))
        worst = abs(error)
        largest.append(_cast(worst.max(1) if home is np else worst.amax(1), "int64"))
    return _cast(home.concatenate(squared), "float64") / (PEAK * PEAK * size), home.concatenate(largest)


def _float_errors(x: _Array, y: _Array) -> _Array:
    size = x.shape[1] * x.shape[2] * x.shape[3]
    means = [_cast(x[:0, 0, 0, 0], "float64")]
    for part in _slices(x, size):
        error = _cast(x[part], "float64").reshape(-1, size)
        error /= PEAK
        error -= y[part].reshape(-1, size)
        with np.errstate(over="ignore", invalid="ignore"):  # a network that diverged gives inf or NaN
            error *= error
            means.append(error.mean(1))
    return _home(x).concatenate(means)


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


def _ssim(x: _Array, y: _Array) -> Floats:
    """SSIM by matrix products.

    Filtering is one product with a banded matrix along the rows and one along the columns; BLAS is so fast
    that the zeros cost less than a loop over the window, as long as the matrices stay small. So every
    product makes at most ``tile`` output rows or columns. With the axes ordered (rows, planes, columns)
    both are plain 2-D products without a transposition between them. SSIM needs only the sum of the two
    variances, so four filtered maps do: x, y, x² + y² and xy.
    """
    count, height, width, channels = x.shape
    out_height, out_width = height - _MARGIN, width - _MARGIN
    if min(out_height, out_width) < 1:
        return np.full(count, np.nan)
    tile = 18 if isinstance(x, np.ndarray) else 64
    band = _band(min(tile, max(out_height, out_width)))
    band = band if isinstance(x, np.ndarray) else _home(x).tensor(band, device=x.device)
    # Large images are cut into square blocks, so that a block of one image fits the budget.
    span = max(1, (math.isqrt(_budget(x) // (8 * channels)) - _MARGIN) // tile) * tile
    sums: Floats = np.zeros(count)
    for top, left in itertools.product(range(0, out_height, span), range(0, out_width, span)):
        bottom, right = min(top + span + _MARGIN, height), min(left + span + _MARGIN, width)
        for part in _slices(x, (bottom - top) * (right - left) * channels):
            block = part, slice(top, bottom), slice(left, right)
            found = _get(_ssim_sums(_planes(x[block]), _planes(y[block]), band))
            sums[part] += found.reshape(-1, channels).sum(1)
    sums /= out_height * out_width * channels
    return sums


def _planes(images: _Array) -> _Array:
    """(N, H, W, C) uint8 to (H, N·C, W) float64, contiguous."""
    count, height, width, channels = images.shape
    turned = images.transpose(1, 0, 3, 2) if isinstance(images, np.ndarray) else images.permute(1, 0, 3, 2)
    return _cast(turned, "float64").reshape(height, count * channels, width)


def _ssim_sums(x: _Array, y: _Array, band: _Array) -> _Array:
    """Sum of the SSIM map of each plane, (K,), for planes (H, K, W) that this function may overwrite."""
    xy = x * y
    mean_x, mean_y, mean_xy = _blur(x, band), _blur(y, band), _blur(xy, band)
    x *= x
    y *= y
    x += y
    squares = _blur(x, band)
    product = mean_x * mean_y
    mean_x *= mean_x
    mean_y *= mean_y
    mean_x += mean_y  # now the sum of the squared means
    squares -= mean_x  # now the sum of the variances
    mean_xy -= product  # now the covariance
    product *= 2
    product += _C1
    mean_xy *= 2
    mean_xy += _C2
    product *= mean_xy
    mean_x += _C1
    squares += _C2
    mean_x *= squares
    product /= mean_x
    return product.reshape(x.shape[0] - _MARGIN, x.shape[1], -1).sum((0, 2))


def _blur(planes: _Array, band: _Array) -> _Array:
    """Gaussian mean over the valid region: (H, K, W) to ((H - 10)·K, W - 10)."""
    height, count, width = planes.shape
    home, tile = _home(planes), band.shape[1]
    planes = planes.reshape(height, count * width)
    across = home.empty_like(planes[: height - _MARGIN])
    for start in range(0, height - _MARGIN, tile):
        stop = min(start + tile, height - _MARGIN)
        weights = band[: stop - start + _MARGIN, : stop - start]
        home.matmul(weights.T, planes[start : stop + _MARGIN], out=across[start:stop])
    across = across.reshape(-1, width)
    out = home.empty_like(across[:, : width - _MARGIN])
    for start in range(0, width - _MARGIN, tile):
        stop = min(start + tile, width - _MARGIN)
        weights = band[: stop - start + _MARGIN, : stop - start]
        home.matmul(across[:, start : stop + _MARGIN], weights, out=out[:, start:stop])
    return out
