"""The records and the table of whole datasets as one stream."""

import shutil

import pandas as pd
import pytest
from runs import MadeUpRun

import codecbench as cb
from codecbench.analysis import sets
from codecbench.store.folder import RunFolder


@pytest.fixture
def made_up(tmp_path):
    return MadeUpRun(tmp_path / "run", {"mnist": (28, 28, 1), "stl10": (64, 64, 3)}, ["exact", "other"])


def test_the_table_has_one_row_a_point(made_up):
    store = made_up.store
    empty = cb.load_run(store.path).sets()
    assert (tuple(empty.columns), len(empty)) == (tuple(sets.COLUMNS), 0)
    made_up.whole_set(1, "stl10", set_bytes=4096)
    made_up.whole_set(2, failed="ValueError: no")
    made_up.whole_set(3, set_bytes=980)
    made_up.whole_set(4, codec="other")
    made_up.whole_set(5, codec="other", skipped="too large")
    table = sets.table(RunFolder(store.path))
    assert list(table.columns) == list(sets.COLUMNS)
    assert list(table["settings"]) == ["level=4", "level=3", "level=2", "level=5", "level=1"]
    assert list(table["status"]) == ["", "", "failed: ValueError: no", "skipped: too large", ""]
    assert table["bits_per_pixel"].dropna().tolist() == [1.0, 1.25, 1.0], "pixels, whatever the channels"
    assert table["bits_per_image"].dropna().tolist() == [784.0, 980.0, 4096.0]
    assert table["set_bytes"].dropna().tolist() == [784, 980, 4096]


def test_a_published_run_has_the_table_as_it_was_written(made_up):
    made_up.whole_set(1)
    made_up.whole_set(2, failed="no")
    made_up.usual()
    table = sets.table(made_up.store)
    (made_up.store.path / sets.CSV).write_text(table.to_csv(index=False))
    (made_up.store.path / "summary.csv").touch()
    for folder in ("parts", "sets"):
        shutil.rmtree(made_up.store.path / folder)
    pd.testing.assert_frame_equal(sets.table(RunFolder(made_up.store.path)), table, check_dtype=False)
