from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from runs import MadeUpRun, usual_run

from codecbench.analysis import COLUMNS, summarise, summarise_rows


def only(table: pd.DataFrame) -> pd.Series:
    assert len(table) == 1
    return table.iloc[0]


def test_means_of_one_point_by_hand(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (2, 4, 3)}, ["c"])
    run.point("a", "c", {"q": 1}, num_bytes=[3, 5], mse=[0.01, 0.0001], ssim=0.5, indices=[0, 1])
    row = only(summarise_rows(run.store.rows()))
    assert row["images"] == 2
    assert row["bits_per_image"] == 32
    assert row["bits_per_pixel"] == 4
    assert row["compression_ratio"] == 6  # 24 samples of 8 bits over 32 bits
    assert row["compression_ratio_float32"] == 24
    assert row["mse"] == pytest.approx(0.00505)
    assert row["psnr_db"] == pytest.approx(30.0)  # of 20 and 40 dB
    assert row["psnr_of_mean_mse_db"] == pytest.approx(-10 * math.log10(0.00505))
    assert row["ssim"] == 0.5


def test_exact_images_do_not_enter_the_mean_psnr(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (2, 2, 1)}, ["c"])
    run.point("a", "c", mse=[0.01, 0.0, 0.0], indices=[0, 1, 2])
    row = only(summarise(run.store))
    assert row["psnr_db"] == pytest.approx(20.0)
    assert row["exact_images"] == 2
    assert row["psnr_of_mean_mse_db"] == pytest.approx(-10 * math.log10(0.01 / 3))
    assert not row["lossless"]


def test_lossless_is_a_flag_and_has_no_psnr(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (2, 2, 1)}, ["c"])
    run.point("a", "c", mse=0.0, lossless=True)
    row = only(summarise(run.store))
    assert row["lossless"]
    assert math.isnan(row["psnr_db"])
    assert math.isnan(row["psnr_of_mean_mse_db"])
    assert row["max_abs_error"] == 0


def test_mixed_shapes_weigh_by_pixels(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (2, 2, 1)}, ["c"])
    run.point("a", "c", num_bytes=1, indices=[0], shape=(2, 2, 1))
    run.point("a", "c", num_bytes=9, indices=[1], shape=(4, 4, 3))
    row = only(summarise(run.store))
    assert row["images"] == 2
    assert row["bits_per_image"] == 40
    assert row["bits_per_pixel"] == 80 / 20
    assert row["compression_ratio"] == 8 * (4 + 48) / 80


def test_empty_streams_have_no_ratio(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (2, 2, 1)}, ["c"])
    run.point("a", "c", num_bytes=0)
    row = only(summarise(run.store))
    assert row["bits_per_pixel"] == 0
    assert math.isnan(row["compression_ratio"])


def test_ssim_that_does_not_exist_stays_null(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (2, 2, 1)}, ["c"])
    run.point("a", "c", ssim=math.nan)
    assert math.isnan(only(summarise(run.store))["ssim"])


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


def test_times_are_medians_with_their_spread(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (2, 2, 1)}, ["c", "d"])
    run.point("a", "c", encode_s=(1.0, 2.0, 4.0), decode_s=(0.5, 0.5))
    run.point("a", "d")
    timed, untimed = summarise(run.store).to_dict("records")
    assert (timed["encode_s"], timed["encode_iqr_s"]) == (2.0, 1.5)
    assert (timed["decode_s"], timed["decode_iqr_s"]) == (0.5, 0.0)
    assert (timed["timed_images"], timed["threads"], timed["device"]) == (8, 1, "cpu")
    assert math.isnan(untimed["encode_s"])
    assert pd.isna(untimed["threads"])


def test_out_of_domain_follows_the_family(tmp_path: Path) -> None:
    table = summarise(usual_run(tmp_path).store)
    foreign = table[table["out_of_domain"]]
    assert set(zip(foreign["dataset"], foreign["codec"], strict=True)) == {("stl10", "net")}


def test_rows_come_by_dataset_codec_and_rate(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"z": (2, 2, 1), "a": (2, 2, 1)}, ["c"])
    for label in ("a", "z"):
        run.point(label, "c", {"q": 1}, num_bytes=9)
        run.point(label, "c", {"q": 2}, num_bytes=4)
    table = summarise(run.store)
    assert list(table["dataset"]) == ["z", "z", "a", "a"]
    assert list(table["settings"]) == ["q=2", "q=1"] * 2


@pytest.mark.parametrize("what", ["nothing", "failure", "point"])
def test_columns_and_types_do_not_depend_on_what_is_missing(tmp_path: Path, what: str) -> None:
    full = summarise(usual_run(tmp_path / "full").store)
    run = MadeUpRun(tmp_path / "poor", {"a": (2, 2, 1)}, ["c"])
    if what == "failure":
        run.failure("a", "c", "why")
    elif what == "point":
        run.point("a", "c", ssim=math.nan)
    table = summarise(run.store)
    assert list(table.columns) == COLUMNS
    assert dict(table.dtypes) == dict(full.dtypes)
