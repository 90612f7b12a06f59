"""What codecs offer at a quality: the fewest bytes an image with which each reaches at least that mean PSNR.

An offer is read between two measured points as ``codecbench.analysis.rd_curves`` reads them, or is a measured point
that is better or restores every pixel. Codecs on data of another kind than they were trained on (†) and on their own
training images (‡) make no offers, and ``none``, which compresses nothing, neither.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from codecbench.analysis.bootstrap import BootstrapMeans
from codecbench.analysis.points import HARNESS, is_exact
from codecbench.analysis.rd_curves import RATES, crossing, read_curves, read_log

Values = npt.NDArray[np.float64]

LEVELS_DB = (25.0, 30.0, 35.0, 40.0)
"""The qualities at which codecs are compared: coarse, fair, good and fine for images of this size."""
OTHER_LEVELS_DB = (10.0, 15.0, 20.0, 45.0, 50.0)
"""Qualities that are looked at where no codec offers anything at those."""
LOW_ENOUGH_DB = 1.0
"""A codec whose lowest point lies no farther than this above a quality was measured low enough for it."""


@dataclass(frozen=True)
class BestRate:
    """The fewest bytes with which a codec reaches a quality.

    Attributes:
        codec: the codec's name.
        bits: an image, on the mean.
        replicates: the same for every replicate of the images, NaN where there is none.
        settings: the measured point, or the nearer one of the two that it was read between.
        curve: the settings that hold along the line, where the codec has several.
        exact: the point restores every pixel.
        header_bits: how many of them are headers and tables; NaN where the codec does not tell.
        learned: the codec was trained.
        measured: it is a measured point, and not read between two.
    """

    codec: str
    bits: float
    replicates: Values
    settings: str
    curve: str = ""
    exact: bool = False
    header_bits: float = math.nan
    learned: bool = False
    measured: bool = True

    @property
    def num_bytes(self) -> float:
        """Bytes an image."""
        return self.bits / 8


def eligible(points: pd.DataFrame) -> pd.DataFrame:
    """The points that may win: with results for all images, at home on this data, and not the harness itself."""
    whole = (points["images"] > 0) & ~incomplete(points)
    return points[whole & (points["mark"] == "") & (points["codec"] != HARNESS)]


def incomplete(points: pd.DataFrame) -> pd.Series[bool]:
    """Which points have results for some of their dataset's images only: their means are over other images."""
    return (points["images"] > 0) & (points["images"] < points["total_images"])


def best_rates(
    points: pd.DataFrame, quality_db: float, resampled: BootstrapMeans | None = None, rate: str = "whole"
) -> list[BestRate]:
    """What each codec offers at a quality.

    Args:
        points: marked points of one dataset.
        quality_db: at least this mean PSNR; infinite for every pixel restored.
        resampled: replicated means, or None to do without.
        rate: ``"whole"`` or ``"payload"``.

    Returns:
        At most one offer a codec, the smallest first.
    """
    column = f"{RATES[rate]}bits_per_image"
    found: list[BestRate] = []
    may = eligible(points)
    exact = is_exact(may)
    for (_, point), whole in zip(may.iterrows(), exact, strict=True):
        if whole or point["psnr_db"] >= quality_db:
            found.append(rate_at_point(point, column, resampled, bool(whole)))
    if math.isfinite(quality_db) and len(may):
        for line in read_curves(may, "psnr_db", rate):
            place = crossing(line.quality, quality_db)
            if place is not None and place[1] > 0:
                found.append(_between(line.members, place, quality_db, column, resampled, line.curve))
    best: dict[str, BestRate] = {}
    for offer in sorted((offer for offer in found if offer.bits > 0), key=lambda offer: (offer.bits, offer.codec)):
        best.setdefault(offer.codec, offer)
    return list(best.values())


def rate_at_point(point: pd.Series, column: str, resampled: BootstrapMeans | None, exact: bool) -> BestRate:
    """What a measured point offers; ``exact`` where it restores every pixel."""
    key = (str(point["dataset"]), str(point["codec"]), str(point["settings"]))
    return BestRate(
        key[1],
        float(point[column]),
        resampled.values(key, column) if resampled is not None else np.empty(0),
        key[2],
        str(point["curve"]),
        exact,
        8.0 * float(point["container_bytes"]),
        bool(point["trained_on"]),
    )


def _between(
    members: pd.DataFrame,
    place: tuple[int, float],
    quality_db: float,
    column: str,
    resampled: BootstrapMeans | None,
    curve: str,
) -> BestRate:
    nearer = members.iloc[place[0] + round(place[1])]
    bits = read_log(members[column].to_numpy(float), place)
    payload = read_log(members["payload_bits_per_image"].to_numpy(float), place)
    replicates = np.empty(0)
    if resampled is not None:
        keys = list(zip(members["dataset"], members["codec"], members["settings"], strict=True))
        rates, qualities = (np.stack([resampled.values(key, name) for key in keys]) for name in (column, "psnr_db"))
        replicates = rates_at(rates, qualities, quality_db)
    return BestRate(
        str(nearer["codec"]),
        bits,
        replicates,
        str(nearer["settings"]),
        curve,
        False,
        bits - payload if column == "bits_per_image" else math.nan,
        bool(nearer["trained_on"]),
        False,
    )


def rates_at(rates: Values, qualities: Values, quality_db: float) -> Values:
    """A line of every replicate at a quality, as :func:`codecbench.analysis.rd_curves.crossing` reads one.

    Args:
        rates: bits of the points by rate, (points, replicates).
        qualities: their mean PSNR, of the same shape.
        quality_db: the quality asked for.

    Returns:
        Bits, (replicates,); NaN where a replicate's line does not get there.
    """
    low, high = qualities[:-1], qualities[1:]
    meets = (low <= quality_db) & (quality_db <= high) & (low < high)
    at = meets.argmax(axis=0)
    every = np.arange(rates.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (quality_db - low[at, every]) / (high[at, every] - low[at, every])
        logs = np.log(rates)
        found: Values = np.exp((1 - share) * logs[at, every] + share * logs[at + 1, every])
    return np.where(meets.any(axis=0) & np.isfinite(found), found, np.nan)


def comparable_levels(points: pd.DataFrame, levels: Sequence[float] = LEVELS_DB) -> list[float]:
    """The qualities at which codecs can be compared.

    Args:
        points: marked points of one dataset.
        levels: qualities to choose from, in dB.

    Returns:
        Those between the lowest and the highest that was measured, where no more than a third of the lossy codecs leave
        the answer open: those that were measured at higher qualities only, and there take more than the smallest does
        here. What they would take at the quality asked for is not known, and the smallest of a minority would not be
        the smallest.
    """
    lossy = points[points["psnr_db"].notna() & ~is_exact(points)]
    spans = lossy.groupby("codec")["psnr_db"].agg(["min", "max"])
    found = []
    for level in (level for level in levels if spans["min"].min() <= level <= spans["max"].max()):
        smallest = next(iter(best_rates(points, level)), None)
        if smallest is not None:
            above = set(spans.index[spans["min"] > level + LOW_ENOUGH_DB]) - {smallest.codec}
            found += [level] if 3 * len(above) <= len(spans) else []
    return found
