"""The summary of a run: one row per dataset × codec × settings, with the columns of ``codecbench.columns.SUMMARY``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from codecbench.analysis.aggregate import POINT, Aggregate, aggregate
from codecbench.analysis.tables import typed
from codecbench.columns import SUMMARY, TIMES, ColumnInfo
from codecbench.errors import StoreError
from codecbench.store.folder import RunFolder, StoredRun
from codecbench.store.io import read_json
from codecbench.store.manifest import outdated_metrics
from codecbench.store.merged import MergedRuns, choose
from codecbench.store.tasks import TaskRecord
from codecbench.store.timings import TimingRecord
from codecbench.text import one_line

UNSTEADY_SPREAD = 0.25
"""Interquartile range of the rounds over their median above which a time is called unsteady."""
LEAST_CPU_SHARE = 0.9
"""CPU time over wall time of one thread below which the machine was busy with something else."""
DIRECTIONS = ("encode", "decode")


def columns(metrics: Iterable[str] = ()) -> dict[str, ColumnInfo]:
    """The columns of a summary by name, with plugin metrics behind ``ssim``."""
    found = {}
    for name, info in SUMMARY.items():
        found[name] = info
        if name == "ssim":
            found |= {metric: ColumnInfo(metric, "number", "mean over the images") for metric in metrics}
    return found


def summary_of(store: StoredRun) -> pd.DataFrame:
    """The summary of a run, of a published one its ``summary.csv``; a ``StoreError`` if damaged or without results."""
    if isinstance(store, MergedRuns):
        return _merged_summary(store)
    if isinstance(store, RunFolder):
        if store.without_parts:
            return read_summary(store.path / "summary.csv")
        if not (store.path / TaskRecord.FOLDER).is_dir():
            raise StoreError(f"{store.path} holds no results: neither parts/ nor the summary.csv of a published run")
    return summarise(store)


def _merged_summary(store: MergedRuns) -> pd.DataFrame:
    """The summaries of several runs as one, each point's of one run; its times of another where that took none."""
    tables, images = [], []
    for member in store.members:
        table = summary_of(member.store)
        for column, names in (("dataset", member.datasets), ("codec", member.codecs)):
            table[column] = [names.get(name, name) for name in table[column]]
        tables.append(table)
        points = zip(*(table[name] for name in POINT), strict=True)
        images.append(dict(zip(points, table["images"].astype(int), strict=True)))
    winners = choose(images)
    chosen = [
        table[[winners[point] == number for point in points]]
        for number, (table, points) in enumerate(zip(tables, images, strict=True))
    ]
    merged = pd.concat([table for table in chosen if len(table)] or tables[:1]).set_index(POINT)
    for table in tables:
        times = table.set_index(POINT)[list(TIMES)].reindex(merged.index)
        timed = merged["encode_s"].isna() & times["encode_s"].notna()
        merged[times.columns] = merged[times.columns].mask(timed, times)
    merged = merged.reset_index()
    for codec in store.manifest["codecs"]:
        for metric in outdated_metrics(store.manifest, codec):
            if metric in merged:
                merged.loc[merged["codec"] == codec, metric] = np.nan
    return _sorted(merged, store.manifest)


