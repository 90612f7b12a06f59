"""Many monotone cubics at once, beside SciPy's one by one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from codecbench.analysis import pchip


@pytest.mark.parametrize("points", [2, 3, 4, 11])
def test_equal_to_scipy(points: int) -> None:
    rng = np.random.default_rng(points)
    x = np.cumsum(rng.exponential(1.0, (points, 200)) + 1e-3, axis=0)
    y = np.cumsum(rng.normal(0.3, 1.0, (points, 200)), axis=0)  # turns here and there
    ends = np.sort(rng.uniform(x[0], x[-1], (2, 200)), axis=0)
    curves = [PchipInterpolator(x[:, place], y[:, place]) for place in range(200)]
    expected = [curve.integrate(low, high) for curve, low, high in zip(curves, *ends, strict=True)]
    np.testing.assert_allclose(pchip.integrals(x, y, *ends), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(pchip.at(x, y, ends[0]), [c(low) for c, low in zip(curves, ends[0], strict=True)])
    np.testing.assert_allclose(
        pchip.integrals(x, y, x[0], x[-1]), [c.integrate(c.x[0], c.x[-1]) for c in curves], atol=1e-9
    )
    np.testing.assert_allclose(pchip.at(x, y, x[-1]), y[-1], atol=1e-12)


def test_nothing_is_extrapolated() -> None:
    x, y = np.array([[1.0, 1.0], [2.0, 2.0]]), np.array([[0.0, 0.0], [1.0, 1.0]])
    np.testing.assert_array_equal(pchip.at(x, y, np.array([0.9, 2.1])), [np.nan, np.nan])
