"""Measured lines of rate over quality: what BD-rates, savings, Pareto fronts and contrasts of images are read from.

A line is the points of one codec on one dataset that lie on one curve (see ``codecbench.analysis.points``). Points that
restore every pixel have no place on it: their quality has no end.

Quality is compared on a scale that rises with quality. PSNR is taken as it is. SSIM and its kin are taken in decibels,
-10·log10(1 - SSIM): near 1, where good codecs lie, SSIM itself hardly moves while the rate doubles, and a mean over
plain SSIM would be one over the worst images that a codec makes. Daala's and AV1's tools do the same. A measure that is
better where it is lower, such as LPIPS, is taken with its sign turned. What is shown is always the measure itself.
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
    """The points of a codec on one curve, by rate.

    Attributes:
        dataset: the dataset's label.
        codec: the codec's name.
        label: the same for people, with a word on its training.
        curve: the settings that hold along the line; empty where a codec has one line.
        mark: ``†``, ``‡`` or empty, see ``codecbench.analysis.points``.
        members: the N points, by rate, rows of the table they came from.
        rate: bits per pixel, (N,), above 0.
        quality: on the scale of comparison, (N,), finite.
        status: why there are no points, or empty.
    """

    dataset: str
    codec: str
    label: str
    curve: str
    mark: str
    members: pd.DataFrame
    rate: Values
    quality: Values
    status: str = ""

    @property
    def key(self) -> dict[str, str]:
        """The columns that name the line in tables."""
        return {name: getattr(self, name) for name in ("dataset", "codec", "label", "curve", "mark")}

    @property
    def name(self) -> str:
        """The codec, and the curve where it has several."""
        return f"{self.codec} ({self.curve})" if self.curve else self.codec

    def emptied(self, curve: str, status: str) -> RDCurve:
        """A line of the same codec without points: of another curve, which has none for this reason."""
        nothing = np.empty(0)
        return replace(self, curve=curve, members=self.members.iloc[:0], rate=nothing, quality=nothing, status=status)


def known_qualities(points: pd.DataFrame) -> list[str]:
    """The measures of quality that a table of points has, the plugin metrics last."""
    plugins = [name for name in points.columns if name not in RESERVED and pd.api.types.is_numeric_dtype(points[name])]
    return [name for name in QUALITIES if name in points.columns] + plugins


def check_choice(kind: str, name: str, known: Sequence[str]) -> None:
    """Refuses a name that is not known.

    Raises:
        UnknownNameError: with the known ones.
    """
    if name not in known:
        raise UnknownNameError(kind, name, known)


def falls_with_quality(points: pd.DataFrame, quality: str) -> bool:
    """Whether a measure is better where it is lower: whether it falls while a codec's rate rises.

    Args:
        points: marked points.
        quality: the measure's column.
    """
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
    """A measure's values on the scale of comparison, which rises with quality.

    Args:
        values: any shape.
        quality: the measure's name.
        falls: it is better where it is lower.

    Returns:
        The same shape; NaN where a similarity is 1 and so without decibels.
    """
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
    """The lines of every codec on every dataset, in the order of the points.

    Args:
        points: marked points.
        quality: the measure's column.
        rate: one of ``RATES``.

    Yields:
        Lines; a codec without any has one empty line that says why.

    Raises:
        UnknownNameError: a measure or rate that is not known.
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
    """The points that no other point beats: whose quality exceeds that of every cheaper one.

    Args:
        rate: (N,).
        quality: (N,), rising with quality.

    Returns:
        Places of the kept points, by rate; along them both rise strictly. Of points with one rate the best is kept.
    """
    kept: list[int] = []
    for place in np.lexsort((-quality, rate)):
        if not kept or quality[place] - quality[kept[-1]] > LEAST_STEP * max(1.0, abs(quality[place])):
            if kept and rate[place] <= rate[kept[-1]] * (1.0 + LEAST_STEP):
                kept.pop()  # as cheap, and better
            kept.append(int(place))
    return np.array(kept, dtype=np.intp)


def crossing(quality: Values, target: float) -> tuple[int, float] | None:
    """Where a line first meets a quality on its way up, as ``codecbench.analysis.points.rate_at`` reads it.

    Args:
        quality: of the points by rate, (N,).
        target: the quality asked for.

    Returns:
        The place of the left neighbour and the share of the way to the right one, 0 to 1; None where the line does not
        get there: nothing is extrapolated.
    """
    for low in range(len(quality) - 1):
        if quality[low] <= target <= quality[low + 1] and quality[low] < quality[low + 1]:
            return low, float((target - quality[low]) / (quality[low + 1] - quality[low]))
    same = np.flatnonzero(quality == target)
    return (int(same[0]), 0.0) if len(same) else None


def read_log(values: Values, place: tuple[int, float]) -> float:
    """A positive value of a line at a crossing, along the straight line of its logarithm; NaN where one is missing."""
    low, share = place
    if share == 0.0:
        return float(values[low])
    if not (values[low] > 0 and values[low + 1] > 0):
        return math.nan
    return float(np.exp((1.0 - share) * np.log(values[low]) + share * np.log(values[low + 1])))


def why_no_crossing(line: RDCurve, target: float, quality: str, falls: bool = False) -> str:
    """Why a line does not meet a quality."""
    if line.status:
        return line.status
    lowest, highest = float(line.quality.min()), float(line.quality.max())
    if len(line.quality) == 1:
        return f"{NOT_AVAILABLE}one point, at {format_quality(from_scale(lowest, quality, falls), quality)}"
    if target > highest:
        return f"{NOT_AVAILABLE}its best is {format_quality(from_scale(highest, quality, falls), quality)}"
    if target < lowest:
        return f"{NOT_AVAILABLE}its worst is {format_quality(from_scale(lowest, quality, falls), quality)}"
    return f"{NOT_AVAILABLE}quality falls there while the rate rises"
