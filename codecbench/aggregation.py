"""Sums over the rows of a run folder, read part by part, so that a run of any size fits into memory.

A part becomes a handful of sums as soon as it is read. Those of a point's parts are added by ``math.fsum``, which
rounds once, so that a point's figures do not depend on the order in which parts are read: names of parts change
whenever a codec is edited, and their order with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from codecbench.metrics import psnr_db
from codecbench.records import Shape
from codecbench.store import RunFolder

POINT = ["dataset", "codec", "settings"]
MEANS = ("mse", "mse_float", "psnr_db", "ssim", "container_bytes", "estimated_bits")
"""Columns whose mean is taken over the images that have a value."""
READ = [
    "image",
    "height",
    "width",
    "channels",
    "num_bytes",
    "container_bytes",
    "estimated_bits",
    "mse",
    "mse_float",
    "max_abs_error",
    "exact_pixels",
    "ssim",
    "lossless",
]
"""The columns of a part that are read; what its sidecar tells as well is taken from there."""
SHOWN = [*POINT, "image", "height", "width", "num_bytes", "mse"]
"""What is kept of single images."""

Values = npt.NDArray[np.float64]
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Aggregate:
    """What a pass over all rows of a run leaves.

    Attributes:
        points: one row a point, by name; see :func:`derive`.
        shapes: the distinct shapes of the images, sorted, by dataset.
        shown: the rows of the images that are shown to people, one per point and image, with the columns ``SHOWN``.
        tasks: identities of the tasks by point, see ``RunFolder.reconstructions``.
    """

    points: pd.DataFrame
    shapes: dict[str, list[Shape]]
    shown: pd.DataFrame
    tasks: dict[Key, list[str]]


@dataclass
class Sums:
    """Sums over the images of one point, which are added to part by part.

    Attributes:
        images: images with a row.
        num_bytes: bytes of their bitstreams.
        pixels: height × width.
        samples: height × width × channels.
        exact: images restored exactly.
        lossless: every row claims that every pixel was restored.
        max_abs_error: the largest of the images' largest differences; NaN where none has one.
        equal_pixels: a part's pixels restored exactly, over the images where that is known.
        known_equal: images where it is known.
        totals: by column of ``MEANS``, a part's sum over the images that have a value.
        counts: by column of ``MEANS``, images that have one.
    """

    images: int = 0
    num_bytes: int = 0
    pixels: int = 0
    samples: int = 0
    exact: int = 0
    lossless: bool = True
    max_abs_error: float = math.nan
    equal_pixels: list[float] = field(default_factory=list)
    known_equal: int = 0
    totals: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in MEANS})
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MEANS, 0))

    def add(self, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """Adds the rows of a part.

        Args:
            columns: by name, the columns ``READ`` of a part, (rows,) each; missing values are NaN.
        """
        pixels = columns["height"].astype(np.int64) * columns["width"]
        mse = columns["mse"].astype(np.float64)
        self.images += len(pixels)
        self.num_bytes += int(columns["num_bytes"].sum())
        self.pixels += int(pixels.sum())
        self.samples += int((pixels * columns["channels"]).sum())
        self.exact += int((mse == 0.0).sum())
        self.lossless = self.lossless and bool(columns["lossless"].all())
        errors = columns["max_abs_error"].astype(np.float64)
        self.max_abs_error = float(np.fmax(self.max_abs_error, np.fmax.reduce(errors, initial=math.nan)))
        if "exact_pixels" in columns:  # rows of version 0.1 have none
            shares = columns["exact_pixels"].astype(np.float64)
            known = ~np.isnan(shares)
            self.equal_pixels.append(_sum((shares * pixels)[known]))
            self.known_equal += int(known.sum())
        for name in MEANS:
            values = psnr_db(mse[mse > 0.0]) if name == "psnr_db" else columns[name].astype(np.float64)
            values = values[~np.isnan(values)]
            self.totals[name].append(_sum(values))
            self.counts[name] += len(values)

    def row(self) -> dict[str, Any]:
        """What :func:`derive` takes of a point."""
        row = {
            "images": self.images,
            "bits": 8.0 * self.num_bytes,
            "pixels": self.pixels,
            "samples": self.samples,
            "max_abs_error": self.max_abs_error,
            "lossless": self.lossless,
            "exact_images": self.exact,
            "equal_pixels": exact_sum(self.equal_pixels) if self.known_equal else math.nan,
        }
        means = {
            name: exact_sum(self.totals[name]) / self.counts[name] if self.counts[name] else math.nan for name in MEANS
        }
        return row | means


def aggregate(store: RunFolder) -> Aggregate:
    """Reads all rows of a run folder, one part at a time.

    Args:
        store: the run folder; parts that are found damaged are set aside.

    Returns:
        Sums by point, shapes by dataset, the rows of the images that are shown, and tasks by point.
    """
    sums: dict[Key, Sums] = {}
    shapes: dict[str, set[Shape]] = {}
    shown: list[pd.DataFrame] = []
    tasks: dict[Key, list[str]] = {}
    for sidecar, table in store.tables(READ):
        key = (sidecar["dataset"], sidecar["codec"], sidecar["settings"])
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
        tasks.setdefault(key, []).append(sidecar["task_id"])
        sums.setdefault(key, Sums()).add(columns)
        shapes.setdefault(key[0], set()).update(_shapes(columns))
        wanted = np.isin(columns["image"], store.manifest["datasets"][key[0]].get("shown", ()))
        if wanted.any():
            kept = {name: values[wanted] for name, values in columns.items() if name in SHOWN}
            shown.append(pd.DataFrame(dict(zip(POINT, key, strict=True)) | kept)[SHOWN])
    rows = [dict(zip(POINT, key, strict=True)) | sums[key].row() for key in sorted(sums)]
    return Aggregate(
        derive(pd.DataFrame(rows, columns=[*POINT, *Sums().row()])),
        {label: sorted(found) for label, found in shapes.items()},
        pd.concat(shown, ignore_index=True) if shown else pd.DataFrame(columns=SHOWN),
        tasks,
    )


def derive(sums: pd.DataFrame) -> pd.DataFrame:
    """Adds the columns that follow from sums and means.

    Args:
        sums: one row a point with the columns ``POINT`` and those of :meth:`Sums.row`.

    Returns:
        The same rows with the columns of a summary that follow from rows alone.
    """
    table = sums.astype(dict.fromkeys(POINT, object) | dict.fromkeys(["bits", "equal_pixels", *MEANS], float))
    table["bits_per_image"] = table["bits"] / table["images"]
    table["exact_pixels"] = table["equal_pixels"] / table["pixels"]
    table["bits_per_pixel"] = table["bits"] / table["pixels"]
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
        return _sum(np.array(ordered))


def _sum(values: Values) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(values.sum())


def _shapes(columns: Mapping[str, npt.NDArray[Any]]) -> set[Shape]:
    sides = [columns[name] for name in ("height", "width", "channels")]
    if len(sides[0]) and all((side == side[0]).all() for side in sides):  # as every part that a task wrote
        sides = [side[:1] for side in sides]
    return {(int(height), int(width), int(channels)) for height, width, channels in zip(*sides, strict=True)}
