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

from codecbench.analysis.points import TARGET_DB, nearest_quality
from codecbench.analysis.rd_curves import NOT_AVAILABLE, RDCurve, check_choice, crossing, read_curves, read_log
from codecbench.store.folder import StoredRun
from codecbench.store.io import Point
from codecbench.store.tasks import TaskRecord

Values = npt.NDArray[np.float64]
Tasks = dict[Point, list[TaskRecord]]


@dataclass(frozen=True)
class Worst:
    """One of the images that a codec renders worst.

    Attributes:
        codec: the codec's name.
        settings: the point's, in the spec syntax.
        image: index of the image in its dataset.
        psnr_db: of this image at this point.
        num_bytes: of its bitstream.
    """

    codec: str
    settings: str
    image: int
    psnr_db: float
    num_bytes: int


def worst(
    store: StoredRun, points: pd.DataFrame, dataset: str, count: int = 2, quality_db: float = TARGET_DB
) -> list[Worst]:
    """For each codec the images with the lowest PSNR, at its point whose mean PSNR is nearest to a quality.

    Args:
        store: the run folder, with its parts.
        points: marked points, or a summary.
        dataset: the dataset's label.
        count: images a codec.
        quality_db: the mean PSNR asked for.

    Returns:
        By codec in the order of the points, the worst image first, ties by index. A codec that restores every pixel
        has none, and images that are restored exactly are never among them.
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

BIN_EDGES = tuple(float(edge) for edge in np.linspace(-3.0, 3.0, 49))
"""Edges of a histogram's bins: log2 of the ratio of bits, eighths of a doubling from an eighth to eight times."""
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class ImageContrast:
    """One image in two codecs at equal quality.

    Attributes:
        image: index of the image in its dataset.
        percent: bits of the codec over the anchor's, less 100.
        bits: of the codec.
        anchor_bits: of the anchor.
    """

    image: int
    percent: float
    bits: float
    anchor_bits: float


@dataclass(frozen=True)
class Contrast:
    """A codec against the anchor over the images of a dataset, at equal quality of every image.

    Attributes:
        dataset: its label.
        codec: the codec's name.
        label: the same for people.
        mark: ``†``, ``‡`` or empty.
        curve: which of the codec's lines was read: that of fewest bits at the quality.
        anchor: the other codec's name.
        anchor_curve: which of its lines.
        images: images compared.
        not_available: images left out, since one of the two curves does not reach the quality.
        mean_percent: the geometric mean of the ratios, less 100.
        quantiles: percent by the shares of ``QUANTILES``.
        wins: share of the compared images in which the codec needs fewer bits, 0 to 1.
        losses: share in which it needs more.
        histogram: images by bin of log2 of the ratio, see ``BIN_EDGES``; the outermost bins hold all beyond.
        worst: the images where the codec loses most, the worst first.
        best: the images where it wins most, the best first.
        status: why there is nothing, or empty.
    """

    dataset: str
    codec: str
    label: str
    mark: str
    curve: str
    anchor: str
    anchor_curve: str
    images: int = 0
    not_available: int = 0
    mean_percent: float = math.nan
    quantiles: tuple[float, ...] = (math.nan,) * len(QUANTILES)
    wins: float = math.nan
    losses: float = math.nan
    histogram: tuple[int, ...] = (0,) * (len(BIN_EDGES) - 1)
    worst: tuple[ImageContrast, ...] = ()
    best: tuple[ImageContrast, ...] = ()
    status: str = ""


def contrasts(
    store: StoredRun,
    points: pd.DataFrame,
    dataset: str,
    anchor: str,
    quality_db: float = TARGET_DB,
    *,
    rate: str = "whole",
    count: int = 5,
) -> list[Contrast]:
    """Every codec against the anchor, image by image, at an equal PSNR of every image.

    Holds the rows of two codecs at a time.

    Args:
        store: the run folder, with its parts.
        points: marked points.
        dataset: the dataset's label.
        anchor: the codec that the others are compared with.
        quality_db: PSNR of every image.
        rate: ``"whole"`` or ``"payload"``.
        count: how many of the worst and best images are named.

    Returns:
        One contrast a codec other than the anchor, in the order of the points; those that cannot be made say why.

    Raises:
        UnknownNameError: an anchor, dataset or rate that is not known.
    """
    check_choice("dataset of this run", dataset, list(dict.fromkeys(points["dataset"].astype(str))))
    check_choice("anchor", anchor, list(dict.fromkeys(points["codec"].astype(str))))
    here = points[points["dataset"] == dataset]
    by_codec: dict[str, list[RDCurve]] = {}
    for line in read_curves(here, "psnr_db", rate):
        by_codec.setdefault(line.codec, []).append(line)
    parts = _parts(store, dataset)
    chosen = {codec: _line_at(found, quality_db) for codec, found in by_codec.items()}
    base = chosen.get(anchor)
    anchor_bits = {} if base is None or base.status else _bits(store, parts, base, quality_db, rate)
    found = []
    for codec, line in chosen.items():
        if codec == anchor:
            continue
        names = (dataset, codec, line.label, line.mark, line.curve, anchor, base.curve if base else "")
        why = line.status or _why_no_anchor(base, anchor)
        if why:
            found.append(Contrast(*names, status=why))
        else:
            own = _bits(store, parts, line, quality_db, rate)
            found.append(_contrast(Contrast(*names), own, anchor_bits, count, quality_db))
    return found


