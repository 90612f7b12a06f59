"""Bootstrap over images: how far a run's figures would hold for other images like these.

Every image gets a weight drawn from the Poisson distribution with mean 1, once for each replicate, and each replicate's
means are taken with these weights. That is the bootstrap without a count of images known beforehand, so that one pass
over the parts is enough, in any order, with memory for sums alone. An image has the same weights in every codec:
replicates are paired, and what images share (a hard one is hard for every codec) cancels in comparisons.

Weights come from a counter-based generator (Philox: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
2011), keyed by the seed, the dataset's label and the block of image indices: they depend on nothing else.

Sources: Hanley and MacGibbon, "Creating non-parametric bootstrap samples using Poisson frequencies", Computer Methods
and Programs in Biomedicine 83, 2006; Chamandy, Muralidharan, Najmi, Naidu, "Estimating uncertainty for massive data
streams", Google, 2012.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from codecbench.analysis.tables import Values
from codecbench.store.folder import StoredRun
from codecbench.store.io import Point

if TYPE_CHECKING:
    import pyarrow as pa

Key = Point | tuple[str, str, str, str]
"""A point over all its images, or with a measure of quality over those that are compared by it."""
BLOCK = 1024
"""Images whose weights are drawn together."""
KEPT_BLOCKS = 256
"""Blocks of weights that are kept for the next codec: 50 MB with 200 replicates, a quarter of a million images."""
KEPT_GROUPS = 16
"""Parts whose weights are kept ready to multiply with: 50 MB with 200 replicates and parts of 2,000 images."""
LEAST_IMAGES = 8
"""Minimum number of images for a confidence interval."""
LEAST_SHARE = 0.95
"""Share of the replicates that must have a value for an interval."""
TAIL = (1.0 - 0.95) / 2.0
"""Share of the replicates beyond either end of a 95 % interval."""
RATES = ("bits_per_image", "payload_bits_per_image")
"""Of the columns of a summary those that count bits."""
READ = ("image", "num_bytes", "container_bytes", "mse", "mse_float", "ssim")
"""The columns of a part that are read, beside the run's other metrics."""


@dataclass(frozen=True)
class BootstrapMeans:
    """Replicated means of a run's points, over all images and over the same images by some measures of quality."""

    replicates: int  # how many there are
    means: Mapping[Key, Mapping[str, Values]]
    """By point and by column of the summary (rates, ``mse``, ``psnr_db``, ``psnr_of_mean_mse_db``, ``ssim`` and plugin
    metrics) the mean of every replicate, (replicates,); NaN where a replicate has none."""
    images: Mapping[Key, int]  # by point, images with a result
    plain: Mapping[Key, Mapping[str, float]] = field(default_factory=dict)  # the means themselves, all weights 1

    def values(self, key: Point, measure: str, over: str = "") -> Values:
        """The replicated means of a point, (replicates,); NaN where there are none or too few images.

        They are over the images that are compared by the quality ``over``, where it has a set of its own.
        """
        chosen = (*key, over) if (*key, over) in self.means else key
        found = self.means.get(chosen, {}).get(measure)
        if found is None or self.images[chosen] < LEAST_IMAGES:
            return np.full(self.replicates, np.nan)
        return found

    def interval(self, key: Point, measure: str, over: str = "") -> tuple[float, float]:
        """The interval of a point's mean, see :func:`interval`."""
        return interval(self.values(key, measure, over))


def interval(values: Values) -> tuple[float, float]:
    """The 95 % percentile interval of replicated values, (replicates,); NaN where too few replicates have a value."""
    known = values[np.isfinite(values)]
    if not len(known) or len(known) < LEAST_SHARE * len(values):
        return math.nan, math.nan
    low, high = np.quantile(known, [TAIL, 1.0 - TAIL])
    return float(low), float(high)


class Weights:
    """The weights of images in every replicate, drawn when they are first needed and kept for the next codec."""

    def __init__(self, replicates: int, seed: int):
        self.replicates, self.seed = replicates, seed
        self._block = functools.lru_cache(KEPT_BLOCKS)(self._draw)
        self._group = functools.lru_cache(KEPT_GROUPS)(self._gather)

    def of(self, dataset: str, images: npt.NDArray[np.int64]) -> tuple[Values, Values]:
        """The weights of images by their indices, whole numbers (n, replicates), and their sums (replicates,)."""
        return self._group(dataset, images.tobytes())

    def _gather(self, dataset: str, indices: bytes) -> tuple[Values, Values]:
        images = np.frombuffer(indices, dtype=np.int64)
        blocks, rows = np.divmod(images, BLOCK)
        found = np.empty((len(images), self.replicates))
        for block in np.unique(blocks):
            here = blocks == block
            found[here] = self._block(dataset, int(block))[rows[here]]
        return found, found.sum(axis=0)

    def _draw(self, dataset: str, block: int) -> npt.NDArray[np.uint8]:
        digest = hashlib.sha256(f"{self.seed}\0{dataset}".encode()).digest()
        stream = np.random.Philox(key=int.from_bytes(digest[:16], "little"), counter=block << 128)
        return np.random.Generator(stream).poisson(1.0, (BLOCK, self.replicates)).astype(np.uint8)


