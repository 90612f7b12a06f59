from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from runs import MadeUpRun

from codecbench.analysis.aggregate import READ, Sums, aggregate, exact_sum
from codecbench.analysis.summary import columns, summarise
from codecbench.store.folder import RunFolder


def only(table: pd.DataFrame) -> pd.Series:
    assert len(table) == 1
    return table.iloc[0]


def test_means_by_hand(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (2, 4, 3)}, ["usual", "partly", "exact", "mixed", "empty"])
    run.point(
        "a",
        "usual",
        {"q": 1},
        num_bytes=[3, 5],
        mse=[0.01, 0.0001],
        ssim=0.5,
        indices=[0, 1],
        container_bytes=[1, math.nan],
    )
    run.point("a", "partly", mse=[0.01, 0.0, 0.0], indices=[0, 1, 2])
    run.point("a", "exact", mse=0.0, lossless=True)
    run.point("a", "mixed", num_bytes=1, indices=[0], shape=(2, 2, 1), container_bytes=1)
    run.point("a", "mixed", num_bytes=9, mse=0.0, indices=[1], shape=(4, 4, 3), container_bytes=5)
    run.point("a", "empty", num_bytes=0, ssim=math.nan)
    table = summarise(run.store).set_index("codec")

    usual = table.loc["usual"]
    assert tuple(usual[["images", "bits_per_image", "bits_per_pixel", "ssim"]]) == (2, 32, 4, 0.5)
    assert usual["compression_ratio"] == 6  # 24 samples of 8 bits over 32 bits
    assert usual["compression_ratio_float32"] == 24
    assert usual["mse"] == pytest.approx(0.00505)
    assert usual["psnr_db"] == pytest.approx(30.0)  # of 20 and 40 dB
    assert usual["psnr_of_mean_mse_db"] == pytest.approx(-10 * math.log10(0.00505))
    assert math.isnan(usual["payload_bits_per_image"]), "known of one of the two images"

    partly = table.loc["partly"]  # exact images do not enter the mean PSNR
    assert (partly["psnr_db"], partly["exact_images"], partly["lossless"]) == (pytest.approx(20.0), 2, False)
    assert partly["psnr_of_mean_mse_db"] == pytest.approx(-10 * math.log10(0.01 / 3))
    exact = table.loc["exact"]
    assert (exact["lossless"], exact["max_abs_error"]) == (True, 0)
    assert math.isnan(exact["psnr_db"])
    assert math.isnan(exact["psnr_of_mean_mse_db"])

    mixed = table.loc["mixed"]  # shapes weigh by pixels
    assert tuple(mixed[["images", "bits_per_image", "bits_per_pixel"]]) == (2, 40, 80 / 20)
    assert mixed["compression_ratio"] == 8 * (4 + 48) / 80
    assert tuple(mixed[["payload_bits_per_image", "payload_bits_per_pixel"]]) == (16, 32 / 20)
    assert tuple(mixed[["exact_pixels", "max_abs_error"]]) == ((0.5 * 4 + 16) / 20, 3)
    assert mixed["ssim"] == pytest.approx(0.95)
    empty = table.loc["empty"]
    assert empty["bits_per_pixel"] == 0
    assert math.isnan(empty["compression_ratio"])
    assert math.isnan(empty["ssim"])


def test_failures_stand_beside_results(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (2, 2, 1)}, ["c", "d"])
    run.point("a", "c", indices=range(3))
    run.failure("a", "c", "first")
    run.failure("a", "d", "second", {"q": 1})
    table = summarise(run.store)
    assert list(table["codec"]) == ["c", "d"]
    assert list(table["images"]) == [3, 0]
    assert list(table["failed"]) == [8, 8]
    assert list(table["reason"]) == ["first", "second"]
    assert math.isnan(table["bits_per_pixel"][1])
    assert not table["lossless"].any()


