"""From rows to tables.

Columns of the summary, one row per dataset × codec × settings:

    dataset, codec, settings       the point, ``settings`` in the spec syntax with every setting spelled out
    images                         images with a result
    bits_per_image                 mean of 8 × the length of the bitstream
    bits_per_pixel                 bits of all images over pixels (height × width) of all images
    compression_ratio              size as 8-bit samples over size of the bitstreams
    compression_ratio_float32      the same against 32-bit samples, the accounting of many autoencoder papers
    mse, mse_float                 mean squared error on the [0, 1] scale; of the 8-bit output, and before clipping and
                                   rounding where the codec reconstructs in floating point
    psnr_db                        mean of the images' PSNR; images restored exactly have none and do not enter
    psnr_of_mean_mse_db            PSNR of the mean MSE, a different number
    ssim                           mean over the images
    ms_ssim, psnr_y_db, ...        plugin metrics that the run measured (``run.json``), each the mean over the
                                   images that have a value; ``psnr_y_db`` as ``psnr_db``
    max_abs_error                  largest difference over all images, in 8-bit levels
    lossless                       the codec claims to restore every pixel, and every image was checked
    encode_s, decode_s             median over the rounds, wall seconds an image, ``batch`` images a call
    failed                         images without a result
    exact_images                   images restored exactly
    exact_pixels                   share of all pixels restored exactly, in every channel
    out_of_domain                  a learned codec on data of another kind than it was trained on
    on_training_images             a learned codec on images of the split that it was trained on
    container_bytes                mean bytes of headers and tables, where the codec can tell
    payload_bits_per_image         ``bits_per_image`` without ``container_bytes``; empty where the codec cannot tell
    payload_bits_per_pixel         these for some image
    estimated_bits                 mean bits an image by the entropy model, for codecs with one
    reason                         why images have no result

Columns of times, of the rounds that the run kept (docs/measuring.md); empty where none were taken, or by an older
version:

    encode_iqr_s, decode_iqr_s                        interquartile range over the rounds
    encode_min_s, decode_min_s                        the fastest round
    encode_cpu_s, decode_cpu_s                        median CPU seconds an image, of all threads and child processes
    encode_latency_s, decode_latency_s                median wall seconds of a call with one image
    batch                                             images in one call; 1 for codecs that work image by image
    encode_images_per_s, decode_images_per_s          throughput, one over ``encode_s`` or ``decode_s``
    encode_megapixels_per_s, decode_megapixels_per_s  the same in millions of pixels (height × width) a second
    cold_encode_s, cold_decode_s                      seconds of the first call in a fresh process: import, loading of
                                                      weights and compiling of kernels; at one point of a codec on a set
    encode_peak_bytes, decode_peak_bytes              peak resident memory of a process that did nothing else, with this
                                                      codec on this dataset, libraries included
    device_peak_bytes                                 peak memory allocated on the accelerator, by encoding or decoding
    transfer_s                                        seconds an image for moving pixels to the accelerator and back,
                                                      which ``encode_s`` and ``decode_s`` include
    timed_images, threads, device                     images timed, threads that the codec could use, where it ran
    timed_on                                          short name of the machine; times of two machines do not compare
    unsteady                                          rounds of encoding or decoding spread by more than a quarter of
                                                      their median (interquartile range): the machine was not quiet
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from codecbench.analysis import times
from codecbench.analysis.aggregate import MEANS, POINT, Aggregate, aggregate, derive
from codecbench.measure.distortion import psnr_db
from codecbench.store.folder import RunFolder

COLUMNS = [
    *POINT,
    "images",
    "bits_per_image",
    "bits_per_pixel",
    "compression_ratio",
    "compression_ratio_float32",
    "mse",
    "mse_float",
    "psnr_db",
    "psnr_of_mean_mse_db",
    "ssim",
    "max_abs_error",
    "lossless",
    "encode_s",
    "decode_s",
    "failed",
    "exact_images",
    "exact_pixels",
    "out_of_domain",
    "on_training_images",
    "container_bytes",
    "payload_bits_per_image",
    "payload_bits_per_pixel",
    "estimated_bits",
    *(name for name in times.COLUMNS if name not in ("encode_s", "decode_s")),
    "reason",
]
"""The columns of every summary."""
TEXTS = {*POINT, *times.TEXTS, "reason"}
FLAGS = {"lossless", "out_of_domain", "on_training_images", "unsteady"}
COUNTS = {"images", "failed", "exact_images"}
WHOLE = {"max_abs_error", *times.WHOLE}
"""Whole numbers that may be missing."""


def columns(metrics: Sequence[str] = ()) -> list[str]:
    """The columns of a summary, with plugin metrics behind ``ssim``."""
    place = COLUMNS.index("ssim") + 1
    return [*COLUMNS[:place], *metrics, *COLUMNS[place:]]


def summarise(store: RunFolder, aggregated: Aggregate | None = None) -> pd.DataFrame:
    """The summary of a run folder; reads its parts one by one.

    Args:
        store: the run folder.
        aggregated: what its rows sum up to, where they were read already.

    Returns:
        One row per dataset × codec × settings, sorted by dataset (in the run's order), codec and rate. What a codec
        does not take stands there too, without images and with the reason.
    """
    manifest = store.manifest
    summary = (aggregated or aggregate(store)).points
    summary = summary.merge(_failures(store.failures()), on=POINT, how="outer")
    summary = times.add_times(summary, store.timings())
    summary["lossless"] = summary["lossless"].astype("boolean").fillna(False)
    summary = pd.concat([summary, _skipped(manifest["skipped"], summary)], ignore_index=True)
    pairs = list(zip(summary["dataset"], summary["codec"], strict=True))
    summary["out_of_domain"] = [_domain(manifest, *pair) == "other" for pair in pairs]
    summary["on_training_images"] = [_domain(manifest, *pair) == "training" for pair in pairs]
    summary["unsteady"] = times.unsteady(summary)
    order = {label: number for number, label in enumerate(manifest["datasets"])}
    summary["order"] = summary["dataset"].map(order)
    summary = summary.sort_values(["order", "codec", "bits_per_image", "settings"], kind="stable")
    return _typed(summary[columns(list(manifest["metrics"]))].reset_index(drop=True))


def _typed(summary: pd.DataFrame) -> pd.DataFrame:
    """Gives every column its type, whatever is missing from the run."""
    for name in summary.columns:
        column = summary[name]
        if name in TEXTS:
            summary[name] = column.astype(object).where(column.notna(), "").astype(str)
        elif name in FLAGS:
            summary[name] = column.astype(bool)
        elif name in COUNTS:
            summary[name] = pd.to_numeric(column).fillna(0).astype("int64")
        elif name in WHOLE:
            summary[name] = pd.to_numeric(column).astype("Int64")
        else:
            summary[name] = pd.to_numeric(column).astype("float64")
    return summary


def summarise_rows(rows: pd.DataFrame, metrics: Sequence[str] = ()) -> pd.DataFrame:
    """Aggregates per-image rows that are in memory; a pure function of them.

    Args:
        rows: see ``RunFolder.rows``.
        metrics: the plugin metrics among the columns.

    Returns:
        One row a point with the columns that follow from the rows alone.
    """
    frame = rows.copy()
    frame["bits"] = 8.0 * frame["num_bytes"].astype(float)
    frame["pixels"] = frame["height"].astype(np.int64) * frame["width"]
    frame["samples"] = frame["pixels"] * frame["channels"]
    mse = frame["mse"].astype(float)
    frame["exact"] = mse == 0.0
    shares = frame["exact_pixels"].astype(float) if "exact_pixels" in frame else np.nan  # rows of version 0.1
    frame["equal_pixels"] = shares * frame["pixels"]
    frame["psnr_db"] = psnr_db(mse.where(mse > 0.0))
    frame["payload_bits"] = frame["bits"] - 8.0 * frame["container_bytes"].astype(float)
    sums = frame.groupby(POINT, observed=True, sort=False).agg(
        images=("bits", "size"),
        bits=("bits", "sum"),
        pixels=("pixels", "sum"),
        samples=("samples", "sum"),
        max_abs_error=("max_abs_error", "max"),
        lossless=("lossless", "all"),
        exact_images=("exact", "sum"),
        equal_pixels=("equal_pixels", lambda column: column.sum(min_count=1)),
        payload_bits=("payload_bits", lambda column: column.sum(skipna=False)),
        **{name: (name, "mean") for name in (*MEANS, *metrics)},
    )
    return derive(sums.reset_index(), metrics)


def _failures(sidecars: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    columns = [*POINT, "failed", "reason"]
    if not sidecars:
        return pd.DataFrame(columns=columns).astype({"failed": float})
    frame = pd.DataFrame(
        [[s["dataset"], s["codec"], s["settings"], s["images"], s["failed"]] for s in sidecars],
        columns=columns,
    )
    return frame.groupby(POINT, sort=False).agg(failed=("failed", "sum"), reason=("reason", "first")).reset_index()


def _skipped(skips: Sequence[Mapping[str, Any]], summary: pd.DataFrame) -> pd.DataFrame:
    there = set(zip(summary["dataset"], summary["codec"], summary["settings"], strict=True))
    rows = []
    for skip in skips:
        codec, _, settings = skip["codec"].partition(":")
        if (skip["dataset"], codec, settings) not in there:
            rows.append([skip["dataset"], codec, settings, 0, f"skipped: {skip['images']} images: {skip['reason']}"])
    frame = pd.DataFrame(rows, columns=[*POINT, "images", "reason"], dtype=object)
    return frame.reindex(columns=summary.columns).assign(lossless=False)


def _domain(manifest: Mapping[str, Any], dataset: str, codec: str) -> str:
    """Of a learned codec's data: ``other``, ``training``, or empty where there is nothing to say."""
    trained_on, record = manifest["codecs"][codec]["trained_on"], manifest["datasets"][dataset]
    if not trained_on:
        return ""
    return "other" if record["family"] not in trained_on else "training" if record["training"] else ""
