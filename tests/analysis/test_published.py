"""Published runs: a summary that is read back equals the one that was written."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from runs import MadeUpRun, usual_run

import codecbench as cb
from codecbench.analysis.summary import columns, read_summary, summarise
from codecbench.errors import StoreError


def odd_run(path: Path) -> MadeUpRun:
    """Failures, skips, missing times and a reason that looks like a missing value."""
    run = MadeUpRun(
        path,
        {"mnist": (28, 28, 1), "NA": (4, 4, 3)},
        ["c", "null"],
        skipped=[{"dataset": "NA", "codec": "null:q=1", "images": 8, "reason": "too small, they say"}],
    )
    run.point(
        "mnist",
        "c",
        mse=[0.1, 1 / 3, *[0.0] * 6],
        num_bytes=[7, 11, *[13] * 6],
        encode_s=(1e-5, 3e-5, 3e-5, 4e-5, 9e-5),
    )
    run.point("NA", "c", ssim=math.nan)
    run.failure("mnist", "null", "nan")
    return run


def write_table(run: MadeUpRun) -> Path:
    """Writes ``summary.csv`` as a report does, without drawing one."""
    content = summarise(run.store).to_csv(index=False, lineterminator="\n").encode()
    return run.store.write_file("summary.csv", content)


@pytest.mark.parametrize("make", [usual_run, odd_run])
def test_the_table_comes_back_as_it_was(make: Callable[[Path], MadeUpRun], tmp_path: Path) -> None:
    run = make(tmp_path)
    write_table(run)
    whole = cb.load_run(tmp_path).summary()
    shutil.rmtree(tmp_path / "parts")
    shutil.rmtree(tmp_path / "timings")
    pd.testing.assert_frame_equal(cb.load_run(tmp_path).summary(), whole)


def test_parts_come_before_the_table(tmp_path: Path) -> None:
    run = usual_run(tmp_path)
    write_table(run)
    run.point("mnist", "exact", {"level": 2}, num_bytes=60, mse=0.0)
    assert len(cb.load_run(tmp_path).summary()) == len(read_summary(tmp_path / "summary.csv")) + 1


def test_the_published_reference_run_can_be_read() -> None:
    found = read_summary(Path(__file__).parents[2] / "results" / "reference" / "summary.csv")
    assert list(found.columns) == list(columns(["ms_ssim", "psnr_y_db"]))
    timed = found[found["encode_s"].notna()]
    assert len(timed) > 100
    seconds = timed[["encode_s", "decode_s"]].to_numpy()
    spread = (timed[["encode_iqr_s", "decode_iqr_s"]].to_numpy() / seconds).max(axis=1) > 0.25
    elsewhere = (timed[["encode_cpu_s", "decode_cpu_s"]].to_numpy() / seconds).min(axis=1) < 0.9
    assert list(timed["unsteady"]) == list(spread | elsewhere)


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
