"""What a run's numbers say: which codec needs the fewest bytes, by how much, and whether that is certain.

What a codec needs at a quality is its best rate, see ``codecbench.analysis.best``. Two codecs are judged by the
bootstrap over images, the same images drawn for both. A codec wins only where the 95 % interval of the saving excludes
0; those that cannot be distinguished from the first are level with it. Without an interval nothing is certain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from codecbench.analysis.best import (
    LEVELS_DB,
    OTHER_LEVELS_DB,
    BestRate,
    best_rates,
    comparable_levels,
    eligible,
    rate_at_point,
)
from codecbench.analysis.bootstrap import LEAST_IMAGES, BootstrapMeans, interval
from codecbench.analysis.points import TARGET_DB

NEAR_DB = 1.0
"""Points of a learned codec whose distances from ``TARGET_DB`` differ by no more than this are as near to it."""
LEAST_PERCENT = 0.5
"""Smaller differences are called level, however certain."""
NOTABLE_SHARE = 0.2
"""Share of a file that is headers from which on it is worth a sentence."""


@dataclass(frozen=True)
class Saving:
    """How many per cent fewer bytes one codec needs than another, with its 95 % interval."""

    percent: float = math.nan  # positive where the first is smaller
    low: float = math.nan  # NaN where there is no interval
    high: float = math.nan
    unknown: str = ""  # why there is no interval, where replicates lack the quality

    @property
    def known(self) -> bool:
        """Whether there is an interval to judge by."""
        return math.isfinite(self.low)

    @property
    def clear(self) -> bool:
        """Whether the first is smaller, certainly and by enough to matter."""
        return self.known and self.low > 0 and self.percent >= LEAST_PERCENT


@dataclass(frozen=True)
class Claim:
    """One thing that the numbers say."""

    dataset: str
    kind: str  # ``quality`` (at ``quality_db``), ``lossless``, ``learned`` or ``payload``
    winners: tuple[str, ...]  # the codec with the fewest bytes; several where they are level, the smallest first
    loser: str  # the next that is not level with them; empty where there is none
    saving: Saving  # of the first winner against the loser
    quality_db: float  # at least this mean PSNR; NaN for lossless
    rates: dict[str, BestRate]  # of the winners and the loser, by codec
    anchor: str = ""  # the codec that others are compared with; empty where it has no rate or is among those named
    against_anchor: Saving | None = None  # of the first winner
    images: int = 0  # how many images the numbers are means of

    @property
    def first(self) -> BestRate:
        """The smallest best rate."""
        return self.rates[self.winners[0]]

    @property
    def certain(self) -> bool:
        """Whether the winners are distinguished from the loser, if there is one, on enough images."""
        return not few(self.images) and (not self.loser or self.saving.clear)


def saving(first: BestRate, other: BestRate) -> Saving:
    """How many per cent fewer bytes the first needs."""
    ends, why = (math.nan, math.nan), ""
    if len(first.replicates) and len(other.replicates):
        with np.errstate(invalid="ignore", divide="ignore"):
            replicates = 100.0 * (1.0 - first.replicates / other.replicates)
        ends, missing = interval(replicates), int(np.isnan(replicates).sum())
        if math.isnan(ends[0]) and missing < len(replicates):
            why = f"not known: {missing} of {len(replicates)} replicates do not reach the quality"
    return Saving(100.0 * (1.0 - first.bits / other.bits), *ends, why)


def judge(
    dataset: str, kind: str, quality_db: float, ranked: Sequence[BestRate], anchor: str = "", images: int = 0
) -> Claim | None:
    """The claim that a ranking, the smallest first, allows; None where it is empty."""
    if not ranked:
        return None
    first, others = ranked[0], list(ranked[1:])
    winners = [first.codec]
    while others:
        gap = saving(first, others[0])
        if gap.clear or not gap.known:
            break
        winners.append(others.pop(0).codec)
    loser = others[0] if others else None
    named = {one.codec: one for one in ranked[: len(winners) + 1]}
    base = next((one for one in others[1:] if one.codec == anchor), None)
    return Claim(
        dataset,
        kind,
        tuple(winners),
        loser.codec if loser else "",
        saving(first, loser) if loser else Saving(),
        quality_db,
        named | ({anchor: base} if base else {}),
        anchor if base else "",
        saving(first, base) if base else None,
        images,
    )


def by_quality(dataset: str, points: pd.DataFrame, anchor: str, resampled: BootstrapMeans | None) -> list[Claim]:
    """Which of the codecs that need no training is smallest at each quality, one claim a quality.

    The qualities are those of ``LEVELS_DB`` at which codecs can be compared, see ``best.comparable_levels``; without
    any, those of ``OTHER_LEVELS_DB``.
    """
    plain = untrained(points)
    images = int(plain["images"].max()) if len(plain) else 0
    for levels in (LEVELS_DB, OTHER_LEVELS_DB):
        rankings = {level: best_rates(plain, level, resampled) for level in comparable_levels(plain, levels)}
        found = [judge(dataset, "quality", level, ranked, anchor, images) for level, ranked in rankings.items()]
        if claims := [claim for claim in found if claim is not None]:
            return claims
    return []


def untrained(points: pd.DataFrame) -> pd.DataFrame:
    """The points of codecs that need no training."""
    may = eligible(points)
    return may[may["trained_on"] == ""]


def lossless(dataset: str, points: pd.DataFrame, anchor: str, resampled: BootstrapMeans | None) -> Claim | None:
    """Which codec restores every pixel with the fewest bytes; None where none does."""
    may = eligible(points)
    images = int(may["images"].max()) if len(may) else 0
    return judge(dataset, "lossless", math.nan, best_rates(may, math.inf, resampled), anchor, images)


def learned(dataset: str, points: pd.DataFrame, resampled: BootstrapMeans | None) -> list[Claim]:
    """For each learned codec at home on this data: one of its points against the best untrained codec at its quality.

    The point is the one that saves most of those whose PSNR is nearest to ``TARGET_DB``, to within ``NEAR_DB``. The
    ``anchor`` of a claim is the learned codec, by what it saves; the winner may be either side.
    """
    may = eligible(points)
    plain = untrained(points)
    found = []
    for codec, members in may[may["trained_on"] != ""].groupby("codec", sort=True):
        lossy = members[members["psnr_db"].notna()]
        away = (lossy["psnr_db"] - TARGET_DB).abs()
        tried = []
        for _, point in lossy[away <= away.min() + NEAR_DB].iterrows():
            own = rate_at_point(point, "bits_per_image", resampled, False)
            others = best_rates(plain, float(point["psnr_db"]), resampled)
            if others and own.bits > 0:
                ranked = sorted((own, others[0]), key=lambda one: one.bits)
                claim = judge(dataset, "learned", float(point["psnr_db"]), ranked, "", int(point["images"]))
                assert claim is not None
                rates = {one.codec: one for one in (own, others[0])}
                tried.append(replace(claim, anchor=str(codec), rates=rates))
        found += [max(tried, key=saved_by_learned)] if tried else []
    return sorted(found, key=saved_by_learned, reverse=True)


def saved_by_learned(claim: Claim) -> float:
    """How many per cent fewer bytes the learned codec of a claim of :func:`learned` needs; negative where more."""
    own, other = claim.rates.values()
    return saving(own, other).percent


def pays_from(own: BestRate, other: BestRate, weight_bytes: float) -> int | None:
    """From how many images on a learned codec is smaller when its weights have to be sent once as well.

    None where its streams alone are no smaller.
    """
    if own.bits >= other.bits:
        return None
    return math.floor(8.0 * weight_bytes / (other.bits - own.bits)) + 1


def payload(
    dataset: str, points: pd.DataFrame, resampled: BootstrapMeans | None, quality_db: float = TARGET_DB
) -> tuple[Claim, Claim] | None:
    """Who is smallest over whole files and over payload alone, among untrained codecs whose headers are known.

    None where fewer than two are known, or none gets there.
    """
    plain = untrained(points)
    plain = plain[plain["payload_bits_per_image"].notna() & (plain["payload_bits_per_image"] > 0)]
    images = int(plain["images"].max()) if len(plain) else 0
    found = []
    for rate in ("whole", "payload"):
        ranked = best_rates(plain, quality_db, resampled, rate)
        claim = judge(dataset, "payload", quality_db, ranked, "", images)
        if claim is None or len(ranked) < 2:
            return None
        found.append(replace(claim, rates={one.codec: one for one in ranked}))
    return found[0], found[1]


def few(images: int) -> bool:
    """Whether these are too few images to judge by."""
    return images < LEAST_IMAGES
