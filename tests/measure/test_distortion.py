"""Distortion metrics against scikit-image and against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from codecbench.errors import ContractError
from codecbench.measure import distortion, ssim
from codecbench.measure.ssim import mean_ssim
from codecbench.plugins.metric import ALWAYS
from codecbench.testing import sample_images

SHAPES = [
    (28, 28, 1),
    (11, 11, 3),
    (11, 40, 1),
    (37, 12, 3),
    (90, 133, 3),
    (240, 101, 1),
]  # the last two of several blocks


def reference_ssim(original, decoded):
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    pairs = zip(original, decoded, strict=True)
    return np.array([structural_similarity(x, y, channel_axis=-1, **options) for x, y in pairs])


def levels(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def pairs(shape):
    """Images of every kind, flat ones among them, beside what may become of them."""
    images = sample_images(shape)
    rng = np.random.default_rng(0)
    return {
        "other": (images, rng.integers(0, 256, images.shape, dtype=np.uint8)),
        "noisy": (images, levels(images + rng.normal(0, 12, images.shape))),
        "hardly noisy": (images, levels(images + rng.normal(0, 1, images.shape))),
        "blurred": (images, levels(gaussian_filter(images.astype(float), (0, 1, 1, 0)))),
        "brighter": (images // 2, images // 2 + 3),
        "identical": (images, images.copy()),
        "inverted": (images, 255 - images),
    }


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_ssim_equals_scikit_image(shape):
    for kind, (original, decoded) in pairs(shape).items():
        found = mean_ssim(original, decoded)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, reference_ssim(original, decoded), rtol=0, atol=1e-9, err_msg=kind)
        assert (mean_ssim(original, original) == 1.0).all()


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 4),
    height=st.integers(11, 70),
    width=st.integers(11, 70),
    channels=st.sampled_from([1, 3]),
    spread=st.sampled_from([0, 1, 5, 60, 255]),
    seed=st.integers(0, 2**32 - 1),
)
def test_ssim_equals_scikit_image_anywhere(count, height, width, channels, spread, seed):
    rng = np.random.default_rng(seed)
    original = rng.integers(0, 256, (count, height, width, channels), dtype=np.uint8)
    decoded = levels(original + rng.uniform(-spread, spread, original.shape))
    found = mean_ssim(original, decoded)
    np.testing.assert_allclose(found, reference_ssim(original, decoded), rtol=0, atol=1e-9)
    np.testing.assert_allclose(mean_ssim(decoded, original), found, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(10, 40, 1), (40, 10, 3), (1, 1, 1)], ids=str)
def test_ssim_of_images_smaller_than_the_window_is_nan(shape):
    found = distortion.measure(*pairs(shape)["inverted"])
    assert found["ssim"].shape == (5,)
    assert np.isnan(found["ssim"]).all()
    assert (found["mse"] > 0).all()


@pytest.mark.parametrize("shape", [*SHAPES, (3, 1, 1)], ids=str)
def test_errors_by_their_definitions(shape):
    for original, decoded in pairs(shape).values():
        difference = original.astype(int) - decoded.astype(int)
        squares = (difference**2).reshape(5, -1)
        size = squares.shape[1]
        expected = [int(total) / (255 * 255 * size) for total in squares.sum(1)]
        mse = distortion.mse(original, decoded)
        assert mse.dtype == np.float64
        assert mse.tolist() == expected  # not one bit of rounding before the division
        worst = distortion.measure(original, decoded)["max_abs_error"]
        assert worst.dtype == np.int64
        assert worst.tolist() == abs(difference).reshape(5, -1).max(1).tolist()


def mse_float(original, decoded):
    return distortion.measure(original, original, decoded)["mse_float"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_mse_float_by_its_definition(dtype):
    rng = np.random.default_rng(3)
    original = rng.integers(0, 256, (9, 20, 21, 3), dtype=np.uint8)
    decoded = (original / 255 + rng.normal(0, 0.3, original.shape)).astype(dtype)  # leaves [0, 1]
    expected = ((original / 255.0 - decoded.astype(np.float64)) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(mse_float(original, decoded), expected, rtol=1e-12)


def test_mse_float_of_a_network_that_diverged():
    original = np.zeros((3, 4, 4, 1), np.uint8)
    decoded = np.zeros((3, 4, 4, 1))
    decoded[0, 0, 0, 0], decoded[1, 0, 0, 0] = np.nan, 1e300
    found = mse_float(original, decoded)
    assert np.isnan(found[0])
    assert found[1] == np.inf
    assert found[2] == 0


def test_neither_batch_nor_layout_changes_a_value_and_the_input_stays():
    original, decoded = pairs((64, 40, 3))["noisy"]  # five images are two blocks
    original.flags.writeable = decoded.flags.writeable = False
    before = original.copy(), decoded.copy()
    whole = distortion.measure(original, decoded, decoded / 254.0)
    parts = [distortion.measure(original[i : i + 1], decoded[i : i + 1], decoded[i : i + 1] / 254.0) for i in range(5)]
    turned = distortion.measure(original[::2, ::-1], decoded[::2, ::-1], decoded[::2, ::-1] / 254.0)
    nothing = distortion.measure(original[:0], decoded[:0], decoded[:0] / 255.0)
    for name, values in whole.items():
        np.testing.assert_allclose(np.concatenate([part[name] for part in parts]), values, rtol=0, atol=1e-12)
        np.testing.assert_allclose(turned[name], values[::2], rtol=0, atol=1e-12)
        assert nothing[name].shape == (0,)
    np.testing.assert_array_equal(original, before[0])
    np.testing.assert_array_equal(decoded, before[1])


def test_psnr():
    found = distortion.psnr_db([1.0, 0.01, 0.0, np.nan, 1 / 65025])
    np.testing.assert_allclose(found, [0.0, 20.0, np.inf, np.nan, 48.13080360867910])
    assert distortion.psnr_db(0.001).item() == pytest.approx(30.0)
    assert distortion.psnr_db(np.empty((0,))).shape == (0,)


@pytest.mark.parametrize(
    ("original", "decoded", "said"),
    [
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros((2, 4, 5, 1), np.uint8), "2×4×5×1"),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros((1, 4, 4, 1), np.uint8), "1×4×4×1"),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros((2, 4, 4, 1), np.int64), "int64"),
        (np.zeros((2, 4, 4, 1)), np.zeros((2, 4, 4, 1)), "float64"),
        (np.zeros((4, 4, 1), np.uint8), np.zeros((4, 4, 1), np.uint8), "4×4×1"),
        (np.zeros((2, 0, 4, 1), np.uint8), np.zeros((2, 0, 4, 1), np.uint8), "2×0×4×1"),
    ],
)
@pytest.mark.parametrize("metric", [distortion.mse, distortion.measure])
def test_wrong_shapes_and_types_are_refused(metric, original, decoded, said):
    with pytest.raises(ContractError, match=said):
        metric(original, decoded)


def test_mse_float_wants_floats():
    images = np.zeros((2, 4, 4, 1), np.uint8)
    with pytest.raises(ContractError, match="uint8"):
        mse_float(images, images)
    with pytest.raises(ContractError, match="3×4×4×1"):
        distortion.measure(images, images, np.zeros((3, 4, 4, 1)))


def test_exact_pixels():
    original = np.zeros((3, 2, 5, 3), np.uint8)
    decoded = original.copy()
    decoded[1, 0, 0] = 9  # one pixel, in all of its channels
    decoded[2, 0, :, 1] = 1  # five pixels, in one channel each
    assert distortion.measure(original, decoded)["exact_pixels"].tolist() == pytest.approx([1.0, 0.9, 0.5], abs=1e-15)


def test_the_metrics_of_every_run_are_described_in_the_order_of_tables():
    names = ["mse", "mse_float", "psnr_db", "psnr_of_mean_mse_db", "max_abs_error", "exact_pixels", "ssim"]
    assert list(ALWAYS) == names
    constants = (ssim.SSIM_WINDOW, ssim.SSIM_SIGMA, ssim.SSIM_K1, ssim.SSIM_K2, distortion.PEAK)
    for constant in (*map(str, constants), "Wang"):
        assert constant in ALWAYS["ssim"].description
