"""What a run's numbers say, as records: which codec needs the fewest bytes, by how much, and whether that is certain.

What a codec needs at a quality is its *offer*, see ``codecbench.analysis.best``. Differences between two codecs are
judged by the bootstrap over images, the same images drawn for both. A codec wins only where the 95 % interval of the
difference excludes 0; those that are not told from the first are level with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
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

Values = npt.NDArray[np.float64]

NEAR_DB = 1.0
"""Points of a learned codec whose distances from ``TARGET_DB`` differ by no more than this are as near to it."""
LEAST_PERCENT = 0.5
"""Smaller differences are called level, however certain."""
NOTABLE_SHARE = 0.2
"""Share of a file that is headers from which on it is worth a sentence."""


@dataclass(frozen=True)
class Saving:
    """How many per cent fewer bytes one offer is than another.

    Attributes:
        percent: bytes saved, positive where the first is smaller.
        low: of the 95 % interval; NaN where there is none.
        high: of the same.
    """

    percent: float
    low: float
    high: float

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
    """One thing that the numbers say.

    Attributes:
        dataset: the dataset's label.
        kind: ``quality`` (at ``quality_db``), ``lossless``, ``learned`` or ``payload``.
        winners: the codec with the fewest bytes; several where they are level, the smallest first.
        loser: the next that is not level with them; empty where there is none.
        difference: of the first winner against the loser.
        quality_db: at least this mean PSNR; NaN for lossless.
        offers: of the winners and the loser, by codec.
        anchor: the codec that others are compared with; empty where it makes no offer or is among those named.
        against_anchor: of the first winner against the anchor.
        images: how many images the numbers are means of.
    """

    dataset: str
    kind: str
    winners: tuple[str, ...]
    loser: str
    difference: Saving
    quality_db: float
    rates: dict[str, BestRate]
    anchor: str = ""
    against_anchor: Saving | None = None
    images: int = 0

    @property
    def first(self) -> BestRate:
        """The smallest offer."""
        return self.rates[self.winners[0]]

    @property
    def certain(self) -> bool:
        """Whether the winners are told from the loser, if there is one, on enough images."""
        return not few(self.images) and (not self.loser or self.difference.clear)


def saving(first: BestRate, other: BestRate) -> Saving:
    """How many per cent fewer bytes the first offer is."""
    low, high = math.nan, math.nan
    if len(first.replicates) and len(other.replicates):
        with np.errstate(invalid="ignore", divide="ignore"):
            low, high = interval(100.0 * (1.0 - first.replicates / other.replicates))
    return Saving(100.0 * (1.0 - first.bits / other.bits), low, high)


def judge(
    dataset: str, kind: str, quality_db: float, ranked: Sequence[BestRate], anchor: str = "", images: int = 0
) -> Claim | None:
    """The claim that a ranking allows; None where there is no offer.

    Args:
        dataset: the dataset's label.
        kind: of the claim.
        quality_db: at least this mean PSNR; NaN for lossless.
        ranked: offers, the smallest first.
        anchor: the codec that others are compared with.
        images: how many images the numbers are means of.
    """
    if not ranked:
        return None
    first, others = ranked[0], list(ranked[1:])
    winners = [first.codec]
    while others:
        gap = saving(first, others[0])
        # Of too few images there is never an interval. Elsewhere there is none where replicates lack the quality.
        if gap.clear or (not gap.known and few(images) and gap.percent >= LEAST_PERCENT):
            break
        winners.append(others.pop(0).codec)
    loser = others[0] if others else None
    named = {offer.codec: offer for offer in ranked if offer.codec in (*winners, loser.codec if loser else "")}
    base = next((offer for offer in ranked if offer.codec == anchor), None)
    if base is not None and base.codec not in named:
        named[base.codec] = base
        against: Saving | None = saving(first, base)
    else:
        base, against = None, None
    gap = saving(first, loser) if loser else Saving(math.nan, math.nan, math.nan)
    return Claim(
        dataset,
        kind,
        tuple(winners),
        loser.codec if loser else "",
        gap,
        quality_db,
        named,
        base.codec if base else "",
        against,
        images,
    )


def by_quality(dataset: str, points: pd.DataFrame, anchor: str, resampled: BootstrapMeans | None) -> list[Claim]:
    """Which of the codecs that need no training is smallest at each quality.

    Args:
        dataset: the dataset's label.
        points: its marked points.
        anchor: the codec that others are compared with.
        resampled: replicated means, or None to do without.

    Returns:
        One claim a quality of ``LEVELS_DB`` at which they can be compared, see :func:`within`. Where there is none, a
        claim for each of ``OTHER_LEVELS_DB``.
    """
    plain = untrained(points)
    images = int(plain["images"].max()) if len(plain) else 0
    for levels in (LEVELS_DB, OTHER_LEVELS_DB):
        asked = comparable_levels(plain, levels)
        found = [
            judge(dataset, "quality", level, best_rates(plain, level, resampled), anchor, images) for level in asked
        ]
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

    The point is the one that saves most of those whose PSNR is nearest to ``TARGET_DB``, to within ``NEAR_DB``.

    Returns:
        Claims whose ``anchor`` is the learned codec, by what it saves; the winner may be either side.
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
                tried.append((saving(own, others[0]).percent, own, others[0], point))
        if tried:
            _, own, other, point = max(tried, key=lambda entry: entry[0])
            ranked = sorted((own, other), key=lambda offer: offer.bits)
            claim = judge(dataset, "learned", float(point["psnr_db"]), ranked, "", int(point["images"]))
            assert claim is not None
            named = {offer.codec: offer for offer in (own, other)}
            found.append(replace(claim, anchor=str(codec), rates=named))
    return sorted(found, key=saved_by_learned, reverse=True)


def saved_by_learned(claim: Claim) -> float:
    """How many per cent fewer bytes the learned codec of a claim of :func:`learned` needs; negative where more."""
    own, other = claim.rates.values()
    return saving(own, other).percent


def pays_from(own: BestRate, other: BestRate, weight_bytes: float) -> int | None:
    """From how many images on a learned codec is smaller when its weights have to be sent once as well.

    Args:
        own: the learned codec's offer.
        other: what it is compared with.
        weight_bytes: of its weights.

    Returns:
        The least number of images; None where its streams alone are no smaller.
    """
    if own.bits >= other.bits:
        return None
    return math.floor(8.0 * weight_bytes / (other.bits - own.bits)) + 1


def payload(
    dataset: str, points: pd.DataFrame, resampled: BootstrapMeans | None, quality_db: float = TARGET_DB
) -> tuple[Claim, Claim] | None:
    """Who is smallest over whole files and over payload alone, among untrained codecs that tell their headers.

    Returns:
        The claim over whole files and that over payload; None where fewer than two codecs tell, or none gets there.
    """
    plain = untrained(points)
    plain = plain[plain["payload_bits_per_image"].notna() & (plain["payload_bits_per_image"] > 0)]
    images = int(plain["images"].max()) if len(plain) else 0
    sides = [best_rates(plain, quality_db, resampled, rate) for rate in ("whole", "payload")]
    if len(sides[0]) < 2 or len(sides[1]) < 2:
        return None
    whole, inner = (judge(dataset, "payload", quality_db, ranked, "", images) for ranked in sides)
    assert whole is not None
    assert inner is not None
    every = {offer.codec: offer for offer in sides[0]}
    return replace(whole, rates=every), replace(inner, rates={offer.codec: offer for offer in sides[1]})


def few(images: int) -> bool:
    """Whether these are too few images to judge by."""
    return images < LEAST_IMAGES
