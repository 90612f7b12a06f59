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
    max_abs_error                  largest difference over all images, in 8-bit levels
    lossless                       the codec claims to restore every pixel, and every image was checked
    encode_s, decode_s             median over repeats, seconds an image
    failed                         images without a result
    exact_images                   images restored exactly
    exact_pixels                   share of all pixels restored exactly, in every channel
    out_of_domain                  a learned codec on data of another kind than it was trained on
    on_training_images             a learned codec on images of the split that it was trained on
    container_bytes                mean bytes of headers and tables, where the codec can tell
    estimated_bits                 mean bits an image by the entropy model, for codecs with one
    encode_iqr_s, decode_iqr_s     interquartile range over the repeats
    timed_images, threads, device  how the times were taken
    reason                         why images have no result
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from codecbench.metrics import psnr_db
from codecbench.store import RunFolder

POINT = ["dataset", "codec", "settings"]
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
    "estimated_bits",
    "encode_iqr_s",
    "decode_iqr_s",
    "timed_images",
    "threads",
    "device",
    "reason",
]
TEXTS = {*POINT, "device", "reason"}
FLAGS = {"lossless", "out_of_domain", "on_training_images"}
COUNTS = {"images", "failed", "exact_images"}
WHOLE = {"max_abs_error", "timed_images", "threads"}
"""Whole numbers that may be missing."""


def summarise(store: RunFolder, rows: pd.DataFrame | None = None) -> pd.DataFrame:
    """The summary of a run folder.

    Args:
        store: the run folder.
        rows: its rows, where they were read already.

    Returns:
        One row per dataset × codec × settings, sorted by dataset (in the run's order), codec and rate. What a codec
        does not take stands there too, without images and with the reason.
    """
    manifest = store.manifest
    summary = summarise_rows(store.rows() if rows is None else rows)
    summary = summary.merge(_failures(store.failures()), on=POINT, how="outer")
    summary = summary.merge(_timings(store.timings()), on=POINT, how="left")
    summary["lossless"] = summary["lossless"].astype("boolean").fillna(False)
    summary = pd.concat([summary, _skipped(manifest["skipped"], summary)], ignore_index=True)
    pairs = list(zip(summary["dataset"], summary["codec"], strict=True))
    summary["out_of_domain"] = [_domain(manifest, *pair) == "other" for pair in pairs]
    summary["on_training_images"] = [_domain(manifest, *pair) == "training" for pair in pairs]
    order = {label: number for number, label in enumerate(manifest["datasets"])}
    summary["order"] = summary["dataset"].map(order)
    summary = summary.sort_values(["order", "codec", "bits_per_image", "settings"], kind="stable")
    return _typed(summary[COLUMNS].reset_index(drop=True))


def _typed(summary: pd.DataFrame) -> pd.DataFrame:
    """Gives every column its type, whatever is missing from the run."""
    for name in COLUMNS:
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


def summarise_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Aggregates per-image rows; a pure function of them.

    Args:
        rows: see ``RunFolder.rows``.

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
    groups = frame.groupby(POINT, observed=True, sort=False)
    table = groups.agg(
        images=("bits", "size"),
        bits_per_image=("bits", "mean"),
        bits=("bits", "sum"),
        pixels=("pixels", "sum"),
        samples=("samples", "sum"),
        mse=("mse", "mean"),
        mse_float=("mse_float", "mean"),
        psnr_db=("psnr_db", "mean"),
        ssim=("ssim", "mean"),
        max_abs_error=("max_abs_error", "max"),
        lossless=("lossless", "all"),
        exact_images=("exact", "sum"),
        equal_pixels=("equal_pixels", lambda column: column.sum(min_count=1)),
        container_bytes=("container_bytes", "mean"),
        estimated_bits=("estimated_bits", "mean"),
    ).reset_index()
    for key in POINT:
        table[key] = table[key].astype(object)
    table["exact_pixels"] = table["equal_pixels"] / table["pixels"]
    table["bits_per_pixel"] = table["bits"] / table["pixels"]
    table["compression_ratio"] = 8.0 * table["samples"] / table["bits"].replace(0.0, np.nan)
    table["compression_ratio_float32"] = 4.0 * table["compression_ratio"]
    mean_mse = table["mse"].astype(float)
    table["psnr_of_mean_mse_db"] = psnr_db(mean_mse.where(mean_mse > 0.0))
    return table


def _failures(sidecars: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    columns = [*POINT, "failed", "reason"]
    if not sidecars:
        return pd.DataFrame(columns=columns).astype({"failed": float})
    frame = pd.DataFrame(
        [[s["dataset"], s["codec"], s["settings"], s["images"], s["failed"]] for s in sidecars],
        columns=columns,
    )
    return frame.groupby(POINT, sort=False).agg(failed=("failed", "sum"), reason=("reason", "first")).reset_index()


def _timings(timings: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    columns = ["encode_s", "decode_s", "encode_iqr_s", "decode_iqr_s", "timed_images", "threads", "device"]
    return pd.DataFrame(
        [
            [
                *(timing[key] for key in POINT),
                float(np.median(timing["encode_s"])),
                float(np.median(timing["decode_s"])),
                float(np.subtract(*np.percentile(timing["encode_s"], [75, 25]))),
                float(np.subtract(*np.percentile(timing["decode_s"], [75, 25]))),
                timing["images"],
                timing["threads"],
                timing["device"],
            ]
            for timing in timings
            if not timing["failed"]
        ],
        columns=POINT + columns,
    )


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
