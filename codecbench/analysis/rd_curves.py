"""Measured rate–distortion curves, from which BD-rates, savings, Pareto fronts and contrasts of images are read.

Quality is compared on a scale that rises with quality. PSNR is taken as it is. SSIM and its kin are taken in decibels,
-10·log10(1 - SSIM), as Daala's and AV1's tools do: near 1, where good codecs are, SSIM itself hardly moves while the
rate doubles, and a mean over plain SSIM would be one over the worst images of a codec. A measure that is better where
it is lower, such as LPIPS, is taken with its sign turned. What is shown is always the measure itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from codecbench.analysis.points import is_exact
from codecbench.analysis.tables import Values, join_notes
from codecbench.columns import RESERVED
from codecbench.errors import UnknownNameError
from codecbench.text import count

RATES = {"whole": "", "payload": "payload_"}
"""What counts as rate, and how its columns begin: whole files, or files less their container's bytes."""
QUALITIES = ("psnr_db", "psnr_of_mean_mse_db", "ssim")
"""Measures of quality that every run has; the plugin metrics come on top where a run has them."""
NOT_AVAILABLE = "not available: "
RESTORES = NOT_AVAILABLE + "restores every pixel"
LEAST_STEP = 1e-9
"""Qualities nearer to each other than this, relatively, count as equal."""


@dataclass(frozen=True)
class Axes:
    """What curves are drawn over: a measure of quality against a rate."""

    quality: str = "psnr_db"
    rate: str = "whole"  # one of ``RATES``
    falls: bool = False  # the measure is better where it is lower

    @classmethod
    def of(cls, points: pd.DataFrame, quality: str, rate: str) -> Axes:
        """Those of a table of points; an ``UnknownNameError`` for an unknown measure or rate."""
        check_choice("quality measure", quality, known_qualities(points))
        check_choice("rate", rate, list(RATES))
        return cls(quality, rate, _falls_with_quality(points, quality))

    def bits_per(self, unit: str) -> str:
        """The column of the rate per ``pixel`` or ``image``."""
        return f"{RATES[self.rate]}bits_per_{unit}"

    def scaled(self, values: npt.ArrayLike) -> Values:
        """The measure's values, of any shape, on the scale of comparison; NaN for a similarity of 1."""
        numbers = np.asarray(values, dtype=np.float64)
        if is_similarity(self.quality):
            with np.errstate(divide="ignore", invalid="ignore"):
                decibels: Values = -10.0 * np.log10(1.0 - numbers)
            return np.where(np.isfinite(decibels), decibels, np.nan)
        return -numbers if self.falls else numbers

    def unscaled(self, value: float) -> float:
        """The measure's own value at a place on the scale of comparison."""
        if is_similarity(self.quality):
            return 1.0 - math.pow(10.0, -value / 10.0)
        return -value if self.falls else value


@dataclass(frozen=True)
class RDCurve:
    """The N points of a codec on one dataset that differ in one swept setting, by rate.

    Points that restore every pixel are not among them: their quality has no end.
    """

    axes: Axes
    dataset: str
    codec: str
    label: str  # the codec's name for people, with a word on its training
    curve: str  # the settings that are constant along it; empty where a codec has one curve
    mark: str  # see ``points.annotate``
    members: pd.DataFrame  # rows of the table that the points come from
    rate: Values  # bits per pixel, (N,), above 0
    quality: Values  # on the scale of comparison, (N,), finite
    status: str = ""  # why there are no points, or empty
    note: str = ""  # over which images, where it is not all

    @property
    def key(self) -> dict[str, str]:
        """The columns that name the curve in tables."""
        return {name: getattr(self, name) for name in ("dataset", "codec", "label", "curve", "mark")}

    @cached_property
    def kept(self) -> npt.NDArray[np.intp]:
        """The places of the points that no other point of the curve beats, see :func:`upper_envelope`."""
        return upper_envelope(self.rate, self.quality)

    def why_not_at(self, target: float) -> str:
        """Why the curve does not meet a quality, on the scale of comparison."""
        if self.status:
            return self.status
        lowest, highest = float(self.quality.min()), float(self.quality.max())
        if len(self.quality) == 1:
            return f"{NOT_AVAILABLE}one point, at {self._format(lowest)}"
        if target > highest:
            return f"{NOT_AVAILABLE}its best is {self._format(highest)}"
        if target < lowest:
            return f"{NOT_AVAILABLE}its worst is {self._format(lowest)}"
        return f"{NOT_AVAILABLE}quality falls there while the rate rises"

    def _format(self, quality: float) -> str:
        return format_quality(self.axes.unscaled(quality), self.axes.quality)


PSNR = Axes()


def known_qualities(points: pd.DataFrame) -> list[str]:
    """The measures of quality that a table of points has, plugin metrics last."""
    plugins = [name for name in points.columns if name not in RESERVED and pd.api.types.is_numeric_dtype(points[name])]
    return [name for name in QUALITIES if name in points.columns] + plugins


