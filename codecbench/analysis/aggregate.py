"""Sums over the rows of a run folder, read part by part, so that a run of any size fits into memory.

A part becomes a handful of sums as soon as it is read. Those of a point's parts are added by ``math.fsum``, which
rounds once, so that a point's figures do not depend on the order in which parts are read: names of parts change
whenever a codec is edited, and their order with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from codecbench.analysis.tables import Values
from codecbench.columns import ROWS
from codecbench.measure.distortion import psnr_db
from codecbench.plugins.codec import Shape
from codecbench.store.folder import StoredRun
from codecbench.store.io import Point

if TYPE_CHECKING:
    import pyarrow as pa

POINT = ["dataset", "codec", "settings"]
MEANS = ("mse", "mse_float", "psnr_db", "ssim", "container_bytes", "estimated_bits")
"""Columns whose mean is taken over the images that have a value; so is that of every plugin metric."""
READ = [name for name in ROWS if name not in (*POINT, "height", "width", "channels", "lossless")]
"""Columns of a part that are read, beside plugin metrics; the others are in the record of the task."""
Bits = int
"""A set of images: a bit for each, by its index in the dataset."""
SHOWN = [*POINT, "image", "height", "width", "num_bytes", "mse"]
"""What is kept of single images."""


@dataclass(frozen=True)
class Aggregate:
    """What a pass over all rows of a run leaves."""

    points: pd.DataFrame  # one row a point, by name; see :func:`derive`
    shapes: dict[str, list[Shape]]  # the distinct shapes of the images, sorted, by dataset
    shown: pd.DataFrame  # rows of the images that are shown to people, one per point and image, with ``SHOWN``
    tasks: dict[Point, list[str]]  # identities of the tasks by point, see ``RunFolder.reconstructions``
    having: dict[tuple[Point, str], Bits]  # images with a result, and with each measure of quality, by point


@dataclass
class Sums:
    """Sums over the images of one point, which are added to part by part."""

    images: int = 0  # images with a row
    num_bytes: int = 0
    pixels: int = 0  # height × width
    samples: int = 0  # height × width × channels
    exact: int = 0  # images restored exactly
    lossless: bool = True  # every row claims that every pixel was restored
    max_abs_error: float = math.nan  # NaN where no image has one
    equal_pixels: list[float] = field(default_factory=list)  # of each part, where they are known
    known_equal: int = 0  # images where they are known
    metrics: tuple[str, ...] = ()  # names of the run's plugin metrics
    totals: dict[str, list[float]] = field(default_factory=dict)  # by mean, the sum of each part over known values
    counts: dict[str, int] = field(default_factory=dict)  # by mean, images that have a value

    def __post_init__(self) -> None:
        for name in (*MEANS, *self.metrics):
            self.totals.setdefault(name, [])
            self.counts.setdefault(name, 0)

    def add(self, table: pa.Table, shape: Shape, lossless: bool) -> None:
        """Adds the rows of a part, with the columns ``READ`` and plugin metrics; all its images have one shape."""
        images, pixels = table.num_rows, shape[0] * shape[1]
        self.images += images
        self.pixels += images * pixels
        self.samples += images * pixels * shape[2]
        self.lossless = self.lossless and lossless
        self.num_bytes += int(table.column("num_bytes").to_numpy().sum())
        mse = _known(table, "mse")
        self.exact += int((mse == 0.0).sum())
        self.max_abs_error = float(np.fmax(self.max_abs_error, _known(table, "max_abs_error").max(initial=-math.inf)))
        shares, known = _total(_known(table, "exact_pixels"))
        self.equal_pixels.append(shares * pixels)
        self.known_equal += known
        for name in self.totals:
            total, count = _total(psnr_db(mse[mse > 0.0]) if name == "psnr_db" else _known(table, name))
            self.totals[name].append(total)
            self.counts[name] += count

    def row(self) -> dict[str, Any]:
        """What :func:`derive` takes of a point."""
        row = {
            "images": self.images,
            "bits": 8.0 * self.num_bytes,
            "pixels": self.pixels,
            "samples": self.samples,
            "max_abs_error": self.max_abs_error if self.max_abs_error >= 0 else math.nan,
            "lossless": self.lossless,
            "exact_images": self.exact,
            "equal_pixels": exact_sum(self.equal_pixels) if self.known_equal else math.nan,
        }
        means = {
            name: exact_sum(total) / self.counts[name] if self.counts[name] else math.nan
            for name, total in self.totals.items()
        }
        all_told = self.images > 0 and self.counts["container_bytes"] == self.images
        container_bits = 8.0 * exact_sum(self.totals["container_bytes"]) if all_told else math.nan
        return row | {"payload_bits": row["bits"] - container_bits} | means


def aggregate(store: StoredRun) -> Aggregate:
    """Reads all rows of a run folder, one part at a time; parts that are found damaged are set aside."""
    sums: dict[Point, Sums] = {}
    metrics = tuple(store.manifest["metrics"])
    shapes: dict[str, set[Shape]] = {}
    shown: list[tuple[Any, ...]] = []
    tasks: dict[Point, list[str]] = {}
    having: dict[tuple[Point, str], Bits] = {}
    for task, table in store.tables([*READ, *metrics]):
        key = task.point
        height, width, channels = task.shape
        sums.setdefault(key, Sums(metrics=metrics)).add(table, task.shape, task.lossless)
        shapes.setdefault(key[0], set()).add((height, width, channels))
        tasks.setdefault(key, []).append(task.task_id)
        for quality, which in _having(table, metrics).items():
            having[key, quality] = having.get((key, quality), 0) | which
        wanted = store.manifest["datasets"][key[0]].get("shown", ())
        images, sizes, errors = (table.column(name).to_numpy() for name in ("image", "num_bytes", "mse"))
        if wanted and len(images) and images.min() <= max(wanted):  # most parts hold none of them
            for place in np.flatnonzero(np.isin(images, wanted)):
                shown.append((*key, int(images[place]), height, width, int(sizes[place]), float(errors[place])))
    rows = [dict(zip(POINT, key, strict=True)) | sums[key].row() for key in sorted(sums)]
    return Aggregate(
        derive(pd.DataFrame(rows, columns=[*POINT, *Sums(metrics=metrics).row()]), metrics),
        {label: sorted(found) for label, found in shapes.items()},
        pd.DataFrame(shown, columns=SHOWN),
        tasks,
        having,
    )


def _having(table: pa.Table, metrics: Sequence[str]) -> dict[str, Bits]:
    """Which images of a part have a result (``""``), and a PSNR, an SSIM and the plugin metrics."""
    images = table.column("image").to_numpy()
    found = {"": _bits(images)}
    for quality in ("psnr_db", "ssim", "mse_float", *metrics):
        known = ~np.isnan(_values(table, quality)) if quality != "psnr_db" else _values(table, "mse") > 0.0
        found[quality] = found[""] if known.all() else _bits(images[known])
    return found


def _bits(images: npt.NDArray[np.int64]) -> Bits:
    mask = np.zeros(int(images.max(initial=-1)) + 1, dtype=bool)
    mask[images] = True
    return int.from_bytes(np.packbits(mask, bitorder="little").tobytes(), "little")


def derive(sums: pd.DataFrame, metrics: Sequence[str] = ()) -> pd.DataFrame:
    """Adds to sums by point, ``POINT`` and :meth:`Sums.row`, the columns of a summary that follow from them."""
    numbers = ["bits", "payload_bits", "equal_pixels", *MEANS, *metrics]
    table = sums.astype(dict.fromkeys(POINT, object) | dict.fromkeys(numbers, float))
    table["bits_per_image"] = table["bits"] / table["images"]
    table["exact_pixels"] = table["equal_pixels"] / table["pixels"]
    table["bits_per_pixel"] = table["bits"] / table["pixels"]
    table["payload_bits_per_image"] = table["payload_bits"] / table["images"]
    table["payload_bits_per_pixel"] = table["payload_bits"] / table["pixels"]
    table["compression_ratio"] = 8.0 * table["samples"] / table["bits"].replace(0.0, np.nan)
    table["compression_ratio_float32"] = 4.0 * table["compression_ratio"]
    table["psnr_of_mean_mse_db"] = psnr_db(table["mse"].where(table["mse"] > 0.0))
    return table


def exact_sum(values: Iterable[float]) -> float:
    """The sum, rounded once, whatever the order (``math.fsum``).

    Source: Shewchuk, "Adaptive precision floating-point arithmetic and fast robust geometric predicates", Discrete &
    Computational Geometry 18, 1997.
    """
    ordered = sorted(values)
    try:
        return math.fsum(ordered)
    except (OverflowError, ValueError):  # beyond the largest float, or infinities of both signs
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.sum(ordered))


def _total(values: Values) -> tuple[float, int]:
    """The sum of the values that are not NaN, and how many these are."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(values.sum())
        if math.isnan(total):  # seldom, so that it is worth no look at every value
            values = values[~np.isnan(values)]
            total = float(values.sum())
    return total, len(values)


def _values(table: pa.Table, name: str) -> Values:
    """A column, (n,), NaN where a value is missing."""
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    return np.asarray(table.column(name).to_numpy(), dtype=np.float64)


def _known(table: pa.Table, name: str) -> Values:
    """The values of a column that are not missing, (n,); none of a column that is not there."""
    if name not in table.column_names or table.column(name).null_count == table.num_rows:
        return np.empty(0)
    column = table.column(name)
    values: Values = (column.drop_null() if column.null_count else column).to_numpy().astype(np.float64, copy=False)
    return values
