"""The table of BD-rates: anchors, lines, single points, intervals, reasons; and the command that prints it."""

from __future__ import annotations

import io
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from runs import MadeUpRun

import codecbench as cb
from codecbench.analysis import bd_rate
from codecbench.analysis import sizes as savings
from codecbench.analysis.bootstrap import BootstrapMeans, resample
from codecbench.analysis.points import annotate
from codecbench.analysis.summary import summarise
from codecbench.cli.main import main
from codecbench.errors import UnknownNameError

Point = tuple[str, str, float, float]  # codec, settings, bits per pixel, PSNR


def marked(points: list[Point], dataset: str = "d", **more: Any) -> pd.DataFrame:
    """Marked points of 64 pixels an image; a point with an infinite PSNR restores every pixel."""
    table = pd.DataFrame(points, columns=["codec", "settings", "bits_per_pixel", "psnr_db"])
    exact = np.isinf(table["psnr_db"])
    table["dataset"], table["images"], table["reason"], table["out_of_domain"] = dataset, 8, "", False
    table["on_training_images"] = False
    table["exact_images"] = np.where(exact, 8, 0)
    table["psnr_db"] = table["psnr_db"].where(~exact)
    table["bits_per_image"] = 64 * table["bits_per_pixel"]
    table["payload_bits_per_image"] = table["payload_bits_per_pixel"] = np.nan
    table["ssim"] = np.where(exact, 1.0, 1 - 10 ** (-table["psnr_db"] / 20))
    manifest = {"datasets": {dataset: {"images": 8}}, "codecs": {}, "metrics": {}}
    return annotate(table.assign(**more), manifest)


def line(codec: str, factor: float, low: int = 30, high: int = 40, curve: str = "") -> list[Point]:
    """A line of points 2 dB apart whose rate doubles every 4 dB, times a factor."""
    more = f",{curve}" if curve else ""
    return [(codec, f"q={db}{more}", factor * 2 ** ((db - 30) / 4), float(db)) for db in range(low, high + 1, 2)]


def rows(table: pd.DataFrame) -> dict[str, pd.Series]:
    return {row["codec"]: row for _, row in table.iterrows()}


ALL = [
    *line("jpeg", 1.0),
    *line("better", 0.8, 32, 44),
    *line("apart", 0.5, 50, 60),
    ("single", "", 0.5, 34.0),
    ("beyond", "", 0.5, 44.0),
    ("below", "", 0.5, 20.0),
    ("exact", "level=1", 5.0, math.inf),
    ("exact", "level=2", 4.0, math.inf),
]


def test_every_kind_of_row() -> None:
    found = bd_rate.table(marked(ALL), "jpeg")
    assert list(found.columns) == list(bd_rate.COLUMNS)
    by = rows(found)
    assert list(by) == ["jpeg", "better", "apart", "single", "beyond", "below", "exact"]
    assert (by["jpeg"]["bd_rate_percent"], by["jpeg"]["status"]) == (0.0, "anchor")
    better = by["better"]
    assert better["bd_rate_percent"] == pytest.approx(-20.0)
    assert (better["from_quality"], better["to_quality"], better["overlap"]) == (32.0, 40.0, pytest.approx(0.8))
    assert (better["status"], better["best"], better["single"], better["points"]) == ("", True, False, 7)
    assert by["apart"]["status"] == "not available: 0 % overlap"
    assert not by["apart"]["best"]
    single = by["single"]
    assert single["status"] == "one point: matched at 34.0 dB"
    assert single["single"]
    assert single["bd_rate_percent"] == pytest.approx(100 * (0.5 / 2 - 1))
    assert by["beyond"]["status"] == "not available: one point, better than every one of the anchor's"
    assert by["below"]["status"] == "not available: one point, worse than every one of the anchor's"
    assert by["exact"]["status"] == "not available: restores every pixel"
    for codec in ("apart", "beyond", "below", "exact"):
        assert math.isnan(by[codec]["bd_rate_percent"])


def test_on_ssim_the_scale_is_decibels() -> None:
    by = rows(bd_rate.table(marked(ALL), "jpeg", quality="ssim"))
    found = by["better"]
    assert found["bd_rate_percent"] == pytest.approx(-20.0)  # 1 - SSIM falls tenfold every 20 dB here: straight again
    assert found["from_quality"] == pytest.approx(1 - 10**-1.6)
    assert by["single"]["status"] == "one point: matched at SSIM 0.98"


