"""BD-rates beside an independent implementation, laws that they obey, and why there is none."""

from __future__ import annotations

import math
import warnings

import bjontegaard as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from codecbench.analysis import pchip
from codecbench.analysis.bd_rate import LEAST_OVERLAP, METHODS, bd_rate
from codecbench.errors import UsageError

# The example of the package's own page: x265 at two speeds, kbit/s and dB.
RATE_A, PSNR_A = [9487.76, 4593.60, 2486.44, 1358.24], [40.037, 38.615, 36.845, 34.851]
RATE_B, PSNR_B = [9787.80, 4469.00, 2451.52, 1356.24], [40.121, 38.651, 36.970, 34.987]


@st.composite
def lines(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    """A line of 4 to 9 points along which rate and quality rise."""
    count = draw(st.integers(4, 9))
    steps = st.lists(st.floats(0.05, 1.0), min_size=count, max_size=count)
    rates = np.exp(np.cumsum(draw(steps)))
    return list(rates), list(
        30.0
        + draw(st.floats(-1.0, 1.0))
        + np.cumsum(draw(st.lists(st.floats(0.2, 3.0), min_size=count, max_size=count)))
    )


@pytest.mark.parametrize(("method", "expected"), [("cubic", -4.4205), ("pchip", -4.4175), ("akima", -4.4252)])
def test_the_published_example(method: str, expected: float) -> None:
    found = bd_rate(RATE_A, PSNR_A, RATE_B, PSNR_B, method)
    assert found.percent == pytest.approx(expected, abs=5e-5)
    assert (found.low_quality, found.high_quality) == (34.987, 40.037)
    assert found.overlap == pytest.approx((40.037 - 34.987) / (40.121 - 34.987))
    assert (found.status, found.dropped) == ("", 0)


@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None, max_examples=40)
@given(anchor=lines(), other=lines())
def test_equal_to_the_package(
    method: str, anchor: tuple[list[float], list[float]], other: tuple[list[float], list[float]]
) -> None:
    found = bd_rate(*anchor, *other, method)
    if math.isnan(found.percent):
        assert found.status.startswith("not available: ")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = oracle.bd_rate(*anchor, *other, method, require_matching_points=False, min_overlap=0)
    # A polynomial may swing by factors: the log ratio is what is integrated, and fitting it loses some digits.
    close = 1e-6 if method == "cubic" else 1e-10
    assert math.log1p(found.percent / 100) == pytest.approx(math.log1p(expected / 100), rel=close, abs=close)


def test_the_order_of_points_says_nothing_and_those_that_others_beat_are_left_out() -> None:
    usual = bd_rate(RATE_A, PSNR_A, RATE_B, PSNR_B)
    assert bd_rate(RATE_A[::-1], PSNR_A[::-1], RATE_B, PSNR_B) == usual
    rate, quality = [*RATE_B, 5000.0, 4469.0], [*PSNR_B, 36.0, 30.0]  # dearer and worse, as dear and worse
    found = bd_rate(RATE_A, PSNR_A, rate, quality)
    assert (found.percent, found.dropped) == (usual.percent, 2)


@pytest.mark.parametrize(
    ("rate", "quality", "status"),
    [
        ([], [], "no points"),
        ([math.nan, 0.0, -3.0, math.inf], [30, 31, 32, 33], "no points"),
        ([100.0], [36.0], "one point"),
        ([100.0, 200.0], [36.0, 35.0], "one point"),
        ([100.0, 200.0], [10.0, 20.0], "0 % overlap"),
        ([100.0, 200.0], [34.891 - 2.0, 34.891], "2 % overlap"),
        ([100.0, 200.0], [35.0499 - 2.0, 35.0499], "9 % overlap"),  # 9.95 %: never read as the least that is enough
    ],
    ids=["none", "unusable", "one", "one is beaten", "apart", "touching", "just not enough"],
)
def test_why_there_is_none(rate: list[float], quality: list[float], status: str) -> None:
    found = bd_rate(RATE_A, PSNR_A, rate, quality)
    assert found.status == f"not available: {status}"
    assert math.isnan(found.percent)
    back = bd_rate(rate, quality, RATE_A, PSNR_A)
    whose = "the anchor has " if "point" in status else ""
    assert back.status == f"not available: {whose}{status}"


def test_what_is_just_enough() -> None:
    top = 34.851 + 2.001 * LEAST_OVERLAP
    found = bd_rate(RATE_A, PSNR_A, [100.0, 200.0], [top - 2.0, top])
    assert (found.status, found.overlap) == ("", pytest.approx(LEAST_OVERLAP, rel=1e-2))
    found = bd_rate(RATE_A, PSNR_A, RATE_B[:3], PSNR_B[:3], "cubic")
    assert found.status == "not available: a cubic needs 4 points, not 3"
    swings = [1.0, 2.0, 4.0, 4.1, 50.0], [20.0, 30.0, 31.0, 39.0, 40.0]
    percents = {method: bd_rate([1, 2, 4, 8, 16], [20, 25, 30, 35, 40], *swings, method) for method in METHODS}
    assert percents["pchip"].percent == pytest.approx(-42.13, abs=0.01)
    assert {percents[name].status for name in ("cubic", "akima")} == {
        f"not available: the {name} curve of these points is not monotone" for name in ("cubic", "akima")
    }


def test_what_is_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown method 'spline'; known: akima, cubic, pchip"):
        bd_rate(RATE_A, PSNR_A, RATE_B, PSNR_B, "spline")
    with pytest.raises(UsageError, match=r"two lists of one length; got shapes \(4,\) and \(3,\)"):
        bd_rate(RATE_A, PSNR_A[:3], RATE_B, PSNR_B)


@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(*[st.floats() | st.sampled_from([1.0, 2.0, 2.0 + 1e-12])] * 4), max_size=7))
def test_any_numbers_give_a_number_or_a_reason(method: str, points: list[tuple[float, float, float, float]]) -> None:
    found = bd_rate(*(np.array(column) for column in (zip(*points, strict=True) if points else [[]] * 4)), method)
    assert math.isfinite(found.percent) == (found.status == "")


@pytest.mark.parametrize("points", [2, 3, 4, 11])
def test_many_monotone_cubics_at_once_are_scipys(points: int) -> None:
    rng = np.random.default_rng(points)
    x = np.cumsum(rng.exponential(1.0, (points, 200)) + 1e-3, axis=0)
    y = np.cumsum(rng.normal(0.3, 1.0, (points, 200)), axis=0)  # turns here and there
    ends = np.sort(rng.uniform(x[0], x[-1], (2, 200)), axis=0)
    curves = [PchipInterpolator(x[:, place], y[:, place]) for place in range(200)]
    for low, high in (ends, (x[0], x[-1])):
        expected = [curve.integrate(*span) for curve, *span in zip(curves, low, high, strict=True)]
        np.testing.assert_allclose(pchip.integrals(x, y, low, high), expected, rtol=1e-9, atol=1e-9)
        read = [curve(place) for curve, place in zip(curves, high, strict=True)]
        np.testing.assert_allclose(pchip.at(x, y, high), read, atol=1e-12)
    assert np.isnan([pchip.at(x, y, x[0] - 0.1), pchip.at(x, y, x[-1] + 0.1)]).all(), "nothing is extrapolated"
