"""Columns of a summary that tell how long a codec takes, from the records of ``codecbench.measure.timing``.

Records of schema 1 hold the wall times of one batch only; what they do not tell stays empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from codecbench.analysis.aggregate import POINT

UNSTEADY_SPREAD = 0.25
"""Interquartile range of the rounds over their median above which a time is called unsteady."""
LEAST_CPU_SHARE = 0.9
"""CPU time over wall time of one thread below which the machine was busy with something else."""
WAYS = ("encode", "decode")
TEXTS = ("device", "timed_on")
WHOLE = ("batch", "encode_peak_bytes", "decode_peak_bytes", "device_peak_bytes", "timed_images", "threads")
"""Whole numbers that may be missing."""
COLUMNS = [
    "encode_s",
    "decode_s",
    "encode_iqr_s",
    "decode_iqr_s",
    "encode_min_s",
    "decode_min_s",
    "encode_cpu_s",
    "decode_cpu_s",
    "encode_latency_s",
    "decode_latency_s",
    "batch",
    "encode_images_per_s",
    "decode_images_per_s",
    "encode_megapixels_per_s",
    "decode_megapixels_per_s",
    "cold_encode_s",
    "cold_decode_s",
    "encode_peak_bytes",
    "decode_peak_bytes",
    "device_peak_bytes",
    "transfer_s",
    "timed_images",
    "threads",
    "device",
    "timed_on",
    "unsteady",
]
DERIVED = ("encode_megapixels_per_s", "decode_megapixels_per_s", "unsteady")


def add_times(points: pd.DataFrame, records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Adds the columns ``COLUMNS`` to points.

    Args:
        points: one row a point, with ``images`` and ``pixels`` (of all its images) beside its name.
        records: the timings of a run, see ``RunFolder.timings``; those that failed add nothing.

    Returns:
        The same points in the same order.
    """
    taken = [columns_of(record) for record in records if not record["failed"]]
    frame = pd.DataFrame(taken, columns=[*POINT, *(name for name in COLUMNS if name not in DERIVED), "timed_pixels"])
    numbers = [name for name in frame if name not in {*POINT, *TEXTS}]
    frame = frame.astype(dict.fromkeys(POINT, object) | dict.fromkeys(numbers, float))
    table = points.merge(frame, on=POINT, how="left")
    mean_pixels = table["pixels"].astype(float) / table["images"].astype(float)
    pixels = table["timed_pixels"].fillna(mean_pixels)
    for way in WAYS:
        table[f"{way}_megapixels_per_s"] = pixels * table[f"{way}_images_per_s"] / 1e6
    table["unsteady"] = unsteady(table)
    return table.drop(columns="timed_pixels")


def columns_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record tells, by column, with the point's name and ``timed_pixels`` (of one image; NaN if unknown)."""
    found: dict[str, Any] = {key: record[key] for key in POINT}
    for way in WAYS:
        seconds = median(record[f"{way}_s"])
        latency = median(record.get(f"{way}_latency_s", ()))
        if math.isnan(latency) and record.get("batch") == 1:
            latency = seconds  # one image a call anyway
        found |= {
            f"{way}_s": seconds,
            f"{way}_iqr_s": float(np.subtract(*np.percentile(record[f"{way}_s"], [75, 25]))),
            f"{way}_min_s": float(min(record[f"{way}_s"])),
            f"{way}_cpu_s": median(record.get(f"{way}_cpu_s", ())),
            f"{way}_latency_s": latency,
            f"{way}_images_per_s": 1.0 / seconds if seconds > 0 else math.nan,
            f"cold_{way}_s": record.get(f"cold_{way}_s"),
            f"{way}_peak_bytes": record.get(f"{way}_peak_bytes"),
        }
    height, width, _ = record.get("shape", (0, 0, 0))
    return found | {
        "batch": record.get("batch"),
        "device_peak_bytes": record.get("device_peak_bytes"),
        "transfer_s": record.get("transfer_s"),
        "timed_images": record["images"],
        "threads": record["threads"],
        "device": record["device"],
        "timed_on": record.get("host", ""),
        "timed_pixels": height * width or math.nan,
    }


def median(seconds: Sequence[float]) -> float:
    """The median; NaN of nothing."""
    return float(np.median(seconds)) if len(seconds) else math.nan


def unsteady(table: pd.DataFrame, ways: Sequence[str] = WAYS) -> pd.Series[bool]:
    """Which points have a time that says more of the machine than of the codec; False where none was taken.

    The rounds spread much, or the processor was elsewhere: one thread on a CPU that computes all the time takes as much
    CPU time as wall time.

    Args:
        table: with ``encode_s``, ``encode_iqr_s`` and the same for decoding; with ``encode_cpu_s``, ``decode_cpu_s``,
            ``threads`` and ``device`` where they are known.
        ways: ``"encode"``, ``"decode"`` or both.
    """
    seconds = {way: table[f"{way}_s"].astype(float) for way in ways}
    marks = [table[f"{way}_iqr_s"].astype(float) / seconds[way] > UNSTEADY_SPREAD for way in ways]
    if "encode_cpu_s" in table:
        alone = (table["threads"].astype(float) == 1.0) & (table["device"] == "cpu")
        marks += [alone & (table[f"{way}_cpu_s"].astype(float) / seconds[way] < LEAST_CPU_SHARE) for way in ways]
    return pd.concat(marks, axis=1).any(axis=1)
