"""Plugin metrics as columns: of rows, of summaries, of tables read back, of matches; and which values count."""

import numpy as np
import pandas as pd
import pytest
from runs import METRIC, MadeUpRun

import codecbench as cb
from codecbench.analysis import summary as analysis
from codecbench.analysis.summary import read_summary
from codecbench.errors import UnknownNameError
from codecbench.store.folder import RunFolder
from codecbench.store.manifest import Addition

METRICS = {"alike": METRIC, "apart": METRIC | {"better": "lower", "fingerprint": "another"}}


@pytest.fixture
def run(tmp_path):
    made = MadeUpRun(tmp_path, {"a": (4, 4, 3)}, ["c", "d"], metrics=METRICS)
    alike = [0.5, np.nan, 0.75, np.nan, 1.0, 0.25, 0.5, 0.0]
    made.point("a", "c", {"q": 1}, num_bytes=20, container_bytes=4, metrics={"alike": alike, "apart": 2.0})
    made.point("a", "c", {"q": 2}, num_bytes=40, container_bytes=[4.0] * 7 + [np.nan], metrics={"apart": 1.0})
    made.point("a", "d", num_bytes=30, metrics={"alike": 0.7, "apart": 1.5})
    return made


def rejoin(run, codecs, metrics):
    """Joins the folder as a command does that measures codecs with metrics."""
    held = run.store.manifest["codecs"]
    own = {name: str(record["fingerprint"]) for name, record in metrics.items()}
    described = {name: held[name] | {"metrics": own} for name in codecs}
    run.store.join(Addition({}, described, {}, [], {}, metrics))


def test_means_are_over_the_images_that_have_a_value_and_the_table_is_read_back(run):
    loaded = cb.load_run(run.store.path)
    summary = loaded.summary()
    place = list(summary.columns).index("ssim")
    assert list(summary.columns[place : place + 4]) == ["ssim", "alike", "apart", "max_abs_error"]
    np.testing.assert_array_equal(summary["alike"], [0.5, np.nan, 0.7])
    assert summary["apart"].tolist() == [2.0, 1.0, 1.5]
    assert loaded.rows()["alike"].notna().sum() == 6 + 8
    # The payload is the file without its container, where every image tells it.
    assert summary["container_bytes"].tolist()[:2] == [4.0, 4.0]
    np.testing.assert_array_equal(summary["bits_per_image"], [160.0, 320.0, 240.0])
    np.testing.assert_array_equal(summary["payload_bits_per_image"], [128.0, np.nan, np.nan])
    np.testing.assert_array_equal(summary["payload_bits_per_pixel"], [8.0, np.nan, np.nan])
    file = run.store.path / "summary.csv"
    summary.assign(of_a_later_version=1.0).to_csv(file, index=False)
    pd.testing.assert_frame_equal(read_summary(file), summary)


def test_runs_are_compared_by_the_metrics_that_are_the_same_in_both(run, tmp_path):
    edited = METRICS | {"apart": METRICS["apart"] | {"fingerprint": "edited"}, "only": METRIC}
    other = MadeUpRun(tmp_path / "other", {"a": (4, 4, 3)}, ["c", "d"], metrics=edited)
    other.point("a", "d", num_bytes=30, metrics={"alike": np.linspace(0.7, 0.77, 8), "apart": 1.0, "only": 1.0})
    other.point("a", "c", {"q": 1}, num_bytes=20, metrics={"alike": [0.4, 0.1, 0.7, 0.2, 0.9, 0.2, 0.4, np.nan]})
    found = cb.load_run(run.store.path).compare(cb.load_run(other.store.path))
    table = found.table.set_index(["codec", "measure"])
    better, worse = table.loc[("d", "alike")], table.loc[("c", "alike")]
    assert (better["verdict"], better["n"], better["difference"]) == ("better", 8, pytest.approx(0.035))
    assert (worse["verdict"], worse["n"], worse["note"]) == ("worse", 5, "over the 5 images that have it in both")
    assert not {"apart", "only"} & set(found.table["measure"])
    assert "metric apart: source changed; not compared" in found.differences
    assert "metric only: only in B" in found.differences


def test_an_edited_metric_shows_no_value_of_before(run):
    edited = METRICS | {"alike": METRIC | {"fingerprint": "edited"}}
    rejoin(run, ["d"], edited)  # c was not measured since
    store = RunFolder.existing(run.store.path)
    rows = store.rows()
    assert set(rows["codec"]) == {"c"}  # those of d are of the metric as it was
    assert "alike" not in rows or rows["alike"].isna().all()
    assert rows["apart"].notna().all()
    summary = analysis.summarise(store)
    assert summary["alike"].isna().all()
    assert summary["apart"].tolist() == [2.0, 1.0]
    rejoin(run, ["d"], METRICS)  # and back again: nothing is lost
    assert RunFolder.existing(run.store.path).rows()["alike"].notna().sum() == 6 + 8
    for label in ("a", "b"):  # what it is on each dataset is kept; a metric that no codec has any more is forgotten
        rejoin(run, ["c", "d"], {"alike": METRIC | {"variants": {label: f"of {label}"}}})
    assert {name: told["variants"] for name, told in run.store.manifest["metrics"].items()} == {
        "alike": {"a": "of a", "b": "of b"}
    }


def test_matching_takes_the_metrics_of_the_run(tmp_path):
    made = MadeUpRun(tmp_path, {"a": (4, 4, 3)}, ["c", "d"], metrics=METRICS)
    for quality, size, alike, apart in ((1, 20, 0.5, 3.0), (2, 40, 0.75, 2.0), (3, 80, 0.875, 1.0)):
        made.point("a", "c", {"q": quality}, num_bytes=size, metrics={"alike": alike, "apart": apart})
    made.point("a", "d", num_bytes=30, mse=0.002, metrics={"alike": 0.625, "apart": 2.5})
    run = cb.load_run(tmp_path)
    for by in ("alike", "apart"):
        row = run.match("d", "c", by=by).iloc[0]
        assert (row["status"], row["matched"], row[by]) == ("matched", 1.5, {"alike": 0.625, "apart": 2.5}[by])
        assert row["against_bits_per_image"] == pytest.approx(8 * np.sqrt(20 * 40))
    row = run.match("d", "c", by="alike", at="bytes").iloc[0]
    assert 0.5 < row["against_alike"] < 0.75
    with pytest.raises(UnknownNameError, match=r"unknown measure of error 'alik'; did you mean 'alike'\? known: alike"):
        run.match("d", "c", by="alik")
