"""One of two runs that are compared: its points, their results by image, their means and their times."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from codecbench.analysis.compare.points import TIMES, Images, Point
from codecbench.errors import StoreError
from codecbench.store.folder import RunFolder
from codecbench.store.manifest import outdated_metrics

READ = ("image", "num_bytes", "mse", "ssim")
"""Columns of a part that a comparison needs."""
MEANS = {
    "bits": "bits_per_image",
    "mse": "mse",
    "psnr_db": "psnr_db",
    "psnr_of_mean_mse_db": "psnr_of_mean_mse_db",
    "ssim": "ssim",
}
"""Columns of a summary, by measure."""


class Side:
    """What a comparison reads of one run; of the parts never more than those of one point at a time.

    Args:
        name: ``A`` or ``B``.
        store: the run folder; of a published run without parts, ``summary.csv`` is read.

    Attributes:
        name: the same.
        store: the same.
        manifest: its ``run.json``.
        points: the points with results, in the order of the run.
        failed: reasons of failure by point, for points of which some or all images failed.

    Raises:
        StoreError: the summary of a published run cannot be read.
    """

    def __init__(self, name: str, store: RunFolder):
        self.name, self.store, self.manifest = name, store, store.manifest
        self.failed: dict[Point, str] = {}
        self._parts: dict[Point, list[Mapping[str, Any]]] = {}
        self._summary: dict[Point, Mapping[str, Any]] = {}
        if store.without_parts:
            from codecbench.analysis.published import read_summary

            table = read_summary(store.path / "summary.csv")
            for _, row in table[table["images"] > 0].iterrows():
                self._summary[row["dataset"], row["codec"], row["settings"]] = {
                    str(key): value for key, value in row.items()
                }
        else:
            for sidecar in store.sidecars():
                if sidecar["failed"]:
                    self.failed[_point(sidecar)] = sidecar["failed"]
                else:
                    self._parts.setdefault(_point(sidecar), []).append(sidecar)
        order = {label: number for number, label in enumerate(self.manifest["datasets"])}
        found = self._summary or self._parts
        self.points = dict.fromkeys(sorted(found, key=lambda point: _in_order(point, order)))
        self._timings: dict[Point, list[Mapping[str, Any]]] = {}
        for record in store.timings():
            if not record["failed"]:
                self._timings.setdefault(_point(record), []).append(record)

    def images(self, point: Point) -> Images:
        """The results of one point, by image.

        Raises:
            StoreError: a part is damaged; it is left where it lies.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        metrics = list(self.manifest["metrics"])
        tables = []
        for sidecar in self._parts[point]:
            file = self.store.path / "parts" / f"{sidecar['task_id']}.parquet"
            try:
                content = file.read_bytes()
            except OSError as error:
                raise StoreError(f"cannot read {file}: {error.strerror or error}") from error
            if hashlib.sha256(content).hexdigest() != sidecar["sha256"]:
                raise StoreError(f"{file} is damaged; measure it again with the command that made {self.store.path}")
            tables.append(pq.ParquetFile(pa.BufferReader(content)).read(columns=[*READ, *metrics], use_threads=False))
        table = pa.concat_tables(tables, promote_options="default")
        index, places = np.unique(table["image"].to_numpy(), return_index=True)
        columns = {name: table[name].to_numpy()[places].astype(np.float64) for name in READ[1:]}
        outdated = outdated_metrics(self.manifest, point[1])
        found = {
            name: table[name].to_numpy()[places].astype(np.float64)
            for name in metrics
            if name in table.column_names and name not in outdated
        }
        return Images(index, 8.0 * columns["num_bytes"], columns["mse"], columns["ssim"], found)

    def means(self, point: Point) -> dict[str, float]:
        """Means of a point by measure, with its number of ``images``; NaN where there is none.

        Raises:
            StoreError: a part is damaged.
        """
        if point in self._parts:
            return self.images(point).means
        row = self._summary[point]
        return {"images": int(row["images"])} | {name: float(row[column]) for name, column in MEANS.items()}

    def medians(self, point: Point) -> dict[str, float]:
        """Median times of a point by measure; NaN where there are none."""
        if point in self._summary:
            return {name: _number(self._summary[point].get(name)) for name in TIMES}
        records = self._timings.get(point, [])[:1]
        return {name: float(np.median(record[name])) for record in records for name in TIMES if record.get(name)}

    def timings(self, point: Point) -> list[Mapping[str, Any]]:
        """Records of a point's times, one a host that took them; empty for a published run."""
        return self._timings.get(point, [])


def _point(record: Mapping[str, Any]) -> Point:
    return record["dataset"], record["codec"], record["settings"]


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):  # absent, or pandas' NA
        return math.nan


def _in_order(point: Point, order: Mapping[str, int]) -> tuple[int, str, list[tuple[str, float]]]:
    """Datasets as in the run, and numbers in settings as numbers."""
    label, codec, settings = point
    parts = re.split(r"([0-9]+(?:\.[0-9]+)?)", settings)
    return (
        order.get(label, len(order)),
        codec,
        [(text, 0.0) if n % 2 == 0 else ("", float(text)) for n, text in enumerate(parts)],
    )
