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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from codecbench.analysis.compare import statistics
from codecbench.analysis.times import LEAST_CPU_SHARE, UNSTEADY_SPREAD
from codecbench.measure.distortion import psnr_db
from codecbench.text import count

SAME = "identical"
BETTER = "better"
WORSE = "worse"
UNCLEAR = "not significant"
UNTESTED = "not tested"

RATES = ("bits", "mse", "psnr_db", "psnr_of_mean_mse_db", "ssim")
TIMES = ("encode_s", "decode_s", "encode_latency_s", "decode_latency_s")
RELATIVE = {"bits", "mse", *TIMES}
HIGHER_IS_BETTER = {"psnr_db", "psnr_of_mean_mse_db", "ssim"}
COLUMNS = (
    *("dataset", "codec", "settings", "measure", "unit", "n", "a", "b", "difference", "low", "high", "p_value"),
    *("verdict", "counts", "note"),
)

Point = tuple[str, str, str]
"""Dataset, codec and settings."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Images:
    """Results of one point, by image; all arrays (N,), NaN where there is no value.

    Attributes:
        index: of the images in their dataset, ascending, without repetition.
        bits: 8 × the length of the bitstream.
        mse: of the 8-bit output on the [0, 1] scale.
        ssim: structural similarity.
        metrics: plugin metrics, by name.
    """

    index: npt.NDArray[np.int64]
    bits: statistics.Values
    mse: statistics.Values
    ssim: statistics.Values
    metrics: Mapping[str, statistics.Values] = field(default_factory=dict)

    def of(self, places: npt.NDArray[np.intp]) -> Images:
        """Those at some places."""
        metrics = {name: values[places] for name, values in self.metrics.items()}
        return Images(self.index[places], self.bits[places], self.mse[places], self.ssim[places], metrics)

    @property
    def means(self) -> dict[str, float]:
        """By measure the mean as a summary has it; NaN where no image has the measure."""
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
    """Rates and distortions of a point, paired by image.

    Args:
        point: the point.
        a: its results in the baseline.
        b: its results in the other run, over the same dataset; images that only one run has are left out.
        confidence: of the intervals.
        better: of the plugin metrics that are compared, whether ``"higher"`` or ``"lower"`` is better.

    Returns:
        One row a measure that both have.
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
    """Rates and distortions of a point by their means alone: nothing is tested.

    Args:
        point: the point.
        a: ``images`` and means by measure, in the baseline.
        b: the same of the other run.
        note: why the images cannot be paired.
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


def of_times(point: Point, a: Mapping[str, Any], b: Mapping[str, Any], why_not: str = "") -> list[Row]:
    """Times of a point by two records of ``timings/``; not corrected yet, see :func:`settle`.

    Args:
        point: the point.
        a: the baseline's record, of schema 1 or newer.
        b: the other run's.
        why_not: why the times say nothing about the codec, where that is known already.
    """
    why_not = why_not or not_alike(a, b)
    rows = []
    for measure in TIMES:
        ours, theirs = a.get(measure, ()), b.get(measure, ())
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
    """Times of a point by their medians alone, as a summary has them: nothing is tested.

    Args:
        point: the point.
        a: medians by measure in the baseline, NaN where there are none.
        b: the same of the other run.
        note: why nothing is tested.
    """
    measures = [name for name in TIMES if a.get(name, math.nan) > 0.0 and b.get(name, math.nan) > 0.0]
    return [_row(point, name, 0, a[name], b[name], UNTESTED, note, counts=False) for name in measures]


def settle(rows: Sequence[Row], level: float) -> None:
    """Corrects the p values of times for their number, and gives the verdicts; changes the rows.

    The tests of one codec in one direction belong together, over all its datasets and settings.

    Args:
        rows: rows of :func:`of_times`.
        level: at or below which a corrected p is significant.
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


def not_alike(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """Why the times of two records say nothing about the codec; empty where nothing speaks against it."""
    if not (a.get("host") and b.get("host")):
        return "the host is not recorded"
    if a["host"] != b["host"]:
        return "other host"
    if a["threads"] != b["threads"]:
        return f"other threads ({a['threads']} and {b['threads']})"
    for name in ("images", "batch", "shape"):
        if a.get(name) != b.get(name):
            return f"other timed {name} ({a.get(name)} and {b.get(name)})"
    if a["device"] != b["device"]:
        return f"other device ({a['device']} and {b['device']})"
    busy = [name for name, record in (("A", a), ("B", b)) if _busy(record)]
    return f"the machine was busy in {' and '.join(busy)}" if busy else ""


def _busy(record: Mapping[str, Any]) -> bool:
    """Whether something else had the processor while one thread was timed."""
    if record["threads"] != 1 or record["device"] != "cpu":
        return False
    for way in ("encode", "decode"):
        cpu, wall = record.get(f"{way}_cpu_s", ()), record.get(f"{way}_s", ())
        if cpu and wall and np.median(cpu) < LEAST_CPU_SHARE * np.median(wall):
            return True
    return False


def _unsteady(seconds: Sequence[float]) -> bool:
    low, middle, high = np.percentile(seconds, [25, 50, 75])
    return bool(high - low > UNSTEADY_SPREAD * middle)


def _join(*texts: str) -> str:
    return "; ".join(text for text in texts if text)
