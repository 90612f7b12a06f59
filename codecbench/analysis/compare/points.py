"""One point in two runs: rows that say by how much B differs from A in each measure, and whether that can be chance.

Columns of a row:

    dataset, codec, settings   the point
    measure                    one of ``RATES`` or ``TIMES``: bits (an image), mse, psnr_db (mean of the images' PSNR),
                               psnr_of_mean_mse_db, ssim; encode_s, decode_s (an image, in batches), and the times of a
                               call with one image, for codecs that gain from batches
    unit                       of the difference: per cent of A for bits, mse and times; dB; or none
    n                          images that were compared; of times the rounds, of the run with fewer
    a, b                       means over the images; of times the medians over the rounds, in seconds
    difference                 B less A, in the unit
    low, high                  ends of the confidence interval of rates and distortions
    p_value                    of times, corrected for the number of the codec's points
    verdict                    one of the texts below
    counts                     whether a threshold may judge it
    note                       why not, and what to know about the row
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from codecbench.analysis.compare import statistics
from codecbench.analysis.summary import LEAST_CPU_SHARE, UNSTEADY_SPREAD
from codecbench.columns import HIGHER_IS_BETTER
from codecbench.errors import StoreError
from codecbench.measure.distortion import psnr_db
from codecbench.measure.timing import Timing
from codecbench.store.folder import RunFolder
from codecbench.store.tasks import TaskRecord
from codecbench.store.timings import TimingRecord
from codecbench.text import count, format_shape

SAME = "identical"
BETTER = "better"
WORSE = "worse"
UNCLEAR = "not significant"
UNTESTED = "not tested"

RATES = ("bits", "mse", "psnr_db", "psnr_of_mean_mse_db", "ssim")
TIMES = ("encode_s", "decode_s", "encode_latency_s", "decode_latency_s")
RELATIVE = {"bits", "mse", *TIMES}
COLUMNS = (
    *("dataset", "codec", "settings", "measure", "unit", "n", "a", "b", "difference", "low", "high", "p_value"),
    *("verdict", "counts", "note"),
)

Point = tuple[str, str, str]
"""Dataset, codec and settings."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Images:
    """Results of one point, by image; all arrays (N,), NaN where there is no value."""

    index: npt.NDArray[np.int64]  # of the images in their dataset, ascending, without repetition
    bits: statistics.Values  # 8 × the length of the bitstream
    mse: statistics.Values  # of the 8-bit output on the [0, 1] scale
    ssim: statistics.Values
    metrics: Mapping[str, statistics.Values] = field(default_factory=dict)  # plugin metrics, by name

    def of(self, places: npt.NDArray[np.intp]) -> Images:
        """Those at some places."""
        metrics = {name: values[places] for name, values in self.metrics.items()}
        return Images(self.index[places], self.bits[places], self.mse[places], self.ssim[places], metrics)

    @property
    def means(self) -> dict[str, float]:
        """Means of a point by measure, with its number of ``images``; NaN where there is none."""
        lossy, known = self.mse[self.mse > 0.0], self.ssim[~np.isnan(self.ssim)]
        mse = float(np.mean(self.mse))
        return {
            "images": len(self.index),
            "bits": float(np.mean(self.bits)),
            "mse": mse,
            "psnr_db": float(np.mean(psnr_db(lossy))) if len(lossy) else math.nan,
            "psnr_of_mean_mse_db": float(psnr_db(mse)) if mse > 0.0 else math.nan,
            "ssim": float(np.mean(known)) if len(known) else math.nan,
        }


def of_images(
    point: Point, a: Images, b: Images, confidence: float, better: Mapping[str, str] | None = None
) -> list[Row]:
    """Rates and distortions of a point, paired by image: one row a measure that both runs have.

    Images that only one run has are left out. ``better`` says of the plugin metrics that are compared whether
    ``"higher"`` or ``"lower"`` is better.
    """
    common, in_a, in_b = np.intersect1d(a.index, b.index, assume_unique=True, return_indices=True)
    if not len(common):
        return of_means(point, a.means, b.means, "no image is in both")
    fewer = len(common) < max(len(a.index), len(b.index))
    note = f"over the {len(common):,} images in both ({len(a.index):,} and {len(b.index):,})" if fewer else ""
    a, b = a.of(in_a), b.of(in_b)
    rows = [
        _paired(point, "bits", a.bits, b.bits, confidence, note),
        _paired(point, "mse", a.mse, b.mse, confidence, note),
    ]
    lossy = (a.mse > 0.0) & (b.mse > 0.0)
    if lossy.any():
        which = note if lossy.all() else f"over the {count(int(lossy.sum()), 'image')} that neither restores exactly"
        rows.append(_paired(point, "psnr_db", psnr_db(a.mse[lossy]), psnr_db(b.mse[lossy]), confidence, which))
        verdict = SAME if np.array_equal(a.mse, b.mse) else UNTESTED
        means = [one.means["psnr_of_mean_mse_db"] for one in (a, b)]
        rows.append(_row(point, "psnr_of_mean_mse_db", len(common), means[0], means[1], verdict, note, counts=False))
    known = ~(np.isnan(a.ssim) | np.isnan(b.ssim))
    if known.any():
        rows.append(_paired(point, "ssim", a.ssim[known], b.ssim[known], confidence, note))
    for name, way in (better or {}).items():
        if name in a.metrics and name in b.metrics:
            ours, theirs = a.metrics[name], b.metrics[name]
            known = ~(np.isnan(ours) | np.isnan(theirs))
            if known.any():
                which = note if known.all() else f"over the {count(int(known.sum()), 'image')} that have it in both"
                rows.append(_paired(point, name, ours[known], theirs[known], confidence, which, way == "higher"))
    return rows


