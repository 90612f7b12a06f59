"""Image by image: on which images a codec needs more bits than another at equal quality, and which it renders worst.

Every image has its own curve of rate over quality; it is read between that image's measured neighbours by straight
lines of log bits over PSNR, and never beyond them. An image whose curve does not reach the quality (it is restored
exactly before, or never that well) is counted, and left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from codecbench.analysis.points import TARGET_DB, crossing, nearest_quality, read_at
from codecbench.analysis.rd_curves import NOT_AVAILABLE, RDCurve, read_curves
from codecbench.analysis.tables import Values
from codecbench.store.folder import StoredRun
from codecbench.store.io import Point
from codecbench.store.tasks import TaskRecord

Tasks = dict[Point, list[TaskRecord]]


@dataclass(frozen=True)
class Worst:
    """One of the images that a codec renders worst."""

    codec: str
    settings: str  # the point's, in the spec syntax
    image: int  # its index in the dataset
    psnr_db: float  # of this image at this point
    num_bytes: int  # of its bitstream


def worst(store: StoredRun, points: pd.DataFrame, dataset: str, count: int) -> list[Worst]:
    """For each codec the images with the lowest PSNR, at its point whose mean PSNR is nearest to ``TARGET_DB``.

    In the order of the points, the worst image first, ties by index; at most ``count`` a codec. A codec that restores
    every pixel has none, and images that are restored exactly are never among them.
    """
    parts = _parts(store, dataset)
    found: list[Worst] = []
    for _, point in nearest_quality(points[points["dataset"] == dataset]).iterrows():
        codec, settings = str(point["codec"]), str(point["settings"])
        image, size, mse = _read(store, parts.get((dataset, codec, settings), ()), ["image", "num_bytes", "mse"])
        lossy = np.flatnonzero(mse > 0.0)
        order = lossy[np.lexsort((image[lossy], -mse[lossy]))][:count]
        found += [Worst(codec, settings, int(image[i]), float(-10.0 * np.log10(mse[i])), int(size[i])) for i in order]
    return found


def _parts(store: StoredRun, dataset: str) -> Tasks:
    """A dataset's finished tasks by point."""
    found: Tasks = {}
    for task in store.tasks():
        if task.dataset == dataset and not task.failed:
            found.setdefault(task.point, []).append(task)
    return found


def _read(store: StoredRun, tasks: Iterable[TaskRecord], columns: list[str]) -> list[Values]:
    """Columns of some parts, each (images,), NaN where a value is missing."""
    tables = [table for task in tasks if (table := store.rows_of(task, columns)) is not None]
    return [
        np.concatenate(
            [table.column(name).to_numpy().astype(np.float64, copy=False) for table in tables] or [np.empty(0)]
        )
        for name in columns
    ]


# ---- contrasts ------------------------------------------------------------------------------------------------------

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class ImageContrast:
    """One image in two codecs at equal quality."""

    image: int  # its index in the dataset
    percent: float  # bits of the codec over the anchor's, less 100
    bits: float  # of the codec
    anchor_bits: float


@dataclass(frozen=True)
class Contrast:
    """A codec against the anchor over the images of a dataset, at equal quality of every image."""

    dataset: str
    codec: str
    label: str  # the codec's name for people
    mark: str  # see ``points.annotate``
    curve: str  # which of the codec's curves was read: that of fewest bits at the quality
    anchor: str
    anchor_curve: str
    images: int = 0  # images compared
    not_available: int = 0  # images left out, since one of the two curves does not reach the quality
    mean_percent: float = math.nan  # the geometric mean of the ratios, less 100
    quantiles: tuple[float, ...] = (math.nan,) * len(QUANTILES)  # percent, by the shares of ``QUANTILES``
    wins: float = math.nan  # share of the compared images in which the codec needs fewer bits, 0 to 1
    losses: float = math.nan  # share in which it needs more
    worst: tuple[ImageContrast, ...] = ()  # the images where the codec loses most, the worst first
    best: tuple[ImageContrast, ...] = ()
    status: str = ""  # why there is nothing, or empty