def test_a_measure_that_is_better_where_it_is_lower() -> None:
    points = marked(ALL)
    points["lpips"] = 2.0 - points["psnr_db"] / 40
    by = rows(bd_rate.table(points, "jpeg", quality="lpips"))
    assert by["better"]["bd_rate_percent"] == pytest.approx(-20.0)
    assert (by["better"]["from_quality"], by["better"]["to_quality"]) == (pytest.approx(1.2), pytest.approx(1.0))
    assert by["beyond"]["status"] == "not available: one point, better than every one of the anchor's"


def test_points_left_out_and_other_images_are_noted() -> None:
    points = marked([*line("jpeg", 1.0), *line("x", 0.8), ("x", "q=1", 9.0, 30.5), ("x", "q=2", 9.0, 31.0)])
    points.loc[points["settings"] == "q=1", "images"] = 7
    row = rows(bd_rate.table(points, "jpeg"))["x"]
    assert (row["bd_rate_percent"], row["points"], row["dropped"]) == (pytest.approx(-20.0), 8, 2)
    assert row["note"] == "2 of 8 points left out, beaten by others; over 7 of 8 images"


def test_payload() -> None:
    points = marked(ALL)
    assert set(bd_rate.table(points, "jpeg", rate="payload")["status"]) == {
        "not available: no payload known",
        "not available: restores every pixel",
    }
    payload = np.where(points["codec"] == "better", 0.5, 0.9) * points["bits_per_pixel"]
    points["payload_bits_per_pixel"] = np.where(points["codec"] == "single", np.nan, payload)
    by = rows(bd_rate.table(points, "jpeg", rate="payload"))
    assert by["better"]["bd_rate_percent"] == pytest.approx(100 * (0.8 * 0.5 / 0.9 - 1))
    assert by["single"]["status"] == "not available: no payload known"


def test_of_several_curves_the_anchor_gives_its_best_and_each_codec_is_marked() -> None:
    two = [*line("jpeg", 1.0, curve="s=a"), *line("jpeg", 0.9, 32, 40, "s=b")]
    other = [*line("x", 0.9, curve="s=a"), *line("x", 0.45, curve="s=b"), *line("y", 1.8)]
    points = marked([*two, *other])
    found = bd_rate.table(points, "jpeg")
    assert set(found["anchor_curve"]) == {"s=b"}
    assert found["bd_rate_percent"].to_numpy() == pytest.approx([100 / 9 * 1, 0, 0, -50, 100])
    assert list(found["best"]) == [False, True, False, True, True]
    assert list(found["status"]) == ["", "anchor", "", "", ""]
    other_curve = bd_rate.table(points, "jpeg", anchor_curve="s=a")
    assert other_curve["bd_rate_percent"].to_numpy() == pytest.approx([0, -10, -10, -55, 80])
    with pytest.raises(UnknownNameError, match=r"unknown curve of jpeg 's=c'.*known: s=a, s=b"):
        bd_rate.table(points, "jpeg", anchor_curve="s=c")
    elsewhere = points[(points["codec"] != "jpeg") | (points["curve"] == "s=b")].assign(dataset="e")
    both = bd_rate.table(pd.concat([points, elsewhere], ignore_index=True), "jpeg", anchor_curve="s=a")
    assert set(both.loc[both["dataset"] == "e", "status"]) == {"not available: jpeg: no curve s=a here"}
    sizes = savings.table(
        pd.concat([points, elsewhere], ignore_index=True), "jpeg", qualities_db=[35], anchor_curve="s=a"
    )
    there = sizes[(sizes["dataset"] == "e") & (sizes["codec"] != "jpeg")]
    assert set(there["status"]) == {"not available: jpeg has nothing at 35.0 dB"}
    assert there["against_anchor_percent"].isna().all()
    with pytest.raises(UnknownNameError, match=r"unknown curve of y 'q'; known: '' \(it has one\)"):
        savings.table(points, "y", anchor_curve="q")


def test_an_anchor_with_one_point_or_none() -> None:
    by = rows(bd_rate.table(marked(ALL), "single"))
    assert by["jpeg"]["status"] == "the anchor has one point: matched at 34.0 dB"
    assert by["jpeg"]["bd_rate_percent"] == pytest.approx(300)
    assert by["apart"]["status"] == "not available: the anchor has one point, beyond this codec's"
    assert by["beyond"]["status"] == "not available: one point each, of unequal quality"
    twins = marked([("a", "", 1.0, 30.0), ("b", "", 0.75, 30.0)])
    assert list(bd_rate.table(twins, "a")["bd_rate_percent"]) == pytest.approx([0, -25])
    by = rows(bd_rate.table(marked(ALL), "exact"))
    assert by["better"]["status"] == "not available: exact: restores every pixel"
    assert by["exact"]["status"] == "not available: restores every pixel"
    points = pd.concat([marked(ALL), marked(line("only", 1.0), "other")], ignore_index=True)
    there = bd_rate.table(points, "jpeg").set_index("dataset").loc["other"]
    assert there["status"] == "not available: jpeg: no results"


