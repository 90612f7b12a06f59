"""SSIM's speed beside scikit-image's, and MS-SSIM's beside SSIM's: ``pytest tests/benchmarks --benchmark-enable``."""

import numpy as np
import pytest
from clock import medians
from skimage.metrics import structural_similarity

from codecbench.measure.ssim import mean_ssim
from codecbench.plugins.registry import METRICS


def reference_ssim(original, decoded):
    gray = original.shape[-1] == 1
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return [
        structural_similarity(x[..., 0], y[..., 0], **options)
        if gray
        else structural_similarity(x, y, channel_axis=-1, **options)
        for x, y in zip(original, decoded, strict=True)
    ]


def distorted(shape):
    """Images, and the same with noise."""
    rng = np.random.default_rng(0)
    original = rng.integers(0, 256, shape, dtype=np.uint8)
    return original, np.clip(original + rng.normal(0, 20, shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "at_least"),
    [((1000, 28, 28, 1), 10.0), ((200, 64, 64, 3), 2.0), ((2, 512, 768, 3), 1.5)],
    ids=["1000 of 28x28", "200 of 64x64x3", "2 of 768x512x3"],
)
def test_ssim_beside_scikit_image(benchmark, shape, at_least):
    original, decoded = distorted(shape)
    found = benchmark(mean_ssim, original, decoded)
    if benchmark.disabled:  # the plain test run: the equality alone
        few = slice(0, 2)
        np.testing.assert_allclose(found[few], reference_ssim(original[few], decoded[few]), rtol=0, atol=1e-9)
        return
    np.testing.assert_allclose(found, reference_ssim(original, decoded), rtol=0, atol=1e-9)
    theirs, ours = medians(lambda: reference_ssim(original, decoded), lambda: mean_ssim(original, decoded))
    ratio = theirs / ours
    benchmark.extra_info["scikit_image_s"] = round(theirs, 4)
    benchmark.extra_info["times_as_fast_as_scikit_image"] = round(ratio, 1)
    assert ratio >= at_least


@pytest.mark.parametrize(
    "shape", [(1000, 28, 28, 1), (200, 64, 64, 3), (2, 512, 768, 3)], ids=lambda shape: "x".join(map(str, shape))
)
def test_ms_ssim_beside_ssim(benchmark, shape):
    original, decoded = distorted(shape)
    ms_ssim = METRICS.get("ms_ssim")
    found = benchmark(ms_ssim, original, decoded)
    assert ((found > 0) & (found < 1)).all()
    if benchmark.disabled:
        return
    several, single = medians(lambda: ms_ssim(original, decoded), lambda: mean_ssim(original, decoded))
    benchmark.extra_info["times_the_seconds_of_ssim"] = round(several / single, 2)
    assert several / single <= 3.5
