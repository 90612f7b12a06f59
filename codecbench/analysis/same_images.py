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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from codecbench.analysis.bootstrap import READ, BootstrapMeans, columns_of, resample
from codecbench.analysis.points import is_exact
from codecbench.analysis.rd_curves import RATES, known_qualities, measure_word
from codecbench.store.folder import StoredRun
from codecbench.text import count

EVERY_IMAGE = "psnr_of_mean_mse_db"
"""The measure of quality in which every image with a result has a share."""
LEAST_SHARE = 0.5
"""Share of a dataset's images below which they do not stand for it."""
Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Choice:
    """What is compared on one dataset by one measure."""

    images: Mask  # by index in the dataset; empty where there are no rows to ask
    number: int  # of these images
    total: int  # of the dataset's images in this run
    places: frozenset[int]  # of the points on curves, in the table
    left_out: int  # points that have the measure, of fewer images

    @property
    def enough(self) -> bool:
        """Whether these images stand for the dataset."""
        return self.number == self.total or self.number >= max(2.0, LEAST_SHARE * self.total)


class SameImages:
    """The marked points of a run (``points.annotate``), by measure of quality over the same images.

    ``qualities`` are the measures that will be asked for, by default all; ``replicates`` those of the bootstrap.
    """

    def __init__(
        self, store: StoredRun, points: pd.DataFrame, qualities: Sequence[str] | None = None, replicates: int = 0
    ):
        self.points = points.reset_index(drop=True)
        self._store, self._replicates = store, replicates
        self._qualities = known_qualities(points) if qualities is None else qualities
        self._over: dict[str, pd.DataFrame] = {}

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

    @property
    def resampled(self) -> BootstrapMeans | None:
        """The bootstrap over images; None without replicates, or where the rows are not there."""
        return self._means if self._replicates and not self._store.without_parts else None

    @functools.cached_property
    def _means(self) -> BootstrapMeans:
        same = {key: choice.images for key, choice in self._choices.items()}
        return resample(self._store, self.points, self._replicates, same=same)

    def note(self, dataset: str, quality: str) -> str:
        """What to know of a comparison by a measure, in a sentence; empty where all points have it of all images."""
        choice, name = self._choices.get((dataset, quality)), measure_word(quality)
        if choice is None:
            return ""
        hint = "" if quality == EVERY_IMAGE else f" By {EVERY_IMAGE} every image with a result counts."
        if not choice.enough:
            return f"Nothing is compared by {name}: {_too_few(choice, name)}.{hint}"
        less = f"{count(choice.left_out, 'point')} with {name} of fewer images left out" if choice.left_out else ""
        if choice.number == choice.total:
            return f"By {name}: {less}." if less else ""
        over = f"over {choice.number:,} of {choice.total:,} images, which have it at every point compared"
        return f"Rates at equal {name} are {over}{'; ' * bool(less)}{less}.{hint}"

    def _narrow(self, table: pd.DataFrame, label: str, quality: str, choice: _Choice) -> None:
        """Changes the points of a dataset to what is compared."""
        here = table[(table["dataset"] == label) & (table["images"] > 0)]
        exact, kept = is_exact(here), {}
        for place, *point in here[["dataset", "codec", "settings"]].itertuples():
            key = (*point, quality)
            whole = here["images"][place] == choice.total
            if len(choice.images):
                whole = self._means.images.get(key, 0) == choice.number
            if choice.enough and (whole if exact[place] else place in choice.places):
                kept[place] = key
        name = measure_word(quality)
        why = f"{name} of fewer images than others" if choice.enough else _too_few(choice, name)
        out = here.index[~here.index.isin(list(kept)) & (exact | here[quality].notna())]
        table.loc[out, "images"], table.loc[out, "reason"] = 0, why
        table.loc[list(kept), "images"] = choice.number
        table.loc[list(kept), "exact_images"] = choice.number * exact[list(kept)]
        rates = [f"{begin}bits_per_{unit}" for begin in RATES.values() for unit in ("pixel", "image")]
        for column in [*rates, "mse", EVERY_IMAGE, quality] if len(choice.images) else ():
            table.loc[list(kept), column] = [self._means.plain[key][column] for key in kept.values()]

    @functools.cached_property
    def _choices(self) -> dict[tuple[str, str], _Choice]:
        """By dataset and measure, where some point lacks it on some image."""
        measured = self.points[self.points["images"] > 0]
        on_curves = measured[~is_exact(measured)]
        short = set(measured.loc[measured["images"] < measured["total_images"], "dataset"])
        asked = []
        for label, lossy in on_curves.groupby("dataset", sort=False):
            for quality in self._qualities:
                all_told = quality == EVERY_IMAGE or (quality == "psnr_db" and not lossy["exact_images"].any())
                if lossy[quality].notna().any() and (label in short or not all_told):
                    asked.append((str(label), quality))
        rows = self._rows({label for label, _ in asked}) if asked else {}
        found = {}
        for label, quality in asked:
            lossy = on_curves[(on_curves["dataset"] == label) & on_curves[quality].notna()]
            choice = _choose(lossy, quality, rows.get(label))
            if choice.number < choice.total or choice.left_out or label in short:
                found[label, quality] = choice
        return found

    def _rows(self, labels: set[str]) -> dict[str, _Rows]:
        """What the rows of some datasets say, in one pass; nothing of a published run."""
        metrics = list(self._store.manifest["metrics"])
        points = self.points
        names = zip(points["dataset"], points["codec"], points["settings"], strict=True)
        places = {point: place for place, point in enumerate(names) if point[0] in labels}
        short = set(points.index[points["images"] < points["total_images"]])
        found: dict[str, _Rows] = {}
        for task in [] if self._store.without_parts else self._store.tasks():
            place = places.get(task.point)
            table = None if place is None or task.failed else self._store.rows_of(task, [*READ, *metrics])
            if place is None or table is None:
                continue
            columns = columns_of(table, 1, metrics)
            lacking = {name: np.isnan(columns[name]) for name in self._qualities if name != EVERY_IMAGE}
            found.setdefault(task.dataset, _Rows()).add(
                place, table.column("image").to_numpy(), lacking, place in short
            )
        return found