def test_who_is_the_anchor_where_nobody_says() -> None:
    assert bd_rate.default_anchor(marked(ALL)) == "jpeg"
    assert bd_rate.default_anchor(marked([*line("a", 1.0, 30, 34), *line("b", 1.0), ("jpeg", "", 1.0, 30.0)])) == "b"
    assert bd_rate.default_anchor(marked([("exact", "", 5.0, math.inf)])) == ""
    assert bd_rate.default_anchor(marked([("a", "", 5.0, 30.0)])) == "a"


def test_unknown_names_list_the_known_ones() -> None:
    for options, message in (
        ({"rate": "bits"}, "unknown rate 'bits'.*payload, whole"),
        ({"method": "linear"}, "method"),
    ):
        with pytest.raises(UnknownNameError, match=message):
            bd_rate.table(marked(ALL), "jpeg", **options)


# ---- intervals ------------------------------------------------------------------------------------------------------


def replicated(points: pd.DataFrame, noise: float = 0.0) -> BootstrapMeans:
    """Replicates whose rates differ from the means by a factor that all points of a replicate share."""
    factor = np.exp(noise * np.random.default_rng(0).normal(size=100))
    keys = list(zip(points["dataset"], points["codec"], points["settings"], strict=True))
    means = {
        key: {
            "bits_per_pixel": row["bits_per_pixel"] * (factor if key[1] == "better" else np.ones(100)),
            "psnr_db": np.full(100, row["psnr_db"]),
        }
        for key, (_, row) in zip(keys, points.iterrows(), strict=True)
    }
    return BootstrapMeans(100, means, dict.fromkeys(keys, 100))


@pytest.mark.parametrize("method", bd_rate.METHODS)
def test_intervals_follow_the_replicates(method: str) -> None:
    points = marked(ALL)
    by = rows(bd_rate.table(points, "jpeg", method=method, resampled=replicated(points, 0.1)))
    factor = np.exp(0.1 * np.random.default_rng(0).normal(size=100))
    expected = 100 * (0.8 * np.quantile(factor, [0.025, 0.975]) - 1)
    assert [by["better"]["low_percent"], by["better"]["high_percent"]] == pytest.approx(list(expected))
    assert list(by["single"][["bd_rate_percent", "low_percent", "high_percent"]]) == pytest.approx([-75] * 3)
    assert math.isnan(by["exact"]["low_percent"])
    assert (by["jpeg"]["low_percent"], by["jpeg"]["high_percent"]) == (0.0, 0.0)


@pytest.mark.parametrize("method", ["pchip", "akima"])
def test_replicates_together_and_one_by_one_agree(method: str) -> None:
    points = marked([*line("jpeg", 1.0), *line("better", 0.8, 33, 43)])
    resampled = replicated(points, 0.05)
    rng = np.random.default_rng(1)
    for means in resampled.means.values():
        means["psnr_db"][:] += rng.normal(
            0.0, 0.6 if method == "pchip" else 0.2, 100
        )  # in some replicates neighbours change places
    found = rows(bd_rate.table(points, "jpeg", method=method, resampled=resampled))["better"]
    values = {
        codec: [
            np.stack([means[name] for key, means in resampled.means.items() if key[1] == codec])
            for name in ("bits_per_pixel", "psnr_db")
        ]
        for codec in ("jpeg", "better")
    }
    expected = [
        bd_rate.bd_rate(*(part[:, place] for codec in values for part in values[codec]), method).percent
        for place in range(100)
    ]
    ends = np.quantile(expected, [0.025, 0.975])
    assert [found["low_percent"], found["high_percent"]] == pytest.approx(list(ends), rel=1e-6)


# ---- runs and the command -------------------------------------------------------------------------------------------


