"""Measured rate–distortion curves, from which BD-rates, savings, Pareto fronts and contrasts of images are read.

Quality is compared on a scale that rises with quality. PSNR is taken as it is. SSIM and its kin are taken in decibels,
-10·log10(1 - SSIM), as Daala's and AV1's tools do: near 1, where good codecs are, SSIM itself hardly moves while the
rate doubles, and a mean over plain SSIM would be one over the worst images of a codec. A measure that is better where
it is lower, such as LPIPS, is taken with its sign turned. What is shown is always the measure itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from codecbench.analysis.points import is_exact
from codecbench.columns import RESERVED
from codecbench.errors import UnknownNameError

Values = npt.NDArray[np.float64]

RATES = {"whole": "", "payload": "payload_"}
"""What counts as rate, and how its columns begin: whole files, or files less their container's bytes."""
QUALITIES = ("psnr_db", "psnr_of_mean_mse_db", "ssim")
"""Measures of quality that every run has; the plugin metrics come on top where a run has them."""
NOT_AVAILABLE = "not available: "
RESTORES = NOT_AVAILABLE + "restores every pixel"
LEAST_STEP = 1e-9
"""Qualities nearer to each other than this, relatively, count as equal."""


@dataclass(frozen=True)
class RDCurve:
    """The N points of a codec on one dataset that differ in one swept setting, by rate.

    Points that restore every pixel are not among them: their quality has no end.
    """

    dataset: str
    codec: str
    label: str  # the codec's name for people, with a word on its training
    curve: str  # the settings that are constant along it; empty where a codec has one curve
    mark: str  # see ``points.annotate``
    members: pd.DataFrame  # rows of the table that the points come from
    rate: Values  # bits per pixel, (N,), above 0
    quality: Values  # on the scale of comparison, (N,), finite
    status: str = ""  # why there are no points, or empty

    @property
    def key(self) -> dict[str, str]:
        """The columns that name the curve in tables."""
        return {name: getattr(self, name) for name in ("dataset", "codec", "label", "curve", "mark")}

    @property
    def name(self) -> str:
        """The codec, and the curve where it has several."""
        return f"{self.codec} ({self.curve})" if self.curve else self.codec

    def emptied(self, curve: str, status: str) -> RDCurve:
        """A curve of the same codec without points: another one, which has none for this reason."""
        nothing = np.empty(0)
        return replace(self, curve=curve, members=self.members.iloc[:0], rate=nothing, quality=nothing, status=status)


def known_qualities(points: pd.DataFrame) -> list[str]:
    """The measures of quality that a table of points has, plugin metrics last."""
    plugins = [name for name in points.columns if name not in RESERVED and pd.api.types.is_numeric_dtype(points[name])]
    return [name for name in QUALITIES if name in points.columns] + plugins


def check_choice(kind: str, name: str, known: Sequence[str]) -> None:
    """Raises ``UnknownNameError`` for a name that is not known."""
    if name not in known:
        raise UnknownNameError(kind, name, known)


def falls_with_quality(points: pd.DataFrame, quality: str) -> bool:
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


def to_scale(values: npt.ArrayLike, quality: str, falls: bool = False) -> Values:
    """A measure's values, of any shape, on the scale of comparison; NaN where a similarity is 1 and has no decibels."""
    numbers = np.asarray(values, dtype=np.float64)
    if is_similarity(quality):
        with np.errstate(divide="ignore", invalid="ignore"):
            decibels: Values = -10.0 * np.log10(1.0 - numbers)
        return np.where(np.isfinite(decibels), decibels, np.nan)
    return -numbers if falls else numbers


def from_scale(value: float, quality: str, falls: bool = False) -> float:
    """The measure's own value at a place on the scale of comparison."""
    if is_similarity(quality):
        return 1.0 - math.pow(10.0, -value / 10.0)
    return -value if falls else value


def format_quality(value: float, quality: str) -> str:
    """A measure's value with its unit: ``29.3 dB``, ``SSIM 0.95``."""
    if math.isnan(value):
        return "–"
    if quality.endswith("_db"):
        return f"{value:.1f} dB"
    return f"{'SSIM' if quality == 'ssim' else quality} {value:.4g}"


def read_curves(points: pd.DataFrame, quality: str = "psnr_db", rate: str = "whole") -> Iterator[RDCurve]:
    """The curves of every codec on every dataset, in the order of the points; ``rate`` is one of ``RATES``.

    A codec without any has one empty curve that says why. Raises ``UnknownNameError`` for an unknown measure or rate.
    """
    check_choice("quality measure", quality, known_qualities(points))
    check_choice("rate", rate, list(RATES))
    falls = falls_with_quality(points, quality)
    name = f"{RATES[rate]}bits_per_pixel"
    for (dataset, codec), members in points.groupby(["dataset", "codec"], sort=False):
        names = (str(dataset), str(codec), str(members["label"].iloc[0]))
        mark, nothing = str(members["mark"].iloc[0]), members.iloc[:0]
        measured = members[members["images"] > 0]
        lossy = measured[~is_exact(measured)]
        if lossy.empty:
            why = RESTORES if len(measured) else NOT_AVAILABLE + _reason(members)
            yield RDCurve(*names, "", mark, nothing, np.empty(0), np.empty(0), why)
            continue
        for curve, found in lossy.groupby("curve", sort=False):
            rates = found[name].to_numpy(float) if name in found else np.full(len(found), np.nan)
            values = to_scale(found[quality].to_numpy(float), quality, falls)
            with_rate = rates > 0
            usable = with_rate & np.isfinite(rates) & np.isfinite(values)
            order = np.flatnonzero(usable)[np.lexsort((values[usable], rates[usable]))]
            why = ""
            if not len(order):
                missing = rate if rate != "whole" and not with_rate.any() else quality if with_rate.any() else "bits"
                why = f"{NOT_AVAILABLE}no {missing} known"
            yield RDCurve(*names, str(curve), mark, found.iloc[order], rates[order], values[order], why)


def _reason(members: pd.DataFrame) -> str:
    reasons = [str(reason) for reason in members.get("reason", ()) if reason]
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


def why_no_crossing(curve: RDCurve, target: float, quality: str, falls: bool = False) -> str:
    """Why a curve does not meet a quality."""
    if curve.status:
        return curve.status
    lowest, highest = float(curve.quality.min()), float(curve.quality.max())
    if len(curve.quality) == 1:
        return f"{NOT_AVAILABLE}one point, at {format_quality(from_scale(lowest, quality, falls), quality)}"
    if target > highest:
        return f"{NOT_AVAILABLE}its best is {format_quality(from_scale(highest, quality, falls), quality)}"
    if target < lowest:
        return f"{NOT_AVAILABLE}its worst is {format_quality(from_scale(lowest, quality, falls), quality)}"
    return f"{NOT_AVAILABLE}quality falls there while the rate rises"