def test_rows_come_by_dataset_codec_and_rate(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"z": (2, 2, 1), "a": (2, 2, 1)}, [], {"c": ("z",)})
    for label in ("a", "z"):
        run.point(label, "c", {"q": 1}, num_bytes=9)
        run.point(label, "c", {"q": 2}, num_bytes=4)
    table = summarise(run.store)
    assert list(table["dataset"]) == ["z", "z", "a", "a"]
    assert list(table["settings"]) == ["q=2", "q=1"] * 2
    assert list(table["out_of_domain"]) == [False, False, True, True]


# ---- part by part -------------------------------------------------------------------------------------------------


def odd_run(path: Path) -> MadeUpRun:
    """Points of several parts each, with mixed shapes, exact images and values that are missing."""
    rng = np.random.default_rng(0)
    run = MadeUpRun(path, {"a": (12, 16, 1), "b": (5, 7, 3)}, ["c", "d", "blind"])
    for label in run.datasets:
        for codec in ("c", "d"):
            for first in range(0, 8, 2):
                errors = rng.exponential(1e-3, 2) * (rng.random(2) < 0.7)
                shape = (4, 6, 3) if first == 4 else None
                sizes = [int(size) for size in rng.integers(0, 10**9, 2)]
                run.point(label, codec, num_bytes=sizes, mse=list(errors), indices=[first, first + 1], shape=shape)
        run.point(label, "blind", ssim=math.nan, num_bytes=0, lossless=True, mse=0.0)
    run.failure("a", "c", "why", {"q": 3})
    return run


def test_the_order_of_parts_changes_no_digit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = odd_run(tmp_path).store
    expected = aggregate(store).points
    tables = list(store.tables(READ))
    for seed in range(5):
        random.Random(seed).shuffle(tables)
        monkeypatch.setattr(RunFolder, "tables", lambda self, columns: iter(tables))
        pd.testing.assert_frame_equal(aggregate(store).points, expected, check_exact=True)


def test_sums_beyond_the_largest_number_are_no_error() -> None:
    assert exact_sum([1e308, 1e308]) == math.inf
    assert math.isnan(exact_sum([math.inf, -math.inf]))


def test_values_that_are_missing_enter_no_sum_whether_null_or_nan() -> None:
    sums = Sums()
    for ssim, error in ((pa.array([0.5, None, math.nan, 0.75]), 5), (pa.nulls(4, pa.float64()), 4)):
        columns: dict[str, Any] = {"image": [0, 1, 2, 3], "num_bytes": [1, 2, 3, 4], "mse": [0.0, 0.25, 0.5, math.nan]}
        sums.add(pa.table(columns | {"ssim": ssim, "max_abs_error": pa.array([3, None, error, 4])}), (2, 3, 3), True)
    row = sums.row()
    assert (row["images"], row["pixels"], row["samples"], row["bits"]) == (8, 48, 144, 160.0)
    assert (row["ssim"], row["mse"], row["exact_images"], row["max_abs_error"]) == (0.625, 0.25, 2, 5.0)
    assert row["psnr_db"] == pytest.approx(-5 * math.log10(0.125))
    assert all(math.isnan(row[name]) for name in ("mse_float", "estimated_bits", "equal_pixels"))


def test_a_damaged_part_is_set_aside_and_does_not_count(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (2, 2, 1)}, ["c"])
    run.point("a", "c", num_bytes=10, indices=range(4))
    damaged = run.point("a", "c", num_bytes=30, indices=range(4, 8))
    part = tmp_path / "parts" / f"{damaged.id}.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    row = only(summarise(run.store))
    assert (row["images"], row["bits_per_image"]) == (4, 80)
    assert run.store.damaged() == [f"{damaged.id}.json.damaged", f"{damaged.id}.parquet.damaged"]


# ---- times --------------------------------------------------------------------------------------------------------


