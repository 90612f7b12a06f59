"""One rule for every figure that holds quality against rate: both are means over the same images, at every point.

An image restored exactly has no PSNR, one below the window no SSIM, and one that failed nothing. By dataset and measure
of quality, points are compared over the images that have the measure at all of these points. Which points these are:
of the choices "every point with the measure of N images or more" the one that keeps most values (points × images), so
that a few nearly lossless points, left out, do not cost all others their images. Points that restore every pixel are on
no curve and choose nothing; their rates are over the same images too. Where less than half of the images remain, or a
single one, nothing is compared. Every image with a result has a share in ``psnr_of_mean_mse_db``.

Of a published run without its rows, only points with the measure of every image are compared.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from codecbench.analysis.aggregate import POINT, Aggregate, Bits, aggregate
from codecbench.analysis.bootstrap import BootstrapMeans, resample
from codecbench.analysis.points import is_exact
from codecbench.analysis.rd_curves import RATES, known_qualities, measure_word
from codecbench.store.folder import StoredRun
from codecbench.store.io import Point
from codecbench.text import count

EVERY_IMAGE = "psnr_of_mean_mse_db"
"""The measure of quality in which every image with a result has a share."""
ENOUGH_SHARE = 0.5
"""Share of a dataset's images below which they do not stand for it."""
KNOWN = ("exact_images", "images", "total_images")
"""What a summary tells of a point's images."""


@dataclass(frozen=True)
class _Choice:
    """What is compared on one dataset by one measure."""

    images: Bits
    total: int  # images of the dataset in this run
    places: frozenset[int]  # of the points on curves, in the table
    left_out: int  # points that have the measure, of fewer images

    @property
    def too_few(self) -> str:
        """Why nothing is compared, where the images do not stand for the dataset."""
        number = self.images.bit_count()
        if number == self.total or number >= max(2.0, ENOUGH_SHARE * self.total):
            return ""
        return f"only {number:,} of {self.total:,} images have {{}} at every point"