def test_a_run_and_its_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = MadeUpRun(tmp_path, {"mnist": (28, 28, 1), "stl10": (32, 32, 3)}, ["jpeg", "webp", "exact"])
    rng = np.random.default_rng(0)
    for dataset in run.datasets:
        for quality in (10, 50, 90):
            sizes, errors = rng.integers(8, 12, 8) * quality, np.full(8, 0.1 / quality)
            run.point(dataset, "jpeg", {"quality": quality}, num_bytes=sizes, mse=errors, ssim=1 - 1 / quality)
            run.point(dataset, "webp", {"quality": quality}, num_bytes=sizes // 2, mse=errors, ssim=1 - 1 / quality)
        run.point(dataset, "exact", num_bytes=2000, mse=0.0, lossless=True)
    assert main(["bd", str(tmp_path), "--csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out), keep_default_na=False, na_values=[""])
    assert list(table.columns) == list(bd_rate.COLUMNS)
    webp = table[table["codec"] == "webp"]
    assert webp["bd_rate_percent"].to_numpy() == pytest.approx([-50, -50], abs=1.0)
    assert (webp["low_percent"] <= webp["bd_rate_percent"]).all()
    assert (webp["high_percent"] - webp["low_percent"] > 0).all()  # odd sizes are halved downwards
    assert main(["bd", str(tmp_path), "--by", "ssim", "--dataset", "mnist", "--method", "akima"]) == 0
    out = capsys.readouterr().out
    assert "Bits against jpeg at equal ssim, whole files; akima" in out
    assert "exact: not available: restores every pixel" in out
    assert "stl10" not in out
    assert "-50" in out
    found = cb.load_run(tmp_path).bd_rates("webp", replicates=0)
    assert rows(found)["jpeg"]["bd_rate_percent"] == pytest.approx(100, abs=2)
    assert main(["bd", str(tmp_path), "--at", "25,30", "--dataset", "stl10"]) == 0
    out = capsys.readouterr().out
    assert "Bytes per image at equal psnr_db, whole files, against jpeg" in out
    assert "exact: not available: restores every pixel; 2,000 bytes per image" in out
    assert main(["bd", str(tmp_path), "--at", "25,30", "--csv"]) == 0
    saved = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert set(saved["quality_at"]) == {25, 30}
    assert len(saved) == 2 * 2 * 3
    for arguments, message in (
        (["--at", "25,good"], "error: --at 25,good is not allowed; allowed: numbers, such as 30,35,40"),
        (["--anchor", "jpg"], "error: unknown anchor 'jpg'; did you mean 'jpeg'? known: exact, jpeg, webp"),
        (["--anchor", ""], "error: unknown anchor ''; known: exact, jpeg, webp"),
        (["--at", "1", "--by", "ssim"], "error: the level 1 of ssim is not allowed; allowed: numbers below 1"),
        (["--by", "vmaf"], "error: unknown quality measure 'vmaf'; known: psnr_db, psnr_of_mean_mse_db, ssim"),
        (["--dataset", "kodak"], "error: unknown dataset of this run 'kodak'; known: mnist, stl10"),
    ):
        assert main(["bd", str(tmp_path), *arguments]) == 2
        assert capsys.readouterr().err.strip() == message


def test_runs_with_little_in_them(tmp_path: Path, usual_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bd", str(usual_folder), "--by", "ssim"]) == 0  # all of one SSIM: no line rises
    assert "one point" in capsys.readouterr().out
    run = MadeUpRun(tmp_path, {"mnist": (28, 28, 1)}, ["exact", "bad"])
    run.point("mnist", "exact", mse=0.0, lossless=True)
    run.failure("mnist", "bad", "ValueError: no")
    assert main(["bd", str(tmp_path)]) == 2
    assert "no codec of this run has a point to compare with" in capsys.readouterr().err
    assert main(["bd", str(tmp_path), "--anchor", "bad"]) == 0
    assert "bad: not available: ValueError: no" in capsys.readouterr().out


def test_few_images_and_published_runs_have_no_intervals(tmp_path: Path, usual_folder: Path) -> None:
    run = MadeUpRun(tmp_path / "few", {"mnist": (28, 28, 1)}, ["jpeg"])
    for quality in (10, 50):
        run.point("mnist", "jpeg", {"quality": quality}, num_bytes=quality, mse=0.1 / quality, indices=range(3))
    resampled = resample(run.store, annotate(summarise(run.store), run.store.manifest))
    assert np.isnan(resampled.values(("mnist", "jpeg", "quality=10"), "psnr_db")).all()
    shutil.copy(usual_folder / "run.json", tmp_path)
    cb.load_run(usual_folder).summary().to_csv(tmp_path / "summary.csv", index=False)
    found = cb.load_run(tmp_path).bd_rates("lossy")
    assert rows(found)["net"]["status"].startswith("one point: matched at")
    assert found["low_percent"].isna().all()