def of_means(point: Point, a: Mapping[str, float], b: Mapping[str, float], note: str) -> list[Row]:
    """Rates and distortions of a point by their means alone, with ``images``: nothing is tested.

    ``note`` says why the images cannot be paired.
    """
    measures = [name for name in RATES if not math.isnan(a[name]) and not math.isnan(b[name])]
    images = int(min(a["images"], b["images"]))
    return [_row(point, name, images, a[name], b[name], UNTESTED, note, counts=False) for name in measures]


def _paired(
    point: Point,
    measure: str,
    a: statistics.Values,
    b: statistics.Values,
    confidence: float,
    note: str,
    up: bool | None = None,
) -> Row:
    """The row of one measure of the images that both have, (N,) each; ``up`` where it is known that more is better."""
    means = float(np.mean(a)), float(np.mean(b))
    if np.array_equal(a, b):
        return _row(point, measure, len(a), *means, SAME, note)
    if measure in RELATIVE and means[0] == 0.0:
        note = _join("every image was restored exactly" if measure == "mse" else "there were none", note)
        return _row(point, measure, len(a), *means, WORSE, note)
    if len(a) == 1:
        return _row(point, measure, 1, *means, UNTESTED, _join("one image: no interval", note), counts=False)
    find = statistics.relative_difference if measure in RELATIVE else statistics.mean_difference
    found = find(a, b, confidence)
    up = measure in HIGHER_IS_BETTER if up is None else up
    verdict = UNCLEAR if not found.significant else BETTER if (found.value > 0.0) == up else WORSE
    return _row(point, measure, len(a), *means, verdict, note) | {"low": found.low, "high": found.high}


def _row(
    point: Point, measure: str, n: int, a: float, b: float, verdict: str, note: str = "", *, counts: bool = True
) -> Row:
    relative = measure in RELATIVE
    whole = 100.0 * (b / a - 1.0) if a else math.nan if b else 0.0
    return {
        **dict(zip(("dataset", "codec", "settings"), point, strict=True)),
        "measure": measure,
        "unit": "%" if relative else "dB" if measure.endswith("_db") else "",
        "n": n,
        "a": a,
        "b": b,
        "difference": whole if relative else b - a,
        "low": math.nan,
        "high": math.nan,
        "p_value": math.nan,
        "verdict": verdict,
        "counts": counts,
        "note": note,
    }


def _direction(measure: str, difference: float) -> str:
    return BETTER if (difference > 0.0) == (measure in HIGHER_IS_BETTER) else WORSE


# ---- times ----------------------------------------------------------------------------------------------------------


def of_times(point: Point, a: Timing, b: Timing, why_not: str = "") -> list[Row]:
    """Times of a point by two records of ``timings/``; not corrected yet, see :func:`settle`.

    ``why_not`` says why the times say nothing about the codec, where that is known already.
    """
    why_not = why_not or not_alike(a, b)
    rows = []
    for measure in TIMES:
        ours, theirs = getattr(a, measure), getattr(b, measure)
        if not (ours and theirs):
            continue
        medians = float(np.median(ours)), float(np.median(theirs))
        noisy = [name for name, seconds in (("A", ours), ("B", theirs)) if _unsteady(seconds)]
        note = _join(why_not, f"unsteady in {' and '.join(noisy)}" if noisy else "")
        same = list(ours) == list(theirs)
        row = _row(point, measure, min(len(ours), len(theirs)), *medians, SAME if same else UNCLEAR, note)
        rows.append(row | {"p_value": statistics.rounds_p(ours, theirs), "counts": not why_not})
    return rows


def of_medians(point: Point, a: Mapping[str, float], b: Mapping[str, float], note: str) -> list[Row]:
    """Times of a point by their medians alone, as a summary has them; not tested, for the reason in ``note``."""
    measures = [name for name in TIMES if a.get(name, math.nan) > 0.0 and b.get(name, math.nan) > 0.0]
    return [_row(point, name, 0, a[name], b[name], UNTESTED, note, counts=False) for name in measures]