@dataclass
class _Rows:
    """Which images of a dataset have a result, and which of them lack a measure at a point; by index."""

    images: Mask = field(default_factory=lambda: np.zeros(0, dtype=bool))
    lacking: dict[tuple[int, str], list[Indices]] = field(default_factory=dict)
    there: dict[int, list[Indices]] = field(default_factory=dict)  # of points without some of the images

    def add(self, place: int, images: Indices, lacking: Mapping[str, Mask], short: bool) -> None:
        """Adds the images of one part of a point, with those that lack a measure."""
        self.images = np.pad(self.images, (0, max(0, int(images.max(initial=-1)) + 1 - len(self.images))))
        self.images[images] = True
        for quality, which in lacking.items():
            if which.any():
                self.lacking.setdefault((place, quality), []).append(images[which])
        if short:
            self.there.setdefault(place, []).append(images)

    def missing(self, place: int, quality: str) -> Mask:
        """Which of the images have no such measure at a point."""
        missing = np.zeros_like(self.images)
        if place in self.there:
            missing = self.images.copy()
            missing[np.concatenate(self.there[place])] = False
        for images in self.lacking.get((place, quality), ()):
            missing[images] = True
        return missing


def _choose(lossy: pd.DataFrame, quality: str, rows: _Rows | None) -> _Choice:
    """The choice of points that keeps the most values."""
    total = int(lossy["total_images"].iloc[0])
    if rows is None:
        known = lossy["images"] - lossy["exact_images"] * (quality == "psnr_db")
        whole = frozenset(lossy.index[known == total])
        return _Choice(np.zeros(0, dtype=bool), total if whole else 0, total, whole, len(lossy) - len(whole))
    lacks = {place: int(rows.missing(place, quality).sum()) for place in lossy.index}
    best, places, remain = _Choice(rows.images, 0, total, frozenset(), len(lacks)), list[int](), rows.images.copy()
    for _, alike in itertools.groupby(sorted(lacks, key=lacks.__getitem__), key=lacks.__getitem__):
        for place in alike:
            places.append(place)
            remain &= ~rows.missing(place, quality)
        number = int(remain.sum())
        if number * len(places) > best.number * len(best.places):
            best = _Choice(remain.copy(), number, total, frozenset(places), len(lacks) - len(places))
    return best


def _too_few(choice: _Choice, name: str) -> str:
    return f"only {choice.number:,} of {choice.total:,} images have {name} at every point"
