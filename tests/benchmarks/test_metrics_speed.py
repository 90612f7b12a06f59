"""SSIM's speed beside scikit-image's, and MS-SSIM's beside SSIM's: ``pytest tests/benchmarks --benchmark-enable``."""

import statistics
import time

import numpy as np
import pytest
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


def median_seconds(function, repeats):
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


@pytest.mark.parametrize(
    ("shape", "at_least"),
    [((1000, 28, 28, 1), 10.0), ((200, 64, 64, 3), 2.0), ((2, 512, 768, 3), 1.5)],
    ids=["1000 of 28x28", "200 of 64x64x3", "2 of 768x512x3"],
)
def test_ssim_beside_scikit_image(benchmark, shape, at_least):
    rng = np.random.default_rng(0)
    original = rng.integers(0, 256, shape, dtype=np.uint8)
    decoded = np.clip(original + rng.normal(0, 20, shape), 0, 255).astype(np.uint8)
    found = benchmark(mean_ssim, original, decoded)
    if benchmark.disabled:  # the plain test run: the equality alone
        few = slice(0, 2)
        np.testing.assert_allclose(found[few], reference_ssim(original[few], decoded[few]), rtol=0, atol=1e-9)
        return
    np.testing.assert_allclose(found, reference_ssim(original, decoded), rtol=0, atol=1e-9)
    theirs = median_seconds(lambda: reference_ssim(original, decoded), 5)
    ours = median_seconds(lambda: mean_ssim(original, decoded), 5)  # beside it, so that noise hits both
    ratio = theirs / ours
    benchmark.extra_info["scikit_image_s"] = round(theirs, 4)
    benchmark.extra_info["times_as_fast_as_scikit_image"] = round(ratio, 1)
    assert ratio >= at_least


@pytest.mark.parametrize(
    "shape", [(1000, 28, 28, 1), (200, 64, 64, 3), (2, 512, 768, 3)], ids=lambda shape: "x".join(map(str, shape))
)
def test_ms_ssim_beside_ssim(benchmark, shape):
    rng = np.random.default_rng(0)
    original = rng.integers(0, 256, shape, dtype=np.uint8)
    decoded = np.clip(original + rng.normal(0, 20, shape), 0, 255).astype(np.uint8)
    ms_ssim = METRICS.get("ms_ssim")
    found = benchmark(ms_ssim, original, decoded)
    assert ((found > 0) & (found < 1)).all()
    if benchmark.disabled:
        return
    ratio = median_seconds(lambda: ms_ssim(original, decoded), 5) / median_seconds(
        lambda: mean_ssim(original, decoded), 5
    )
    benchmark.extra_info["times_the_seconds_of_ssim"] = round(ratio, 2)
    assert ratio <= 3.5