def check_choice(kind: str, name: str, known: Sequence[str]) -> None:
    """Raises ``UnknownNameError`` for a name that is not known."""
    if name not in known:
        raise UnknownNameError(kind, name, known)


def _falls_with_quality(points: pd.DataFrame, quality: str) -> bool:
    """Whether lower is better, judged by whether the metric falls as the rate rises."""
    if quality in QUALITIES or is_similarity(quality):
        return False
    votes = 0
    for _, members in points[points["images"] > 0].groupby(["dataset", "codec", "curve"], sort=False):
        known = members[members[quality].notna()].sort_values("bits_per_pixel")
        votes += int(np.sign(np.diff(known[quality].to_numpy(float))).sum())
    return votes < 0


def is_similarity(quality: str) -> bool:
    """Whether a measure is SSIM or of its kind: at most 1, and 1 where nothing differs."""
    return quality == "ssim" or "_ssim" in quality or quality.startswith("ssim_")


def measure_word(quality: str) -> str:
    """A measure's name in words: ``PSNR``, ``SSIM``; that of a plugin metric as it is."""
    return {"psnr_db": "PSNR", "psnr_of_mean_mse_db": "PSNR of the mean MSE", "ssim": "SSIM"}.get(quality, quality)


def format_quality(value: float, quality: str) -> str:
    """A measure's value with its unit: ``29.3 dB``, ``SSIM 0.95``."""
    if math.isnan(value):
        return "–"
    if quality.endswith("_db"):
        return f"{value:.1f} dB"
    return f"{'SSIM' if quality == 'ssim' else quality} {value:.4g}"


def read_curves(points: pd.DataFrame, axes: Axes = PSNR) -> Iterator[RDCurve]:
    """The curves of every codec on every dataset, in the order of the points.

    A codec without any has one empty curve that says why.
    """
    for (dataset, codec), members in points.groupby(["dataset", "codec"], sort=False):
        names = (axes, str(dataset), str(codec), str(members["label"].iloc[0]))
        mark, nothing = str(members["mark"].iloc[0]), members.iloc[:0]
        measured = members[members["images"] > 0]
        left_out = (members["images"] == 0) & members[axes.quality].notna()  # see ``analysis.same_images``
        lossy = members[(members["images"] > 0) & ~is_exact(members) | left_out]
        if lossy.empty:
            why = RESTORES if len(measured) else NOT_AVAILABLE + _reason(members)
            yield RDCurve(*names, "", mark, nothing, np.empty(0), np.empty(0), why)
            continue
        for curve, every in lossy.groupby("curve", sort=False):
            found = every[every["images"] > 0]
            rates = found[axes.bits_per("pixel")].to_numpy(float)
            values = axes.scaled(found[axes.quality].to_numpy(float))
            with_rate = rates > 0
            usable = with_rate & np.isfinite(rates) & np.isfinite(values)
            order = np.flatnonzero(usable)[np.lexsort((values[usable], rates[usable]))]
            why = ""
            if not len(order):
                missing = axes.quality if with_rate.any() else "bits" if axes.rate == "whole" else axes.rate
                nothing_known = "a rate of 0 bits has no logarithm" if (rates == 0).all() else f"no {missing} known"
                why = NOT_AVAILABLE + (nothing_known if len(found) else _reason(every))
            note = _note(found, len(every) - len(found))
            yield RDCurve(*names, str(curve), mark, found.iloc[order], rates[order], values[order], why, note)


def _note(curve: pd.DataFrame, left_out: int) -> str:
    """Over which images a curve is, and how many of its points have the measure of fewer."""
    some = curve[curve["images"] < curve["total_images"]]
    return join_notes(
        f"over {some['images'].iloc[0]:,} of {some['total_images'].iloc[0]:,} images" if len(some) else "",
        f"{count(left_out, 'point')} of fewer images left out" if left_out and len(curve) else "",
    )


def _reason(members: pd.DataFrame) -> str:
    reasons = [str(reason) for reason in members["reason"] if reason]
    return reasons[0] if reasons else "no results"


def upper_envelope(rate: Values, quality: Values) -> npt.NDArray[np.intp]:
    """The places of the points whose quality exceeds that of every cheaper one, by rate; both arguments are (N,).

    Along them both rise strictly. Of points with one rate the best is kept.
    """
    kept: list[int] = []
    for place in np.lexsort((-quality, rate)):
        if not kept or quality[place] - quality[kept[-1]] > LEAST_STEP * max(1.0, abs(quality[place])):
            if kept and rate[place] <= rate[kept[-1]] * (1.0 + LEAST_STEP):
                kept.pop()  # as cheap, and better
            kept.append(int(place))
    return np.array(kept, dtype=np.intp)
