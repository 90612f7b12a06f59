"""The best rate at a quality: the fewest bytes per image with which each codec reaches at least that mean PSNR.

It is read between two measured points (``points.read_at``), or is that of a measured point that is better or restores
every pixel. Left out are codecs on data of another kind than they were trained on (†) and on their own training images
(‡), and ``none``, which compresses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from codecbench.analysis.bootstrap import BootstrapMeans
from codecbench.analysis.points import HARNESS, crossing, is_exact, read_at
from codecbench.analysis.rd_curves import Axes, RDCurve, read_curves
from codecbench.analysis.tables import Values

LEVELS_DB = (25.0, 30.0, 35.0, 40.0)
"""The qualities at which codecs are compared: coarse, fair, good and fine for images of this size."""
OTHER_LEVELS_DB = (10.0, 15.0, 20.0, 45.0, 50.0)
"""Qualities that are tried where no codec reaches any of those."""
LOW_ENOUGH_DB = 1.0
"""A codec whose lowest point lies no farther than this above a quality was measured low enough for it."""


@dataclass(frozen=True)
class BestRate:
    """The fewest bits with which a codec reaches a quality."""

    codec: str
    bits: float  # an image, on the mean
    replicates: Values  # the same for every replicate of the images, NaN where there is none
    settings: str  # of the measured point, or of the nearer one of the two that it was read between
    curve: str = ""  # the settings that are constant along the curve, where the codec has several
    exact: bool = False  # the point restores every pixel
    header_bits: float = math.nan  # how many bits are headers and tables; NaN where the codec cannot tell
    learned: bool = False
    measured: bool = True  # it is a measured point, and not read between two

    @property
    def num_bytes(self) -> float:
        """Bytes per image."""
        return self.bits / 8


def eligible(points: pd.DataFrame) -> pd.DataFrame:
    """The points that may win: with results, at home on this data, and not the harness itself."""
    return points[(points["images"] > 0) & (points["mark"] == "") & (points["codec"] != HARNESS)]


def incomplete(points: pd.DataFrame) -> pd.Series[bool]:
    """Which points have results for some of their dataset's images only: their means are over other images."""
    return (points["images"] > 0) & (points["images"] < points["total_images"])


def best_rates(
    points: pd.DataFrame, quality_db: float, resampled: BootstrapMeans | None = None, rate: str = "whole"
) -> list[BestRate]:
    """The best rates of codecs on one dataset at a quality, at most one per codec, the smallest first.

    ``points`` are over the same images, see ``analysis.same_images``. ``quality_db`` is infinite for every pixel
    restored: then they are all points, and those without some of the images do not count. Without ``resampled`` there
    are no replicates.
    """
    axes = Axes(rate=rate)
    column = axes.bits_per("image")
    found: list[BestRate] = []
    may = eligible(points)
    if math.isinf(quality_db):
        may = may[~incomplete(may)]
    exact = is_exact(may)
    for (_, point), whole in zip(may.iterrows(), exact, strict=True):
        if whole or point["psnr_db"] >= quality_db:
            over = axes.quality if math.isfinite(quality_db) else ""
            found.append(rate_at_point(point, column, resampled, bool(whole), over))
    if math.isfinite(quality_db) and len(may):
        for curve in read_curves(may, axes):
            low, share = crossing(curve.quality, quality_db)
            if share > 0:
                found.append(_between(curve, int(low), float(share), quality_db, resampled))
    best: dict[str, BestRate] = {}
    for one in sorted((one for one in found if one.bits > 0), key=lambda one: (one.bits, one.codec)):
        best.setdefault(one.codec, one)
    return list(best.values())


def rate_at_point(
    point: pd.Series, column: str, resampled: BootstrapMeans | None, exact: bool, over: str = "psnr_db"
) -> BestRate:
    """The rate of a measured point, over the images of a measure; ``exact`` where it restores every pixel."""
    key = (str(point["dataset"]), str(point["codec"]), str(point["settings"]))
    return BestRate(
        key[1],
        float(point[column]),
        resampled.values(key, column, over) if resampled is not None else np.empty(0),
        key[2],
        str(point["curve"]),
        exact,
        float(point["bits_per_image"] - point["payload_bits_per_image"]),
        bool(point["trained_on"]),
    )


def _between(curve: RDCurve, low: int, share: float, quality_db: float, resampled: BootstrapMeans | None) -> BestRate:
    members, column = curve.members, curve.axes.bits_per("image")
    nearer = members.iloc[low + round(share)]
    bits = float(read_at(members[column].to_numpy(float), low, share))
    payload = float(read_at(members["payload_bits_per_image"].to_numpy(float), low, share))
    replicates = np.empty(0)
    if resampled is not None:
        keys = list(zip(members["dataset"], members["codec"], members["settings"], strict=True))
        over = curve.axes.quality
        rates, qualities = (np.stack([resampled.values(key, name, over) for key in keys]) for name in (column, over))
        replicates = read_at(rates, *crossing(qualities, quality_db))
    return BestRate(
        str(nearer["codec"]),
        bits,
        replicates,
        str(nearer["settings"]),
        curve.curve,
        False,
        bits - payload if column == "bits_per_image" else math.nan,
        bool(nearer["trained_on"]),
        False,
    )


def comparable_levels(points: pd.DataFrame, levels: Sequence[float] = LEVELS_DB) -> list[float]:
    """Those of some qualities, in dB, at which the codecs on one dataset can be compared.

    They are between the lowest and the highest that was measured, where no more than a third of the lossy codecs leave
    the answer open: those that were measured at higher qualities only, and there take more than the smallest does here.
    What they would take at the quality asked for is not known: the smallest of a minority need not be the smallest.
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
