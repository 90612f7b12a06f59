"""Multi-scale SSIM beside an implementation straight from the paper, and what it is on small images."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.transform import downscale_local_mean

from codecbench.measure.ssim import mean_ssim
from codecbench.plugins.registry import METRICS

MS_SSIM = METRICS.get("ms_ssim")
PAPER = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]


def pair(shape, seed=0, noise=12.0):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(0, 1, shape), (0, 3, 3, 0))
    original = np.clip(128 + 45 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    return original, np.clip(original + rng.normal(0, noise, shape), 0, 255).astype(np.uint8)


def by_the_paper(original, decoded, weights):
    """One plane, (H, W): l, c and s as in the paper's equations, a 2-D window, a mean of 2×2 before sampling."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(plane):
        return ndimage.convolve(plane, window)[5:-5, 5:-5]

    x, y = original.astype(float), decoded.astype(float)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    value = 1.0
    for scale, weight in enumerate(weights):
        mean_x, mean_y = mean(x), mean(y)
        var_x, var_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
        covariance = mean(x * y) - mean_x * mean_y
        luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        deviations = np.sqrt(np.maximum(var_x, 0) * np.maximum(var_y, 0))
        contrast = (2 * deviations + c2) / (var_x + var_y + c2)
        structure = (covariance + c2 / 2) / (deviations + c2 / 2)
        compared = contrast * structure * (luminance if scale == len(weights) - 1 else 1.0)
        value *= max(compared.mean(), 0.0) ** weight
        height, width = (side // 2 * 2 for side in x.shape)
        x, y = (downscale_local_mean(plane[:height, :width], (2, 2)) for plane in (x, y))
    return value


@pytest.mark.parametrize(
    ("shape", "count"),
    [((1, 187, 250, 3), 5), ((2, 176, 181, 1), 5), ((2, 64, 64, 3), 3), ((3, 28, 28, 1), 2)],
)
def test_it_is_what_the_paper_says_over_the_scales_that_fit(shape, count):
    original, decoded = pair(shape)
    weights = np.array(PAPER[:count]) / sum(PAPER[:count])
    expected = [
        np.mean([by_the_paper(x[..., channel], y[..., channel], weights) for channel in range(shape[3])])
        for x, y in zip(original, decoded, strict=True)
    ]
    found = MS_SSIM.measure(original, decoded)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    assert (found < 0.999).all()
    assert MS_SSIM.describe(shape[1:]) == f"MS-SSIM, {count} scales, 11×11 window"


def test_extremes_and_images_that_hold_one_scale_or_none():
    original, _ = pair((2, 200, 190, 3))
    assert (MS_SSIM.measure(original, original) == 1.0).all()
    assert (MS_SSIM.measure(original, 255 - original) == 0.0).all()  # structure turned round: a negative mean
    found = [MS_SSIM.measure(*pair((1, 64, 64, 3), noise=noise))[0] for noise in (2, 8, 32)]
    assert found == sorted(found, reverse=True)
    small, decoded = pair((3, 21, 40, 3))
    np.testing.assert_array_equal(MS_SSIM.measure(small, decoded), mean_ssim(small, decoded))
    assert MS_SSIM.describe((21, 40, 3)) == "MS-SSIM, 1 scale, 11×11 window"
    small, decoded = pair((2, 10, 64, 1))
    assert np.isnan(MS_SSIM.measure(small, decoded)).all()
    assert MS_SSIM.describe((10, 64, 1)) == "no MS-SSIM: smaller than its window of 11×11"


def test_neither_the_batch_nor_the_layout_changes_an_image():
    original, decoded = pair((70, 64, 64, 3))  # more than one block
    whole = MS_SSIM.measure(original, decoded)
    alone = np.concatenate([MS_SSIM.measure(original[i : i + 1], decoded[i : i + 1]) for i in (0, 33, 69)])
    np.testing.assert_allclose(whole[[0, 33, 69]], alone, rtol=0, atol=1e-13)
    turned = MS_SSIM.measure(original[:3, ::-1, :, ::-1], decoded[:3, ::-1, :, ::-1])
    np.testing.assert_allclose(turned, whole[:3], rtol=0, atol=1e-12)
    assert MS_SSIM.measure(original[:0], decoded[:0]).shape == (0,)