def _why_no_anchor(base: RDCurve | None, anchor: str) -> str:
    why = "no results" if base is None else base.status.removeprefix(NOT_AVAILABLE)
    return f"{NOT_AVAILABLE}{anchor}: {why}" if why else ""


def _line_at(own: list[RDCurve], quality_db: float) -> RDCurve:
    """The line of fewest bits at the quality; where none gets there on average, that of most points."""
    places = [crossing(line.quality, quality_db) if len(line.quality) else None for line in own]
    rates = [read_log(line.rate, place) if place else math.inf for line, place in zip(own, places, strict=True)]
    return own[int(np.argmin(rates))] if min(rates) < math.inf else max(own, key=lambda line: len(line.rate))


def _bits(store: StoredRun, parts: Tasks, line: RDCurve, quality_db: float, rate: str) -> dict[str, Values]:
    """Bits at the quality of every image of a line, and the images' indices, (images,) each, NaN where there is none.

    An image that lacks one of the line's points is left out of the segments on both sides of it.
    """
    columns = ["image", "num_bytes", "mse"] + ["container_bytes"] * (rate == "payload")
    read = [_read(store, parts.get((line.dataset, line.codec, str(s)), ()), columns) for s in line.members["settings"]]
    images = np.unique(np.concatenate([values[0] for values in read]))
    bits, quality = (np.full((len(read), len(images)), np.nan) for _ in range(2))
    for row, (image, size, mse, *container) in enumerate(read):
        at = np.searchsorted(images, image)
        bits[row, at] = 8.0 * (size - container[0] if container else size)
        with np.errstate(divide="ignore"):
            quality[row, at] = -10.0 * np.log10(mse)
    return {"image": images, "bits": bits_at(bits, quality, quality_db)}


def bits_at(bits: Values, quality: Values, target: float) -> Values:
    """Bits of every image at one quality, between its measured neighbours.

    Args:
        bits: (points, images), the points by mean rate; NaN where one is missing.
        quality: (points, images); NaN where one is missing, inf where the image was restored exactly.
        target: the quality asked for.

    Returns:
        (images,); along straight lines of log bits where the image's curve first meets the quality on its way up; NaN
        where it does not.
    """
    found = np.full(bits.shape[1], np.nan)
    usable = np.isfinite(quality) & (bits > 0)
    logs = np.log(np.where(usable, bits, 1.0))
    for row in range(len(bits)):
        exact = np.isnan(found) & usable[row] & (quality[row] == target)
        found[exact] = logs[row, exact]
        if row + 1 == len(bits):
            break
        here = np.isnan(found) & usable[row] & usable[row + 1] & (quality[row] < target) & (target < quality[row + 1])
        low, high = quality[row, here], quality[row + 1, here]
        share = (target - low) / (high - low)
        found[here] = (1.0 - share) * logs[row, here] + share * logs[row + 1, here]
    return np.asarray(np.exp(found))


def _contrast(
    empty: Contrast, own: dict[str, Values], base: dict[str, Values], count: int, quality_db: float
) -> Contrast:
    """The contrast of two codecs from their images' bits."""
    images, mine, theirs = np.intersect1d(own["image"], base["image"], assume_unique=True, return_indices=True)
    bits, anchor_bits = own["bits"][mine], base["bits"][theirs]
    both = np.isfinite(bits) & np.isfinite(anchor_bits)
    missing = len(np.union1d(own["image"], base["image"])) - int(both.sum())
    if not both.any():
        why = f"{NOT_AVAILABLE}no image reaches {quality_db:g} dB in both"
        return replace(empty, not_available=missing, status=why)
    images, bits, anchor_bits = images[both], bits[both], anchor_bits[both]
    ratio = np.log2(bits / anchor_bits)
    percent = 100.0 * (bits / anchor_bits - 1.0)
    order = np.lexsort((images, ratio))

    def named(places: npt.NDArray[np.intp]) -> tuple[ImageContrast, ...]:
        return tuple(
            ImageContrast(int(images[i]), float(percent[i]), float(bits[i]), float(anchor_bits[i])) for i in places
        )

    inside = np.clip(ratio, BIN_EDGES[0], BIN_EDGES[-1])
    return replace(
        empty,
        images=len(images),
        not_available=missing,
        mean_percent=float(100.0 * np.expm1(math.log(2.0) * ratio.mean())),
        quantiles=tuple(float(value) for value in np.quantile(percent, QUANTILES)),
        wins=float((ratio < 0).mean()),
        losses=float((ratio > 0).mean()),
        histogram=tuple(int(n) for n in np.histogram(inside, BIN_EDGES)[0]),
        worst=named(order[ratio[order] > 0][::-1][:count]),
        best=named(order[ratio[order] < 0][:count]),
    )
