"""One point in two runs: rows that say by how much B differs from A in each measure, and whether that can be chance."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from codecbench.analysis.compare import statistics
from codecbench.analysis.summary import LEAST_CPU_SHARE, UNSTEADY_SPREAD
from codecbench.analysis.tables import Values, join_notes
from codecbench.columns import HIGHER_IS_BETTER, described
from codecbench.errors import StoreError
from codecbench.measure.distortion import psnr_db
from codecbench.measure.timing import Timing
from codecbench.store.folder import RunFolder
from codecbench.store.io import Point
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
COLUMNS = described(
    ("dataset codec settings", "text", "the point"),
    ("measure", "text", "one of ``RATES`` (``bits`` an image, ...), a plugin metric, or one of ``TIMES``"),
    ("unit", "text", "of the difference: per cent of A for bits, mse and times; dB; or none"),
    ("n", "count", "images that were compared; of times the rounds, of the run with fewer"),
    ("a b", "number", "means over the images; of times the medians over the rounds, in seconds"),
    ("difference", "number", "B less A, in the unit"),
    ("low high", "number", "ends of the confidence interval of rates and distortions"),
    ("p_value", "number", "of times, corrected for the number of the codec's points"),
    ("verdict", "text", "one of the texts above"),
    ("counts", "flag", "whether a threshold may judge it"),
    ("note", "text", "why not, and what to know about the row"),
)

Row = dict[str, Any]


def name_of(point: Point) -> str:
    """A point in words: ``jpeg:quality=75 on mnist``."""
    dataset, codec, settings = point
    return f"{codec}:{settings} on {dataset}" if settings else f"{codec} on {dataset}"


@dataclass(frozen=True)
class Images:
    """Results of one point, by image; all arrays (N,), NaN where there is no value."""

    index: npt.NDArray[np.int64]  # of the images in their dataset, ascending, without repetition
    values: Mapping[str, Values]  # ``bits``, ``mse``, ``ssim`` and plugin metrics, by name

    def at(self, places: npt.NDArray[np.intp]) -> Images:
        """Those at some places."""
        return Images(self.index[places], {name: values[places] for name, values in self.values.items()})

    @property
    def means(self) -> dict[str, float]:
        """Means of a point by measure, with its number of ``images``; NaN where there is none."""
        bits, mse, ssim = (self.values[name] for name in ("bits", "mse", "ssim"))
        lossy, known, mean = mse[mse > 0.0], ssim[~np.isnan(ssim)], float(np.mean(mse))
        return {
            "images": len(self.index),
            "bits": float(np.mean(bits)),
            "mse": mean,
            "psnr_db": float(np.mean(psnr_db(lossy))) if len(lossy) else math.nan,
            "psnr_of_mean_mse_db": float(psnr_db(mean)) if mean > 0.0 else math.nan,
            "ssim": float(np.mean(known)) if len(known) else math.nan,
        }


def of_images(point: Point, a: Images, b: Images, confidence: float, better: Mapping[str, str]) -> list[Row]:
    """Rates and distortions of a point, paired by image: one row a measure that both runs have.

    Images that only one run has are left out. ``better`` says of the plugin metrics that are compared whether
    ``"higher"`` or ``"lower"`` is better.
    """
    common, in_a, in_b = np.intersect1d(a.index, b.index, assume_unique=True, return_indices=True)
    if not len(common):
        return untested(point, RATES, a.means, b.means, int(min(len(a.index), len(b.index))), "no image is in both")
    fewer = len(common) < max(len(a.index), len(b.index))
    note = f"over the {len(common):,} images in both ({len(a.index):,} and {len(b.index):,})" if fewer else ""
    a, b = a.at(in_a), b.at(in_b)
    ours, theirs = a.values, b.values
    rows = [_paired(point, name, ours[name], theirs[name], confidence, note) for name in ("bits", "mse")]
    rows += _of_mean_mse(rows[-1])
    lossy = (ours["mse"] > 0.0) & (theirs["mse"] > 0.0)
    if lossy.any():
        which = note if lossy.all() else f"over the {count(int(lossy.sum()), 'image')} that neither restores exactly"
        decibels = psnr_db(ours["mse"][lossy]), psnr_db(theirs["mse"][lossy])
        rows.append(_paired(point, "psnr_db", *decibels, confidence, which))
    for name in ("ssim", *better):
        if name in ours and name in theirs:
            known = ~(np.isnan(ours[name]) | np.isnan(theirs[name]))
            if known.any():
                few = f"over the {count(int(known.sum()), 'image')} that have it in both"
                which, up = note if known.all() or name == "ssim" else few, better.get(name) == "higher"
                rows.append(_paired(point, name, ours[name][known], theirs[name][known], confidence, which, up))
    return rows


def _of_mean_mse(row: Row) -> list[Row]:
    """The row of the PSNR of the mean MSE, from that of the MSE; none where a run restores every pixel."""
    if not (row["a"] > 0.0 and row["b"] > 0.0):
        return []
    low, value, high = (-10.0 * math.log10(1.0 + row[end] / 100.0) for end in ("high", "difference", "low"))
    means = {
        "a": float(psnr_db(row["a"])),
        "b": float(psnr_db(row["b"])),
        "difference": value,
        "low": low,
        "high": high,
    }
    return [row | means | {"measure": "psnr_of_mean_mse_db", "unit": "dB"}]


def untested(
    point: Point, measures: Sequence[str], a: Mapping[str, float], b: Mapping[str, float], n: int, note: str
) -> list[Row]:
    """Rows by the means or medians alone of the measures that both runs have; ``note`` says why nothing is tested."""
    known = [name for name in measures if not math.isnan(a[name]) and not math.isnan(b[name])]
    return [_row(point, name, n, a[name], b[name], UNTESTED, note, counts=False) for name in known]


def _paired(point: Point, measure: str, a: Values, b: Values, confidence: float, note: str, up: bool = False) -> Row:
    """The row of one measure of the images that both have, (N,) each; ``up`` of a plugin metric whose rise is good."""
    means = float(np.mean(a)), float(np.mean(b))
    if np.array_equal(a, b):
        return _row(point, measure, len(a), *means, SAME, note)
    if measure in RELATIVE and means[0] == 0.0:
        note = join_notes("every image was restored exactly" if measure == "mse" else "there were none", note)
        return _row(point, measure, len(a), *means, WORSE, note)
    if len(a) == 1:
        return _row(point, measure, 1, *means, UNTESTED, join_notes("one image: no interval", note), counts=False)
    find = statistics.relative_difference if measure in RELATIVE else statistics.mean_difference
    found = find(a, b, confidence)
    good = (found.value > 0.0) == (up or measure in HIGHER_IS_BETTER)
    verdict = UNCLEAR if not found.significant else BETTER if good else WORSE
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
        note = join_notes(why_not, f"unsteady in {' and '.join(noisy)}" if noisy else "")
        same = list(ours) == list(theirs)
        row = _row(point, measure, min(len(ours), len(theirs)), *medians, SAME if same else UNCLEAR, note)
        rows.append(row | {"p_value": statistics.rounds_p(ours, theirs), "counts": not why_not})
    return rows


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
                row["verdict"] = WORSE if row["difference"] > 0.0 else BETTER


def not_alike(a: Timing, b: Timing) -> str:
    """Why the times of two records say nothing about the codec; empty where nothing speaks against it."""
    if not (a.host and b.host):
        return "the host is not recorded"
    if a.host != b.host:
        return "other host"
    for what, mine, other in (
        ("threads", a.threads, b.threads),
        ("timed images", a.images, b.images),
        ("timed batch", a.batch, b.batch),
        ("timed shape", format_shape(a.shape), format_shape(b.shape)),
        ("device", a.device, b.device),
    ):
        if mine != other:
            return f"other {what} ({mine} and {other})"
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


class Side:
    """What a comparison reads of run ``A`` or ``B``; of the parts never more than those of one point at a time.

    ``points`` are those with results, with the number of their images, in the order of the run, and ``failed`` has the
    reasons by point where images failed. ``labels`` are the names for its datasets. Of a published run without parts
    ``summary.csv`` is read; a ``StoreError`` where that cannot be.
    """

    def __init__(self, name: str, store: RunFolder, labels: Mapping[str, str]):
        datasets = {labels[label]: record for label, record in store.manifest["datasets"].items()}
        self.name, self.store, self.manifest = name, store, store.manifest | {"datasets": datasets}
        self.failed: dict[Point, str] = {}
        images: dict[Point, int] = {}
        self._parts: dict[Point, list[TaskRecord]] = {}
        self._summary: dict[Point, Mapping[Hashable, Any]] = {}
        if store.without_parts:
            from codecbench.analysis.summary import read_summary

            table = read_summary(store.path / "summary.csv")
            for row in table[table["images"] > 0].to_dict("records"):
                point = labels[row["dataset"]], row["codec"], row["settings"]
                self._summary[point], images[point] = row, row["images"]
        else:
            for task in store.tasks():
                point = labels[task.dataset], task.codec, task.settings
                if task.failed:
                    self.failed[point] = task.failed
                else:
                    self._parts.setdefault(point, []).append(task)
                    images[point] = images.get(point, 0) + task.images
        order = {label: number for number, label in enumerate(datasets)}
        self.points = {point: images[point] for point in sorted(images, key=lambda point: _in_order(point, order))}
        self._timings: dict[Point, list[TimingRecord]] = {}
        for record in store.timings():
            if not record.failed:
                point = labels[record.dataset], record.codec, record.settings
                self._timings.setdefault(point, []).append(record)

    def images(self, point: Point) -> Images:
        """The results of one point, by image; a ``StoreError`` where a part is damaged, which is left where it is."""
        import pyarrow as pa

        metrics = list(self.manifest["metrics"])
        tables = []
        for task in self._parts[point]:
            file = self.store.rows_file(task)
            try:
                rows = self.store.rows_left_in_place(task, ["image", "num_bytes", "mse", "ssim", *metrics])
            except OSError as error:
                raise StoreError(f"cannot read {file}: {error.strerror or error}") from error
            if rows is None:
                raise StoreError(f"{file} is damaged; measure it again with the command that made {self.store.path}")
            tables.append(rows)
        table = pa.concat_tables(tables, promote_options="default")
        index, places = np.unique(table["image"].to_numpy(), return_index=True)
        values = {
            name: table[name].to_numpy()[places].astype(np.float64)
            for name in ("num_bytes", "mse", "ssim", *metrics)
            if name in table.column_names
        }
        bits = 8.0 * values.pop("num_bytes")
        return Images(index, {"bits": bits} | values)

    def means(self, point: Point) -> dict[str, float]:
        """Means of a point by measure, with its number of ``images``; NaN where there is none."""
        if point in self._parts:
            return self.images(point).means
        row = self._summary[point]
        return {name: float(row["bits_per_image" if name == "bits" else name]) for name in ("images", *RATES)}

    def medians(self, point: Point) -> dict[str, float]:
        """Median times of a point by measure; NaN where there are none."""
        if point in self._summary:
            return {name: float(self._summary[point][name]) for name in TIMES}
        rounds = {name: [getattr(record, name) for record in self.timings(point)[:1]] for name in TIMES}
        return {name: float(np.median(taken[0])) if any(taken) else math.nan for name, taken in rounds.items()}

    def timings(self, point: Point) -> list[TimingRecord]:
        """Records of a point's times, one a host that took them; empty for a published run."""
        return self._timings.get(point, [])


def _in_order(point: Point, order: Mapping[str, int]) -> tuple[int, str, list[tuple[str, float]]]:
    """Datasets as in the run, and numbers in settings as numbers."""
    label, codec, settings = point
    parts = re.split(r"([0-9]+(?:\.[0-9]+)?)", settings)
    return (
        order.get(label, len(order)),
        codec,
        [(text, 0.0) if n % 2 == 0 else ("", float(text)) for n, text in enumerate(parts)],
    )