def _sorted(summary: pd.DataFrame, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """A summary by dataset (in the run's order), codec and rate, with the columns of every summary, typed."""
    order = {label: number for number, label in enumerate(manifest["datasets"])}
    summary = summary.assign(order=summary["dataset"].map(order))
    summary = summary.sort_values(["order", "codec", "bits_per_image", "settings"], kind="stable")
    return typed(summary.reset_index(drop=True), columns(manifest["metrics"]))


def summarise(store: StoredRun, aggregated: Aggregate | None = None) -> pd.DataFrame:
    """The summary of a run folder, by dataset (in the run's order), codec and rate.

    Points that a codec does not take have a row without images and with the reason. The parts are read one by one,
    unless ``aggregated`` has their sums.
    """
    manifest = store.manifest
    summary = (aggregated or aggregate(store)).points
    summary = summary.merge(_failures(store.failures(TaskRecord)), on=POINT, how="outer")
    summary = summary.merge(_times(store.timings()), on=POINT, how="left")
    summary = pd.concat([summary, _skipped(manifest["skipped"], summary)], ignore_index=True)
    pairs = list(zip(summary["dataset"], summary["codec"], strict=True))
    summary["out_of_domain"] = [_domain(manifest, *pair) == "other" for pair in pairs]
    summary["on_training_images"] = [_domain(manifest, *pair) == "training" for pair in pairs]
    summary["unsteady"] = unsteady(summary)
    return _sorted(summary, manifest)


def read_summary(file: Path) -> pd.DataFrame:
    """Reads a ``summary.csv`` back, to the last digit, as the table that it was written from.

    Which plugin metrics it has follows from the ``run.json`` beside it. Raises ``StoreError`` for any other file.
    """
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8")
        missing = [name for name in SUMMARY if name not in table]
        if missing:
            raise StoreError(f"{file} is no summary of a run: it has no column {missing[0]}")
        manifest = read_json(file.parent / "run.json") or {}
        known = columns(name for name in manifest.get("metrics", {}) if name in table)
        return typed(pd.DataFrame({name: _parsed(info.kind, table[name]) for name, info in known.items()}), known)
    except (OSError, ValueError) as error:
        raise StoreError(f"{file} cannot be read: {one_line(error)}") from error


def _parsed(kind: str, texts: pd.Series[str]) -> pd.Series[Any]:
    if kind == "text":
        return texts
    if kind == "flag":
        return texts == "True"
    # Python's own reading of numbers: that of pandas is not exact in every version.
    return pd.Series([float(text) if text else math.nan for text in texts], texts.index, dtype="float64")


def _failures(failed: Sequence[TaskRecord]) -> pd.DataFrame:
    rows = [[*task.point, task.images, task.failed] for task in failed]
    frame = pd.DataFrame(rows, columns=[*POINT, "failed", "reason"])
    return frame.groupby(POINT, sort=False).agg(failed=("failed", "sum"), reason=("reason", "first")).reset_index()


def _skipped(skips: Sequence[Mapping[str, Any]], summary: pd.DataFrame) -> pd.DataFrame:
    there = set(zip(summary["dataset"], summary["codec"], summary["settings"], strict=True))
    rows = []
    for skip in skips:
        codec, _, settings = skip["codec"].partition(":")
        if (skip["dataset"], codec, settings) not in there:
            rows.append([skip["dataset"], codec, settings, 0, f"skipped: {skip['images']} images: {skip['reason']}"])
    frame = pd.DataFrame(rows, columns=[*POINT, "images", "reason"], dtype=object)
    return frame.reindex(columns=summary.columns)


def _domain(manifest: Mapping[str, Any], dataset: str, codec: str) -> str:
    """Of a learned codec's data: ``other``, ``training``, or empty where there is nothing to say."""
    trained_on, record = manifest["codecs"][codec]["trained_on"], manifest["datasets"][dataset]
    if not trained_on:
        return ""
    return "other" if record["family"] not in trained_on else "training" if record["training"] else ""


# ---- times ----------------------------------------------------------------------------------------------------------


def _times(records: Sequence[TimingRecord]) -> pd.DataFrame:
    """The columns ``TIMES`` but ``unsteady`` by point."""
    taken = [_row(record) for record in records if not record.failed]
    return typed(taken, {name: SUMMARY[name] for name in (*POINT, *TIMES) if name != "unsteady"})


def _row(record: TimingRecord) -> dict[str, Any]:
    height, width, _ = record.shape
    found = {
        name: getattr(record, name)
        for name in (*POINT, "batch", "device_peak_bytes", "transfer_s", "threads", "device")
    }
    found |= {"timed_images": record.images, "timed_on": record.host}
    for way in DIRECTIONS:
        rounds = getattr(record, f"{way}_s")
        seconds = _median(rounds)
        per_second = 1.0 / seconds if seconds > 0 else math.nan
        latency = getattr(record, f"{way}_latency_s") or rounds * (record.batch == 1)  # each call has one image
        found |= {
            f"{way}_s": seconds,
            f"{way}_iqr_s": float(np.subtract(*np.percentile(rounds, [75, 25]))),
            f"{way}_min_s": float(min(rounds)),
            f"{way}_cpu_s": _median(getattr(record, f"{way}_cpu_s")),
            f"{way}_latency_s": _median(latency),
            f"{way}_images_per_s": per_second,
            f"{way}_megapixels_per_s": height * width * per_second / 1e6,
            f"cold_{way}_s": getattr(record, f"cold_{way}_s"),
            f"{way}_peak_bytes": getattr(record, f"{way}_peak_bytes"),
        }
    return found


def _median(seconds: Sequence[float]) -> float:
    return float(np.median(seconds)) if len(seconds) else math.nan


def unsteady(table: pd.DataFrame, ways: Sequence[str] = DIRECTIONS) -> pd.Series[bool]:
    """Which points of a summary have a time that says more of the machine than of the codec; False without times.

    The rounds spread much, or the processor was elsewhere: one thread on a CPU that computes all the time takes as much
    CPU time as wall time.
    """
    alone = (table["threads"].astype(float) == 1.0) & (table["device"] == "cpu")
    marks = []
    for way in ways:
        seconds = table[f"{way}_s"].astype(float)
        marks.append(table[f"{way}_iqr_s"].astype(float) / seconds > UNSTEADY_SPREAD)
        marks.append(alone & (table[f"{way}_cpu_s"].astype(float) / seconds < LEAST_CPU_SHARE))
    return pd.concat(marks, axis=1).any(axis=1)
