"""Published runs: a summary that is read back equals the one that was written."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from runs import MadeUpRun, usual_run

import codecbench as cb
from codecbench.analysis.summary import read_summary, summarise
from codecbench.errors import StoreError


def odd_run(path: Path) -> MadeUpRun:
    """The usual points and failures, skips, missing times and a reason that looks like a missing value."""
    skip = {"dataset": "NA", "codec": "null:q=1", "images": 8, "reason": "too small, they say"}
    datasets: dict[str, Any] = {"mnist": (28, 28, 1), "NA": (4, 4, 3)}
    run = MadeUpRun(path, datasets, ["lossy", "exact", "null"], {"net": ("mnist",)}, skipped=[skip]).usual()
    run.point("mnist", "lossy", {"quality": 5}, mse=[0.1, 1 / 3, *[0.0] * 6], num_bytes=[7, 11, *[13] * 6])
    run.point("NA", "lossy", {"quality": 5}, ssim=math.nan)
    run.failure("mnist", "null", "nan")
    return run


def write_table(run: MadeUpRun) -> Path:
    """Writes ``summary.csv`` as a report does, without drawing one."""
    content = summarise(run.store).to_csv(index=False, lineterminator="\n").encode()
    return run.store.write_file("summary.csv", content)


def test_the_table_comes_back_as_it_was_and_parts_come_before_it(tmp_path: Path) -> None:
    run = odd_run(tmp_path)
    file = write_table(run)
    run.point("mnist", "exact", {"level": 2}, num_bytes=60, mse=0.0)
    whole = cb.load_run(tmp_path).summary()
    assert len(whole) == len(read_summary(file)) + 1
    write_table(run)
    shutil.rmtree(tmp_path / "parts")
    shutil.rmtree(tmp_path / "timings")
    pd.testing.assert_frame_equal(cb.load_run(tmp_path).summary(), whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "", "cannot be read: EmptyDataError"),
        (lambda text: text.replace("batch", "batches"), "is no summary of a run: it has no column batch"),
        (lambda text: text.replace(",8,", ",many,"), "cannot be read: ValueError"),
    ],
    ids=["empty", "a column less", "no number"],
)
def test_what_is_no_summary_is_said_in_one_line(change: Callable[[str], str], words: str, tmp_path: Path) -> None:
    file = write_table(usual_run(tmp_path))
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(StoreError, match=words) as caught:
        read_summary(file)
    assert "\n" not in str(caught.value)
