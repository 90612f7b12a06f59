"""The plane of the first two principal components, against an independent computation."""

from __future__ import annotations

import numpy as np
import pytest

from codecbench.analysis.pca import BLOCK, principal_plane
from codecbench.errors import UsageError


def latents(count: int, size: int, seed: int = 0) -> np.ndarray:
    """float32 (count, size) around 3, with variances that fall by a quarter from number to number."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(count, size)) * 0.75 ** np.arange(size)
    turned, _ = np.linalg.qr(np.random.default_rng(99).normal(size=(size, size)))
    return (3 + mixed @ turned).astype(np.float32)


@pytest.mark.parametrize(("count", "size"), [(2 * BLOCK + 7, 6), (300, 12), (9, 40), (12, 12)])
def test_points_and_shares_are_those_of_the_singular_value_decomposition(count: int, size: int) -> None:
    z = latents(count, size)
    plane = principal_plane(z)
    centred = z.astype(np.float64) - z.astype(np.float64).mean(axis=0)
    left, strengths, right = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(np.sum(plane.axes * right[:2], axis=1))
    np.testing.assert_allclose(plane.axes, signs[:, None] * right[:2], atol=1e-9)
    np.testing.assert_allclose(plane.project(z), (left * strengths)[:, :2] * signs, atol=1e-7)
    np.testing.assert_allclose(plane.explained, strengths[:2] ** 2 / np.sum(strengths**2), rtol=1e-9)
    assert plane.project(z).dtype == np.float64
    assert all(axis[np.abs(axis).argmax()] > 0 for axis in plane.axes), "signs do not depend on the solver"
    np.testing.assert_allclose(principal_plane(-z).axes, plane.axes, atol=1e-9)


def test_others_are_mapped_into_the_plane_of_the_first() -> None:
    plane = principal_plane(latents(500, 8))
    other = latents(20, 8, seed=5)
    expected = (other.astype(np.float64) - plane.mean) @ plane.axes.T
    np.testing.assert_allclose(plane.project(other), expected, atol=1e-12)
    np.testing.assert_allclose(plane.project(plane.mean[None]), [[0.0, 0.0]], atol=1e-12)
    shaped = other.reshape(20, 2, 2, 2)  # latents of any shape are flattened
    np.testing.assert_array_equal(plane.project(shaped), plane.project(other))
    np.testing.assert_array_equal(principal_plane(shaped).axes, principal_plane(other).axes)


def test_few_numbers_and_few_latents_leave_axes_without_variance() -> None:
    one = principal_plane(np.arange(5.0)[:, None])
    assert one.explained == (1.0, 0.0)
    np.testing.assert_allclose(one.project(np.arange(5.0)[:, None])[:, 1], 0.0)
    single = principal_plane(latents(1, 8))
    assert single.explained == (0.0, 0.0)
    np.testing.assert_allclose(single.project(latents(1, 8)), 0.0)
    same = principal_plane(np.ones((50, 4)))
    assert same.explained == (0.0, 0.0)


def test_other_arrays_are_refused() -> None:
    for bad in (np.zeros((3, 4), np.int64), np.zeros(5), np.zeros((0, 4)), np.zeros((3, 0))):
        with pytest.raises(UsageError, match="latents must be floats"):
            principal_plane(bad)
    z = latents(30, 4)
    with pytest.raises(UsageError, match="latents of 5 numbers do not fit a plane of 4"):
        principal_plane(z).project(latents(3, 5))
    z[3, 2] = np.inf
    with pytest.raises(UsageError, match="finite"):
        principal_plane(z)
