from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from runs import MadeUpRun

from codecbench.analysis.aggregate import MEANS, POINT, READ, Sums, aggregate, derive, exact_sum
from codecbench.analysis.summary import columns, summarise
from codecbench.measure.distortion import psnr_db
from codecbench.store.folder import RunFolder, StoredRun


def only(table: pd.DataFrame) -> pd.Series:
    assert len(table) == 1
    return table.iloc[0]


def test_means_by_hand(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (2, 4, 3)}, ["usual", "partly", "exact", "mixed", "empty"])
    run.point("a", "usual", {"q": 1}, num_bytes=[3, 5], mse=[0.01, 0.0001], ssim=0.5, indices=[0, 1])
    run.point("a", "partly", mse=[0.01, 0.0, 0.0], indices=[0, 1, 2])
    run.point("a", "exact", mse=0.0, lossless=True)
    run.point("a", "mixed", num_bytes=1, indices=[0], shape=(2, 2, 1))
    run.point("a", "mixed", num_bytes=9, indices=[1], shape=(4, 4, 3))
    run.point("a", "empty", num_bytes=0, ssim=math.nan)
    table = summarise(run.store).set_index("codec")

    usual = table.loc["usual"]
    assert tuple(usual[["images", "bits_per_image", "bits_per_pixel", "ssim"]]) == (2, 32, 4, 0.5)
    assert usual["compression_ratio"] == 6  # 24 samples of 8 bits over 32 bits
    assert usual["compression_ratio_float32"] == 24
    assert usual["mse"] == pytest.approx(0.00505)
    assert usual["psnr_db"] == pytest.approx(30.0)  # of 20 and 40 dB
    assert usual["psnr_of_mean_mse_db"] == pytest.approx(-10 * math.log10(0.00505))

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


def odd_run(path: Path, seed: int = 0) -> MadeUpRun:
    """Points of several parts each, with mixed shapes, exact images and values that are missing."""
    rng = np.random.default_rng(seed)
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


@pytest.fixture(scope="module")
def odd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_run(tmp_path_factory.mktemp("odd")).store.path


def sums_of_rows(rows: pd.DataFrame, metrics: Sequence[str] = ()) -> pd.DataFrame:
    """One row a point from per-image rows in memory, by pandas' own means: what reading part by part must give."""
    frame = rows.copy()
    frame["bits"] = 8.0 * frame["num_bytes"].astype(float)
    frame["pixels"] = frame["height"].astype(np.int64) * frame["width"]
    frame["samples"] = frame["pixels"] * frame["channels"]
    mse = frame["mse"].astype(float)
    frame["exact"] = mse == 0.0
    frame["equal_pixels"] = frame["exact_pixels"].astype(float) * frame["pixels"]
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


def by_point(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(POINT).reset_index(drop=True)


def test_part_by_part_is_what_pandas_says_of_all_rows(odd_folder: Path) -> None:
    store = RunFolder.existing(odd_folder)
    streamed, whole = by_point(aggregate(store).points), by_point(sums_of_rows(store.rows()))
    assert len(streamed) == 6
    assert list(streamed["images"]) == [8] * 6
    pd.testing.assert_frame_equal(streamed[list(whole.columns)], whole, rtol=1e-12, atol=0, check_dtype=False)


def test_every_part_is_read_once_and_no_more_of_it_than_is_needed(
    odd_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunFolder.existing(odd_folder)
    read: list[set[str]] = []
    tables = RunFolder.tables

    def counted(self: RunFolder, columns: list[str] | None = None) -> Iterator[tuple[dict[str, Any], pa.Table]]:
        for task, table in tables(self, columns):
            read.append(set(table.column_names))
            yield task, table

    monkeypatch.setattr(RunFolder, "tables", counted)
    monkeypatch.delattr(StoredRun, "rows")
    assert len(summarise(store)) == 7
    assert read == [set(READ)] * 18


def test_the_order_of_parts_changes_no_digit(odd_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RunFolder.existing(odd_folder)
    expected = aggregate(store).points
    tables = list(store.tables(READ))
    for seed in range(5):
        random.Random(seed).shuffle(tables)
        monkeypatch.setattr(RunFolder, "tables", lambda self, columns: iter(tables))
        pd.testing.assert_frame_equal(aggregate(store).points, expected, check_exact=True)


def test_sums_are_rounded_once() -> None:
    assert exact_sum([1.0, 1e100, 1.0, -1e100]) == 2.0
    assert exact_sum([]) == 0.0
    assert exact_sum([1e308, 1e308]) == math.inf
    assert math.isnan(exact_sum([math.inf, -math.inf]))


def test_values_that_are_missing_enter_no_sum_whether_null_or_nan() -> None:
    sums = Sums()
    for ssim in (pa.array([0.5, None, math.nan, 0.75]), pa.nulls(4, pa.float64())):
        columns: dict[str, Any] = {"image": [0, 1, 2, 3], "num_bytes": [1, 2, 3, 4], "mse": [0.0, 0.25, 0.5, math.nan]}
        sums.add(pa.table(columns | {"ssim": ssim, "max_abs_error": pa.array([3, None, 5, 4])}), (2, 3, 3), True)
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


def test_what_a_report_shows_of_images_comes_from_the_same_pass(odd_folder: Path) -> None:
    store = RunFolder.existing(odd_folder)
    found = aggregate(store)
    assert found.shapes == {"a": [(4, 6, 3), (12, 16, 1)], "b": [(4, 6, 3), (5, 7, 3)]}
    rows = store.rows()
    expected = rows[rows["image"].isin([0, 1])]
    assert len(found.shown) == len(expected) == 12
    keys = [*POINT, "image"]
    merged = found.shown.merge(expected.astype(dict.fromkeys(POINT, object)), on=keys, suffixes=("", "_row"))
    assert len(merged) == 12
    assert (merged["num_bytes"] == merged["num_bytes_row"]).all()
    assert (merged["mse"] == merged["mse_row"]).all()
    assert sum(map(len, found.tasks.values())) == 18


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
