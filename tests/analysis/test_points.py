"""What curves are made of: points of one swept setting, rates at a quality, points that stand for their codec."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from runs import MadeUpRun

from codecbench.analysis import points as curves
from codecbench.analysis.points import annotate
from codecbench.analysis.summary import summarise
from codecbench.store.folder import RunFolder


@pytest.fixture(scope="module")
def usual(usual_folder: Path) -> pd.DataFrame:
    store = RunFolder.existing(usual_folder)
    return annotate(summarise(store), store.manifest)


def test_a_lossless_mode_does_not_split_the_curve(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (4, 4, 3)}, ["webp"])
    run.point("a", "webp", {"mode": "lossy", "quality": 10}, num_bytes=10)
    run.point("a", "webp", {"mode": "lossy", "quality": 50}, num_bytes=20)
    run.point("a", "webp", {"mode": "lossless", "quality": 75}, mse=0.0, lossless=True)
    assert set(annotate(summarise(run.store), run.store.manifest)["curve"]) == {""}


def test_settings_read_back_with_escaped_commas() -> None:
    assert curves.read_settings(r"path=a\,b,quality=75") == {"path": r"a\,b", "quality": "75"}


def test_the_rate_at_a_quality_is_interpolated_over_log_rate_and_never_extrapolated(usual: pd.DataFrame) -> None:
    lossy = usual[(usual["dataset"] == "mnist") & (usual["codec"] == "lossy")]
    low, high = 8 * 20 / 784, 8 * 40 / 784
    assert curves.rate_at(lossy, 25.0) == pytest.approx(math.sqrt(low * high))
    assert curves.rate_at(lossy, 30.0) == pytest.approx(high)
    assert math.isnan(curves.rate_at(lossy, 19.9))
    assert math.isnan(curves.rate_at(lossy, 40.1))
    assert math.isnan(curves.rate_at(lossy.iloc[:1], 30.0))


def test_points_that_stand_for_their_codec(usual: pd.DataFrame) -> None:
    table = curves.overview(*[usual[usual["dataset"] == "mnist"]] * 2)
    assert list(table["codec"]) == ["lossy", "net", "exact"]
    assert table["settings"].iloc[0] == "quality=50"
    assert table["rate_lossless"].iloc[2] == pytest.approx(8 * 120 / 784)
    assert table["rate_at_target"].isna().tolist() == [False, True, True]


def test_the_shared_rate_is_the_median_and_each_codec_comes_nearest_to_it(usual: pd.DataFrame) -> None:
    points = usual[usual["dataset"] == "mnist"]
    assert curves.target_rate(points)[0] == pytest.approx(8 * math.sqrt(40 * 32) / 784)
    chosen = curves.nearest_rate(points, curves.target_rate(points)[0])
    assert list(chosen["codec"]) == ["net", "lossy", "exact"]
    assert list(chosen["bits_per_image"]) == [256, 320, 960]