class SameImages:
    """The marked points of a run (``points.annotate``), by measure of quality over the same images.

    ``qualities`` are the measures that will be asked for, by default all; ``replicates`` those of the bootstrap.
    ``read`` is what a pass over the rows gave, where there was one.
    """

    def __init__(
        self,
        store: StoredRun,
        points: pd.DataFrame,
        qualities: Sequence[str] | None = None,
        replicates: int = 0,
        read: Aggregate | None = None,
    ):
        self.points = points.reset_index(drop=True)
        self._store, self._replicates, self._read = store, replicates, read
        self._qualities = known_qualities(points) if qualities is None else qualities
        self._over: dict[str, pd.DataFrame] = {}
        self._keys: list[Point] = list(zip(*(self.points[name] for name in POINT), strict=True))
        some = (self.points["images"] > 0) & (self.points["images"] < self.points["total_images"])
        self._short = set(self.points.loc[some, "dataset"])

    def over(self, quality: str) -> pd.DataFrame:
        """The points with rates and quality over the images that are compared by a measure, counted by ``images``.

        What is not compared has no images there, and a ``reason``.
        """
        if quality not in self._over:
            table = self.points.copy()
            for (label, measure), choice in self._choices.items():
                if measure == quality:
                    self._narrow(table, label, quality, choice)
            self._over[quality] = table
        return self._over[quality]

    def of(self, dataset: str, over: str = "") -> pd.DataFrame:
        """The points of a dataset, by a measure of quality over the same images, else over all that they have."""
        points = self.over(over) if over else self.points
        return points[points["dataset"] == dataset]

    @property
    def resampled(self) -> BootstrapMeans | None:
        """The bootstrap over images; None without replicates, or where the rows are not there."""
        return self._means if self._replicates and not self._store.without_parts else None

    def note(self, dataset: str, quality: str) -> str:
        """What to know of a comparison by a measure, in a sentence; empty where all points have it of all images."""
        choice, name = self._choices.get((dataset, quality)), measure_word(quality)
        if choice is None:
            return ""
        hint = "" if quality == EVERY_IMAGE else f" By {EVERY_IMAGE} every image with a result counts."
        if choice.too_few:
            return f"Nothing is compared by {name}: {choice.too_few.format(name)}.{hint}"
        less = f"{count(choice.left_out, 'point')} with {name} of fewer images left out" if choice.left_out else ""
        if choice.images.bit_count() == choice.total:
            return f"By {name}: {less}." if less else ""
        over = f"over {choice.images.bit_count():,} of {choice.total:,} images, which have it at every point compared"
        return f"Rates at equal {name} are {over}{'; ' * bool(less)}{less}.{hint}"

    def _narrow(self, table: pd.DataFrame, label: str, quality: str, choice: _Choice) -> None:
        """Changes the points of a dataset to what is compared."""
        here = table[(table["dataset"] == label) & (table["images"] > 0)]
        exact, name = is_exact(here), measure_word(quality)
        whole = [place for place in here.index if choice.images & ~self._has(place, EVERY_IMAGE) == 0]
        kept = [place for place in whole if (exact[place] or place in choice.places) and not choice.too_few]
        out = here.index[~here.index.isin(kept) & (exact | here[quality].notna())]
        why = choice.too_few.format(name) or f"{name} of fewer images than others"
        table.loc[out, "images"], table.loc[out, "reason"] = 0, why
        table.loc[kept, "images"] = choice.images.bit_count()
        table.loc[kept, "exact_images"] = choice.images.bit_count() * exact[kept]
        if not self._store.without_parts:
            keys = [(*self._keys[place], quality) for place in kept]
            rates = [f"{begin}bits_per_{unit}" for begin in RATES.values() for unit in ("pixel", "image")]
            for column in (*rates, "mse", EVERY_IMAGE, quality):
                table.loc[kept, column] = [self._means.plain[key][column] for key in keys]

    @functools.cached_property
    def _means(self) -> BootstrapMeans:
        same, longest = {}, max(map(int.bit_length, self._having.values())) if self._choices else 0
        for key, choice in self._choices.items():
            packed = choice.images.to_bytes(longest // 8 + 1, "little")
            same[key] = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little").astype(bool)
        return resample(self._store, self.points, self._replicates, same=same)

    @functools.cached_property
    def _choices(self) -> dict[tuple[str, str], _Choice]:
        """By dataset and measure, where some point lacks it on some image."""
        on_curves = self.points[(self.points["images"] > 0) & ~is_exact(self.points)]
        found = {}
        for (dataset, lossy), quality in itertools.product(on_curves.groupby("dataset", sort=False), self._qualities):
            known, short = lossy[lossy[quality].notna()], dataset in self._short
            all_told = quality == EVERY_IMAGE or (quality == "psnr_db" and not lossy["exact_images"].any())
            if len(known) and (short or not all_told):
                choice = self._choose(known, quality)
                if short or choice.left_out or choice.images.bit_count() < choice.total:
                    found[str(dataset), quality] = choice
        return found

    def _choose(self, lossy: pd.DataFrame, quality: str) -> _Choice:
        """The choice of points that keeps the most values."""
        total, places, images = int(lossy["total_images"].iloc[0]), list[int](), -1
        best = _Choice(0, total, frozenset(), len(lossy))

        def number(place: int) -> int:
            return -self._has(place, quality).bit_count()

        for _, alike in itertools.groupby(sorted(lossy.index, key=number), key=number):
            for place in alike:
                places.append(place)
                images &= self._has(place, quality)
            if images.bit_count() * len(places) > best.images.bit_count() * len(best.places):
                best = _Choice(images, total, frozenset(places), len(lossy) - len(places))
        return best

    def _has(self, place: int, quality: str) -> Bits:
        """Which images have a measure at a point."""
        if self._store.without_parts:
            exact, images, total = (int(self.points[name].iloc[place]) for name in KNOWN)
            return (1 << total) - 1 if images - exact * (quality == "psnr_db") == total else 0
        return self._having.get((self._keys[place], "" if quality == EVERY_IMAGE else quality), 0)

    @functools.cached_property
    def _having(self) -> dict[tuple[Point, str], Bits]:
        return (self._read or aggregate(self._store)).having
