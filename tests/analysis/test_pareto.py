"""Fronts of rate against time: who is dominated by whom, and which times are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_bd_rate import Point, line, marked

from codecbench.analysis.pareto import COLUMNS, table


def timed(points: list[Point], seconds: dict[str, float], **more: Any) -> pd.DataFrame:
    found = marked(points)
    times = np.array([seconds[codec] for codec in found["codec"]])
    extra = {"encode_s": times, "encode_iqr_s": 0.1 * times, "decode_s": 2 * times, "decode_iqr_s": 0.0 * times}
    place = {"timed_on": "host", "device": "cpu", "threads": 1.0, "unsteady": False}
    return found.assign(**extra, **place, **more)


LINES = [*line("slow", 0.5), *line("middle", 0.8), *line("bad", 0.9), *line("fast", 2.0), *line("worst", 4.0)]
SECONDS = {"slow": 1.0, "middle": 0.1, "bad": 0.105, "fast": 0.01, "worst": 5.0}


def test_the_front_and_who_is_dominated() -> None:
    found = table(timed(LINES, SECONDS), quality_db=35)
    assert list(found.columns) == list(COLUMNS)
    by = found.set_index("codec")
    assert list(by.index[by["front"]]) == ["slow", "middle", "fast"]
    assert by.loc["bad", "dominated_by"] == "middle"
    assert not by.loc["bad", "clear"]  # 5 % slower, with spreads of 10 %
    assert by.loc["worst", "dominated_by"] == "slow"  # of those that beat it, the one of fewest bits
    assert by.loc["worst", "clear"]
    assert by.loc["slow", "bits_per_pixel"] == pytest.approx(0.5 * 2 ** (5 / 4))
    assert (by["dominated_by"][by["front"]] == "").all()
    assert table(timed(LINES, SECONDS), quality_db=35, cost="decode_s").set_index("codec").loc["bad", "clear"]


def test_time_is_read_along_the_line() -> None:
    points = timed(line("a", 1.0, 30, 32), {"a": 1.0})
    points["encode_s"], points["encode_iqr_s"], points["unsteady"] = [1.0, 4.0], [0.1, 0.3], [False, True]
    row = table(points, quality_db=31).iloc[0]
    assert row["cost_s"] == pytest.approx(2.0)
    assert (row["cost_iqr_s"], row["unsteady"], row["settings"]) == (0.3, True, "q=30 | q=32")
    at = table(points, quality_db=30).iloc[0]
    assert (at["cost_s"], at["unsteady"], at["settings"]) == (1.0, False, "q=30")


def test_times_of_two_machines_are_never_compared() -> None:
    points = timed(LINES, SECONDS)
    points["timed_on"] = np.where(points["codec"] == "worst", "other", "host")
    by = table(points, quality_db=35).set_index("codec")
    assert by.loc["worst", "front"]
    points["timed_on"] = np.where((points["codec"] == "worst") & (points["psnr_db"] > 34), "other", "host")
    by = table(points, quality_db=35).set_index("codec")
    assert by.loc["worst", "status"] == "not available: the times on either side differ in timed_on"
    assert not by.loc["worst", "front"]


def test_equal_rows_share_the_front() -> None:
    by = table(timed([*line("a", 1.0), *line("b", 1.0)], {"a": 1.0, "b": 1.0}), quality_db=35)
    assert by["front"].all()


def test_why_a_line_is_not_there() -> None:
    points = timed(
        [*line("a", 1.0), *line("high", 1.0, 36, 40), ("one", "", 1.0, 34.0)], {"a": 1.0, "high": 1.0, "one": 1.0}
    )
    points.loc[points["codec"] == "a", "encode_s"] = np.nan
    by = table(points, quality_db=35).set_index("codec")
    assert by.loc["a", "status"] == "not available: no time taken"
    assert by.loc["a", "bits_per_pixel"] > 0
    assert by.loc["high", "status"] == "not available: its worst is 36.0 dB"
    assert by.loc["one", "status"] == "not available: one point, at 34.0 dB"
    assert not by["front"].any()


def test_lossless_codecs_have_a_front_of_their_own() -> None:
    exact = [("small", "l=1", 4.0, np.inf), ("small", "l=2", 3.0, np.inf), ("quick", "", 5.0, np.inf)]
    points = timed(
        [*exact, *line("a", 1.0), ("big", "", 6.0, np.inf)], {"small": 1.0, "quick": 0.1, "a": 1.0, "big": 2.0}
    )
    found = table(points, quality_db=35, lossless=True)
    by = found.set_index("codec")
    assert list(by.index) == ["small", "quick", "big"]
    assert (by.loc["small", "settings"], by.loc["small", "bits_per_pixel"]) == ("l=2", 3.0)
    assert list(by["front"]) == [True, True, False]
    assert by.loc["big", "dominated_by"] == "small"
    assert table(timed(LINES, SECONDS), lossless=True).empty
