"""The bootstrap over images: what it replicates, that it is paired, and that its intervals cover."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from runs import MadeUpRun

from codecbench.analysis.bd_rate import table
from codecbench.analysis.bootstrap import BLOCK, Weights, interval, resample
from codecbench.analysis.points import annotate
from codecbench.analysis.summary import summarise


def made_up(path: Path, chunks: list[range], twin: bool = False) -> MadeUpRun:
    """Two codecs over 40 images in parts; the second is the first once more where ``twin``."""
    run = MadeUpRun(path, {"mnist": (28, 28, 1)}, ["jpeg", "other"])
    rng = np.random.default_rng(0)
    for codec, quality in itertools.product(("jpeg", "other"), (10, 50, 90)):
        if twin:
            rng = np.random.default_rng(quality)
        sizes, errors = rng.integers(50, 100, 40) * quality, rng.uniform(0.5, 1.5, 40) * (0.1 / quality) ** 1.5
        errors[:3] = 0.0  # restored exactly
        for chunk in chunks:
            run.point(
                "mnist", codec, {"quality": quality}, num_bytes=sizes[list(chunk)], mse=errors[list(chunk)],
                ssim=1 - 1 / quality, indices=chunk,
            )  # fmt: skip
    return run


def test_every_mean_is_that_of_the_weighted_images(tmp_path: Path) -> None:
    run = made_up(tmp_path, [range(30, 40), range(7), range(7, 30)])
    found = resample(run.store, summarise(run.store), replicates=50)
    rows = run.store.rows()
    rows = rows[(rows["codec"] == "jpeg") & (rows["settings"] == "quality=50")].sort_values("image")
    weights, _ = Weights(50, 0).of("mnist", np.arange(40))
    bits, mse = 8.0 * rows["num_bytes"].to_numpy(), rows["mse"].to_numpy()
    means = found.means["mnist", "jpeg", "quality=50"]
    total = weights.sum(axis=0)
    np.testing.assert_allclose(means["bits_per_image"], bits @ weights / total)
    np.testing.assert_allclose(means["bits_per_pixel"], bits @ weights / (784 * total))
    np.testing.assert_allclose(means["mse"], mse @ weights / total)
    np.testing.assert_allclose(means["psnr_of_mean_mse_db"], -10 * np.log10(mse @ weights / total))
    lossy = mse > 0
    np.testing.assert_allclose(
        means["psnr_db"], -10 * np.log10(mse[lossy]) @ weights[lossy] / weights[lossy].sum(axis=0)
    )
    assert np.isnan(means["payload_bits_per_image"]).all()  # no container bytes are known here
    assert found.images["mnist", "jpeg", "quality=50"] == 40


def test_payload_is_known_only_where_it_is_of_every_image(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"mnist": (28, 28, 1)}, ["all", "some"])
    for codec, unknown in (("all", 6.0), ("some", np.nan)):
        run.point("mnist", codec, num_bytes=10, container_bytes=[4.0] * 4, indices=range(4))
        run.point("mnist", codec, num_bytes=10, container_bytes=[4.0] * 3 + [unknown], indices=range(4, 8))
    found = resample(run.store, summarise(run.store), replicates=200).means
    payload = found["mnist", "all", ""]["payload_bits_per_pixel"]
    assert np.nanmean(payload) == pytest.approx(8 * (6 * 7 + 4) / 8 / 784, rel=0.05)
    assert np.isnan(found["mnist", "some", ""]["payload_bits_per_image"]).all()
    assert np.isfinite(found["mnist", "some", ""]["bits_per_image"]).any()


def test_weights_are_those_of_the_image_whoever_asks() -> None:
    weights = Weights(30, 1)
    images = np.array([3, BLOCK + 5, 70_000])
    found, total = weights.of("mnist", images)
    np.testing.assert_array_equal(found.sum(axis=0), total)
    again = Weights(30, 1)
    again.of("stl10", np.arange(BLOCK))
    np.testing.assert_array_equal(again.of("mnist", images[::-1])[0], found[::-1])
    assert (Weights(30, 2).of("mnist", images)[0] != found).any()
    assert (weights.of("stl10", images)[0] != found).any()
    many, _ = weights.of("mnist", np.arange(3 * BLOCK))
    assert many.mean() == pytest.approx(1.0, abs=0.02)
    assert many.var() == pytest.approx(1.0, abs=0.03)
    assert abs(np.corrcoef(many[:BLOCK, 0], many[BLOCK : 2 * BLOCK, 0])[0, 1]) < 0.12  # blocks differ


def test_equal_codecs_differ_by_nothing_in_every_replicate(tmp_path: Path) -> None:
    run = made_up(tmp_path, [range(40)], twin=True)
    points = annotate(summarise(run.store), run.store.manifest)
    row = table(points, "jpeg", resampled=resample(run.store, points)).set_index("codec").loc["other"]
    assert row["bd_rate_percent"] == pytest.approx(0.0, abs=1e-9)
    assert (row["low_percent"], row["high_percent"]) == (pytest.approx(0.0, abs=1e-9), pytest.approx(0.0, abs=1e-9))


def test_intervals_cover_the_true_mean() -> None:
    values = np.random.default_rng(0).lognormal(0.0, 0.7, (200, 100))
    weights, _ = Weights(200, 0).of("d", np.arange(values.size))
    weights = weights.reshape(200, 100, 200)
    replicated = (values[:, None] @ weights)[:, 0] / weights.sum(axis=1)
    inside = sum(low <= np.exp(0.7**2 / 2) <= high for low, high in map(interval, replicated))
    assert 0.88 <= inside / 200 <= 0.98  # a percentile interval of 100 skewed values: a little below 0.95


def test_an_interval_needs_nearly_all_replicates() -> None:
    values = np.arange(100.0)
    assert interval(values) == pytest.approx((2.475, 96.525))
    values[:5] = np.nan
    assert interval(values)[0] == pytest.approx(5 + 94 * 0.025)
    values[5] = np.nan
    assert np.isnan(interval(values)).all()
    assert np.isnan(interval(np.full(3, np.nan))).all()
