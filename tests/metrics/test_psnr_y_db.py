"""PSNR on luma beside JFIF's formula, and where it has no value."""

import numpy as np
import pytest

from codecbench.measure import distortion
from codecbench.plugins.registry import METRICS

PSNR_Y = METRICS.get("psnr_y_db")
RNG = np.random.default_rng(3)


def test_it_is_the_psnr_of_unrounded_luma_and_on_gray_images_psnr():
    original, decoded = RNG.integers(0, 256, (2, 130, 9, 7, 3), dtype=np.uint8)
    luma = [0.299 * x[..., 0] + 0.587 * x[..., 1] + 0.114 * x[..., 2] for x in (original, decoded)]
    expected = 10 * np.log10(255**2 / ((luma[0] - luma[1]) ** 2).mean((1, 2)))
    np.testing.assert_allclose(PSNR_Y.measure(original, decoded), expected, rtol=1e-12)
    gray = original[..., :1], decoded[..., :1]
    np.testing.assert_allclose(PSNR_Y.measure(*gray), distortion.psnr_db(distortion.mse(*gray)), rtol=1e-13)


def test_where_it_has_no_value():
    original = np.full((1, 2, 2, 3), (200, 0, 0), np.uint8)
    decoded = np.full((1, 2, 2, 3), (7, 55, 223), np.uint8)  # the same luma: -193·299 + 55·587 + 223·114 = 0
    assert np.isnan(PSNR_Y.measure(original, decoded)).all()
    assert np.isnan(PSNR_Y.measure(original, original)).all()
    assert PSNR_Y.measure(original, decoded + np.uint8(1))[0] == pytest.approx(20 * np.log10(255))
    images = np.zeros((2, 3, 3, 2), np.uint8)  # neither gray nor RGB
    assert np.isnan(PSNR_Y.measure(images, images + 1)).all()