def contrasts(store: StoredRun, points: pd.DataFrame, dataset: str, anchor: str, count: int) -> list[Contrast]:
    """Every other codec against the anchor, image by image, at a PSNR of ``TARGET_DB`` of every image.

    The rows of two codecs are in memory at a time. ``count`` is how many of the worst and best images are named.
    Contrasts that cannot be made say why.
    """
    by_codec: dict[str, list[RDCurve]] = {}
    for curve in read_curves(points[points["dataset"] == dataset]):
        by_codec.setdefault(curve.codec, []).append(curve)
    parts = _parts(store, dataset)
    chosen = {codec: _curve_at_target(found) for codec, found in by_codec.items()}
    base = chosen.pop(anchor, None)
    missing = "no results" if base is None else base.status.removeprefix(NOT_AVAILABLE)
    anchor_bits = {} if base is None or base.status else _bits(store, parts, base)
    found = []
    for codec, curve in chosen.items():
        empty = Contrast(dataset, codec, curve.label, curve.mark, curve.curve, anchor, base.curve if base else "")
        if curve.status or missing:
            found.append(replace(empty, status=curve.status or f"{NOT_AVAILABLE}{anchor}: {missing}"))
        else:
            found.append(_contrast(empty, _bits(store, parts, curve), anchor_bits, count))
    return found


def _curve_at_target(own: list[RDCurve]) -> RDCurve:
    """The curve of fewest bits at the quality; where none gets there on average, that of most points."""
    rates = [float(read_at(one.rate, *crossing(one.quality, TARGET_DB))) for one in own]
    return own[int(np.nanargmin(rates))] if not np.isnan(rates).all() else max(own, key=lambda curve: len(curve.rate))


def _bits(store: StoredRun, parts: Tasks, curve: RDCurve) -> dict[str, Values]:
    """Bits at the quality of every image of a curve, and the images' indices, (images,) each, NaN where there is none.

    An image that lacks one of the curve's points is left out of the segments on both sides of it.
    """
    keys = [(curve.dataset, curve.codec, str(settings)) for settings in curve.members["settings"]]
    read = [_read(store, parts.get(key, ()), ["image", "num_bytes", "mse"]) for key in keys]
    images = np.unique(np.concatenate([image for image, _, _ in read]))
    bits, quality = (np.full((len(read), len(images)), np.nan) for _ in range(2))
    for row, (image, size, mse) in enumerate(read):
        at = np.searchsorted(images, image)
        bits[row, at] = 8.0 * size
        with np.errstate(divide="ignore"):
            quality[row, at] = -10.0 * np.log10(mse)
    return {"image": images, "bits": read_at(bits, *crossing(np.where(bits > 0, quality, np.nan), TARGET_DB))}


def _contrast(empty: Contrast, own: dict[str, Values], base: dict[str, Values], count: int) -> Contrast:
    """The contrast of two codecs from their images' bits."""
    images, mine, theirs = np.intersect1d(own["image"], base["image"], assume_unique=True, return_indices=True)
    bits, anchor_bits = own["bits"][mine], base["bits"][theirs]
    both = np.isfinite(bits) & np.isfinite(anchor_bits)
    missing = len(np.union1d(own["image"], base["image"])) - int(both.sum())
    if not both.any():
        why = f"{NOT_AVAILABLE}no image reaches {TARGET_DB:g} dB in both"
        return replace(empty, not_available=missing, status=why)
    images, bits, anchor_bits = images[both], bits[both], anchor_bits[both]
    ratio = np.log2(bits / anchor_bits)
    percent = 100.0 * (bits / anchor_bits - 1.0)
    order = np.lexsort((images, ratio))

    def named(places: npt.NDArray[np.intp]) -> tuple[ImageContrast, ...]:
        return tuple(
            ImageContrast(int(images[i]), float(percent[i]), float(bits[i]), float(anchor_bits[i])) for i in places
        )

    return replace(
        empty,
        images=len(images),
        not_available=missing,
        mean_percent=float(100.0 * np.expm1(math.log(2.0) * ratio.mean())),
        quantiles=tuple(float(value) for value in np.quantile(percent, QUANTILES)),
        wins=float((ratio < 0).mean()),
        losses=float((ratio > 0).mean()),
        worst=named(order[ratio[order] > 0][::-1][:count]),
        best=named(order[ratio[order] < 0][:count]),
    )
