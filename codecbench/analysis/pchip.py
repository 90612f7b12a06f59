"""Integrals of many monotone piecewise cubics at once, for replicates of a curve.

The interpolant is that of ``scipy.interpolate.PchipInterpolator``, which takes one set of places for all curves; each
replicate of a rate–distortion curve has places of its own. Sources: Fritsch and Carlson, "Monotone piecewise cubic
interpolation", SIAM Journal on Numerical Analysis 17, 1980; Fritsch and Butland, "A method for constructing local
monotone piecewise cubic interpolants", SIAM Journal on Scientific and Statistical Computing 5, 1984.
"""

from __future__ import annotations

import numpy as np

from codecbench.analysis.tables import Values


def slopes(x: Values, y: Values) -> Values:
    """The slopes of the interpolants at their places, (N, R); places and values are as for :func:`integrals`."""
    steps = np.diff(x, axis=0)
    rise = np.diff(y, axis=0) / steps
    if len(x) == 2:
        return np.repeat(rise, 2, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        before, after = 2 * steps[1:] + steps[:-1], steps[1:] + 2 * steps[:-1]
        mean = (before + after) / (before / rise[:-1] + after / rise[1:])
    inner = np.where(rise[:-1] * rise[1:] > 0, mean, 0.0)
    first = _end(steps[0], steps[1], rise[0], rise[1])
    last = _end(steps[-1], steps[-2], rise[-1], rise[-2])
    return np.concatenate([first[None], inner, last[None]])


def _end(step: Values, next_step: Values, rise: Values, next_rise: Values) -> Values:
    """The slope at an end: three-point, kept from turning the curve."""
    slope = ((2 * step + next_step) * rise - step * next_rise) / (step + next_step)
    slope = np.where(np.sign(slope) != np.sign(rise), 0.0, slope)
    steep = (np.sign(rise) != np.sign(next_rise)) & (np.abs(slope) > 3 * np.abs(rise))
    return np.where(steep, 3 * rise, slope)


def integrals(x: Values, y: Values, low: Values, high: Values) -> Values:
    """The integrals of R interpolants between two places each, (R,).

    The places ``x`` and values ``y`` are (N, R), N of 2 or more, and the places rise strictly along the first axis. The
    ends ``low`` and ``high``, (R,), must not be outside the places.
    """
    slope = slopes(x, y)
    step, start, end = np.diff(x, axis=0), slope[:-1], slope[1:]
    rise = np.diff(y, axis=0) / step
    square, cube = (3 * rise - 2 * start - end) / step, (start + end - 2 * rise) / step**2

    def primitive(s: Values) -> Values:
        whole: Values = s * (y[:-1] + s * (start / 2 + s * (square / 3 + s * cube / 4)))
        return whole

    parts = primitive(np.clip(high - x[:-1], 0.0, step)) - primitive(np.clip(low - x[:-1], 0.0, step))
    total: Values = parts.sum(axis=0)
    return total


def at(x: Values, y: Values, place: Values) -> Values:
    """The values of the interpolants at one place each, (R,); NaN where the place is outside the curve's."""
    slope, columns = slopes(x, y), np.arange(x.shape[1])
    left = np.clip((x <= place).sum(axis=0) - 1, 0, len(x) - 2)
    x0, y0 = x[left, columns], y[left, columns]
    step = x[left + 1, columns] - x0
    rise = (y[left + 1, columns] - y0) / step
    start, end, s = slope[left, columns], slope[left + 1, columns], place - x0
    values = y0 + s * (start + s * ((3 * rise - 2 * start - end) / step + s * (start + end - 2 * rise) / step**2))
    return np.where((place >= x[0]) & (place <= x[-1]), values, np.nan)