def test_columns_of_times_by_hand(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (100, 200, 3)}, ["c", "single", "untimed"])
    record = {
        "batch": 16,
        "encode_cpu_s": (0.5, 0.1, 0.2, 0.3, 0.4),
        "decode_cpu_s": (0.45,) * 5,
        "encode_latency_s": (3.0, 1.0, 2.0, 5.0, 4.0),
        "decode_latency_s": (0.7,) * 5,
        "cold_encode_s": 9.0,
        "cold_decode_s": 8.0,
        "encode_peak_bytes": 2**40 + 1,
        "decode_peak_bytes": 1000,
        "device_peak_bytes": 77,
        "transfer_s": 0.001,
        "shape": (100, 200, 3),
        "host": "a1b2c3d4",
    }
    run.point("a", "c", encode_s=(0.2, 0.1, 0.25, 0.3, 0.2), decode_s=(0.5, 0.1, 0.4, 0.9, 0.5), timing=record)
    run.point("a", "single", encode_s=(1.0,) * 5)
    run.point("a", "untimed")
    row, single, untimed = summarise(run.store).to_dict("records")
    expected = {"encode_s": 0.2, "encode_iqr_s": 0.05, "encode_min_s": 0.1, "encode_cpu_s": 0.3, "decode_iqr_s": 0.1}
    expected |= {"encode_latency_s": 3.0, "decode_latency_s": 0.7, "transfer_s": 0.001}
    expected |= {"encode_images_per_s": 5.0, "decode_images_per_s": 2.0}
    expected |= {"encode_megapixels_per_s": 0.1, "decode_megapixels_per_s": 0.04}  # of images of 0.02 megapixels
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    kept = ["batch", "cold_encode_s", "cold_decode_s", "encode_peak_bytes", "decode_peak_bytes", "device_peak_bytes"]
    assert {name: row[name] for name in kept} == {name: record[name] for name in kept}
    assert (row["timed_on"], row["timed_images"], row["threads"], row["device"]) == ("a1b2c3d4", 8, 1, "cpu")
    assert not row["unsteady"], "spreads of exactly a quarter are not above it"
    latency = (single["batch"], single["encode_latency_s"], single["decode_latency_s"])
    assert latency == (1, 1.0, 2e-5), "a codec that works image by image takes as long for a single one"
    assert math.isnan(untimed["encode_s"])
    assert pd.isna(untimed["threads"])


STEADY = (1.0,) * 5


@pytest.mark.parametrize(
    ("encode_s", "decode_s", "cpu_s", "expected"),
    [
        ((1.0, 1.0, 1.0, 1.2, 1.2), STEADY, 1.0, False),
        ((1.0, 1.0, 1.0, 1.3, 1.3), STEADY, 1.0, True),
        (STEADY, (0.6, 0.6, 1.0, 1.0, 1.0), 1.0, True),
        (STEADY, STEADY, 0.92, False),
        (STEADY, STEADY, 0.85, True),  # the thread did not have the processor
    ],
)
def test_times_that_are_unsteady_in_either_direction(
    tmp_path: Path, encode_s: tuple[float, ...], decode_s: tuple[float, ...], cpu_s: float, expected: bool
) -> None:
    run = MadeUpRun(tmp_path, {"a": (2, 2, 1)}, ["c", "untimed"])
    record = {"encode_cpu_s": STEADY, "decode_cpu_s": (cpu_s,) * 5}
    run.point("a", "c", encode_s=encode_s, decode_s=decode_s, timing=record)
    run.point("a", "untimed")
    assert list(summarise(run.store)["unsteady"]) == [expected, False]


@pytest.mark.parametrize("what", ["nothing", "failure", "point"])
def test_columns_and_types_do_not_depend_on_what_is_missing(tmp_path: Path, usual_folder: Path, what: str) -> None:
    full = summarise(RunFolder.existing(usual_folder))
    run = MadeUpRun(tmp_path, {"a": (2, 2, 1)}, ["c"])
    if what == "failure":
        run.failure("a", "c", "why")
    elif what == "point":
        run.point("a", "c", ssim=math.nan)
    table = summarise(run.store)
    assert list(table.columns) == list(columns())
    assert dict(table.dtypes) == dict(full.dtypes)