@dataclass
class _Sums:
    """Sums over the images of one point, (1 + replicates,): the first with weights of 1."""

    totals: dict[str, Values] = field(default_factory=dict)
    counts: dict[str, Values] = field(default_factory=dict)

    def add(self, columns: Mapping[str, Values], weights: Values, whole: Values) -> None:
        """Adds images: their values by column, their weights, and the sums of these."""
        values = np.stack(list(columns.values()))
        missing = np.isnan(values)
        partial = {row.tobytes(): ~row for row in missing if row.any()}  # columns often lack the same images
        values[missing] = 0.0
        rows = np.concatenate([values, *(known[None] for known in partial.values())])
        sums = np.concatenate([rows.sum(axis=1)[:, None], rows @ weights], axis=1)
        counts = dict(zip(partial, sums[len(values) :], strict=True))
        everything = np.concatenate([[values.shape[1]], whole])
        for row, name in enumerate(columns):
            self.totals[name] = self.totals.get(name, 0.0) + sums[row]
            self.counts[name] = self.counts.get(name, 0.0) + counts.get(missing[row].tobytes(), everything)

    def means(self) -> dict[str, Values]:
        """The means by column of the summary."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = {name: self.totals[name] / self.counts[name] for name in self.totals}
            pixels = found.pop("pixels")
            for begin in ("", "payload_"):
                bits = found[f"{begin}bits_per_image"]
                if self.counts[f"{begin}bits_per_image"][0] < self.images:
                    bits = found[f"{begin}bits_per_image"] = np.full_like(bits, np.nan)
                found[f"{begin}bits_per_pixel"] = bits / pixels
            decibels = -10.0 * np.log10(found["mse"])
        found["psnr_of_mean_mse_db"] = np.where(np.isfinite(decibels), decibels, np.nan)
        return found

    @property
    def images(self) -> int:
        """How many images were added."""
        return int(self.counts["bits_per_image"][0])


def resample(
    store: StoredRun,
    points: pd.DataFrame,
    replicates: int = 200,
    seed: int = 0,
    same: Mapping[tuple[str, str], npt.NDArray[np.bool_]] | None = None,
) -> BootstrapMeans:
    """Replicates the means of the points that have results; one pass over the parts of a run folder.

    200 replicates give an interval's ends to about a tenth of its width. ``same`` tells by dataset and measure of
    quality which images, by their indices, are compared: see ``codecbench.analysis.same_images``.
    """
    wanted = set(zip(points["dataset"], points["codec"], points["settings"], strict=True))
    weights = Weights(replicates, seed)
    sums: dict[Key, _Sums] = {}
    metrics = list(store.manifest["metrics"])
    for task, table in store.tables([*READ, *metrics]):
        key = task.point
        if key not in wanted or not table.num_rows:
            continue
        height, width, _ = task.shape
        columns = _columns(table, height * width, metrics)
        images = table.column("image").to_numpy().astype(np.int64, copy=False)
        drawn = weights.of(key[0], images)
        sums.setdefault(key, _Sums()).add(columns, *drawn)
        for (label, quality), chosen in (same or {}).items():
            if label == key[0]:
                needed = [name for name in ("pixels", *RATES, "mse", quality) if name in columns]
                inside = {name: np.where(chosen[images], columns[name], np.nan) for name in needed}
                sums.setdefault((*key, quality), _Sums()).add(inside, *drawn)
    means = {key: found.means() for key, found in sums.items()}
    return BootstrapMeans(
        replicates,
        {key: {name: values[1:] for name, values in found.items()} for key, found in means.items()},
        {key: found.images for key, found in sums.items()},
        {key: {name: float(values[0]) for name, values in found.items()} for key, found in means.items()},
    )


def _columns(table: pa.Table, pixels: int, metrics: Sequence[str]) -> dict[str, Values]:
    """What is averaged of every image, (n,) each, NaN where an image has no value."""
    size = _numbers(table, "num_bytes")
    mse = _numbers(table, "mse")
    with np.errstate(divide="ignore"):
        psnr_db = np.where(mse > 0.0, -10.0 * np.log10(mse), np.nan)  # none of what was restored exactly
    found = {
        "pixels": np.full(len(size), float(pixels)),
        "bits_per_image": 8.0 * size,
        "payload_bits_per_image": 8.0 * (size - _numbers(table, "container_bytes")),
        "mse": mse,
        "psnr_db": psnr_db,
        "ssim": _numbers(table, "ssim"),
        "mse_float": _numbers(table, "mse_float"),
    }
    return found | {name: _numbers(table, name) for name in metrics}


def _numbers(table: pa.Table, name: str) -> Values:
    """A column as floats, (n,), NaN where missing."""
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    return np.asarray(table.column(name).to_numpy(), dtype=np.float64)