def settle(rows: Sequence[Row], level: float) -> None:
    """Corrects the p values of times for their number, and gives the verdicts at a level; changes the rows.

    The tests of one codec in one direction belong together, over all its datasets and settings.
    """
    families: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if not math.isnan(row["p_value"]):
            families.setdefault((row["codec"], row["measure"]), []).append(row)
    for members in families.values():
        for row, p_value in zip(members, statistics.corrected([row["p_value"] for row in members]), strict=True):
            row["p_value"] = p_value
            if p_value <= level and row["difference"] != 0.0:
                row["verdict"] = _direction(row["measure"], row["difference"])


def not_alike(a: Timing, b: Timing) -> str:
    """Why the times of two records say nothing about the codec; empty where nothing speaks against it."""
    if not (a.host and b.host):
        return "the host is not recorded"
    if a.host != b.host:
        return "other host"
    if a.threads != b.threads:
        return f"other threads ({a.threads} and {b.threads})"
    if a.images != b.images:
        return f"other timed images ({a.images} and {b.images})"
    if a.batch != b.batch:
        return f"other timed batch ({a.batch} and {b.batch})"
    if a.shape != b.shape:
        return f"other timed shape ({format_shape(a.shape)} and {format_shape(b.shape)})"
    if a.device != b.device:
        return f"other device ({a.device} and {b.device})"
    busy = [name for name, record in (("A", a), ("B", b)) if _busy(record)]
    return f"the machine was busy in {' and '.join(busy)}" if busy else ""


def _busy(record: Timing) -> bool:
    """Whether something else had the processor while one thread was timed."""
    if record.threads != 1 or record.device != "cpu":
        return False
    for way in ("encode", "decode"):
        cpu, wall = getattr(record, f"{way}_cpu_s"), getattr(record, f"{way}_s")
        if cpu and wall and np.median(cpu) < LEAST_CPU_SHARE * np.median(wall):
            return True
    return False


def _unsteady(seconds: Sequence[float]) -> bool:
    low, middle, high = np.percentile(seconds, [25, 50, 75])
    return bool(high - low > UNSTEADY_SPREAD * middle)


def _join(*texts: str) -> str:
    return "; ".join(text for text in texts if text)


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
    """What a comparison reads of run ``A`` or ``B``; of the parts never more than those of one point at a time.

    ``points`` are those with results, in the order of the run, and ``failed`` has the reasons by point where images
    failed. Of a published run without parts ``summary.csv`` is read; a ``StoreError`` where that cannot be.
    """

    def __init__(self, name: str, store: RunFolder):
        self.name, self.store, self.manifest = name, store, store.manifest
        self.failed: dict[Point, str] = {}
        self._parts: dict[Point, list[TaskRecord]] = {}
        self._summary: dict[Point, Mapping[str, Any]] = {}
        if store.without_parts:
            from codecbench.analysis.summary import read_summary

            table = read_summary(store.path / "summary.csv")
            for _, row in table[table["images"] > 0].iterrows():
                self._summary[row["dataset"], row["codec"], row["settings"]] = {
                    str(key): value for key, value in row.items()
                }
        else:
            for task in store.tasks():
                if task.failed:
                    self.failed[task.point] = task.failed
                else:
                    self._parts.setdefault(task.point, []).append(task)
        order = {label: number for number, label in enumerate(self.manifest["datasets"])}
        found = self._summary or self._parts
        self.points = dict.fromkeys(sorted(found, key=lambda point: _in_order(point, order)))
        self._timings: dict[Point, list[TimingRecord]] = {}
        for record in store.timings():
            if not record.failed:
                self._timings.setdefault(record.point, []).append(record)

    def images(self, point: Point) -> Images:
        """The results of one point, by image; a ``StoreError`` where a part is damaged, which is left where it is."""
        import pyarrow as pa

        metrics = list(self.manifest["metrics"])
        tables = []
        for task in self._parts[point]:
            file = self.store.rows_file(task)
            try:
                rows = self.store.rows_left_in_place(task, [*READ, *metrics])
            except OSError as error:
                raise StoreError(f"cannot read {file}: {error.strerror or error}") from error
            if rows is None:
                raise StoreError(f"{file} is damaged; measure it again with the command that made {self.store.path}")
            tables.append(rows)
        table = pa.concat_tables(tables, promote_options="default")
        index, places = np.unique(table["image"].to_numpy(), return_index=True)
        columns = {name: table[name].to_numpy()[places].astype(np.float64) for name in READ[1:]}
        found = {
            name: table[name].to_numpy()[places].astype(np.float64) for name in metrics if name in table.column_names
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
        return {
            name: float(np.median(getattr(record, name)))
            for record in records
            for name in TIMES
            if getattr(record, name)
        }

    def timings(self, point: Point) -> list[TimingRecord]:
        """Records of a point's times, one a host that took them; empty for a published run."""
        return self._timings.get(point, [])


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
