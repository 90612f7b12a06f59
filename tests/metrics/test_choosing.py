"""The contract of metrics, which are chosen, and what a run makes of those that fail."""

import contextlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from plugins import install

import codecbench as cb
from codecbench import columns
from codecbench.cli.list import everything
from codecbench.errors import ContractError, PluginError, UsageError
from codecbench.execution import cluster_worker, finished
from codecbench.execution.limits import WorkerLimits
from codecbench.execution.metrics import PluginMetrics
from codecbench.plugins.registry import CODECS, METRICS, metric_fingerprint
from codecbench.report.context import Context
from codecbench.store.folder import RunFolder

ORIGINAL = np.zeros((3, 4, 4, 1), np.uint8)
DECODED = ORIGINAL + np.uint8(2)
DIFFERENCE = "return np.abs(original.astype(float) - decoded).mean((1, 2, 3))"


# ---- which there are ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("mine", '"lower"', '"more"', "better='more' is not allowed"),
        ("mine", '"Mine"', '" "', "needs a title"),
        ("mine", "@cb.register_metric", "#", "registers 0 metrics; expected exactly one"),
        ("not-a-name", "", "", "'not-a-name' is no name for a column"),
        ("class", "", "", "'class' is no name for a column"),
        ("ssim", "", "", "a metric may not be called 'ssim', which is another column's name"),
        ("payload_bits_per_pixel", "", "", "which is another column's name"),
        ("none", "", "", "no metric may be called 'none'"),
        ("ms_ssim", "", "", "two metrics are called 'ms_ssim'"),
    ],
)
def test_files_that_are_not_one_metric_and_names_that_cannot_be_columns_are_refused(put, name, old, new, message):
    file = put(name, DIFFERENCE)
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(PluginError, match=message):
        METRICS.get(name)


def test_a_metric_of_an_installed_package(put, tmp_path, monkeypatch):
    site = put("elsewhere", DIFFERENCE).rename(tmp_path / "fake_metrics.py").parent
    points = {"packed": "fake_metrics:mine", "wrong": "fake_metrics:np"}
    install(site, "fake-metrics", {"codecbench.metrics": points})
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "fake_metrics", raising=False)
    packed = METRICS.get("packed")
    assert (packed.name, packed.title, packed.better) == ("packed", "Mine", "lower")
    assert packed.measure(ORIGINAL, DECODED).tolist() == [2.0] * 3
    assert len(metric_fingerprint(packed)) == 24
    assert "packed" not in METRICS.built_in()
    with pytest.raises(PluginError, match="entry point fake_metrics:np is no metric made by register_metric"):
        METRICS.get("wrong")


def test_which_are_chosen(put):
    put("mine", DIFFERENCE)
    assert [one.name for one in METRICS.choose()] == ["ms_ssim", "psnr_y_db"]  # one's own only when asked for
    assert [one.name for one in METRICS.choose("mine, ssim")] == ["mine"]
    assert [one.name for one in METRICS.choose(["mine", "default"])] == ["mine", "ms_ssim", "psnr_y_db"]
    assert METRICS.choose("none") == []
    for bad in ("none,mine", ""):
        with pytest.raises(UsageError, match=r"allowed: names with commas between, or none alone"):
            METRICS.choose(bad)


def test_listing_tells_what_is_available(put, monkeypatch):
    monkeypatch.setattr(CODECS, "names", list)  # importing all of them takes seconds
    put("broken", DIFFERENCE).write_text("import nowhere_to_be_found")
    put("lacking", DIFFERENCE, 'title="L", better="lower", missing=lambda: "it needs a moon"')
    found = {one["name"]: one for one in everything()["metrics"]}
    assert found["ssim"]["measured"] == "always"
    assert (found["ms_ssim"]["measured"], found["ms_ssim"]["available"]) == ("by default", True)
    assert found["lacking"]["reason"] == "it needs a moon"
    assert "ModuleNotFoundError" in found["broken"]["reason"]
    assert not found["broken"]["available"]
    assert not found["lacking"]["available"]


def test_an_edited_source_or_another_package_is_another_fingerprint(put, monkeypatch):
    file = put("mine", DIFFERENCE, 'title="Mine", better="lower", packages=("numpy", "not-there-at-all")')
    mine = METRICS.get("mine")
    seen = [metric_fingerprint(mine)]
    assert mine.versions() == {"numpy": np.__version__, "not-there-at-all": "absent"}
    file.write_text(file.read_text().replace("Mine", "Ours") + "# edited\n")
    assert metric_fingerprint(mine) == seen[0]
    file.write_text(file.read_text().replace("abs", "square"))
    seen.append(metric_fingerprint(mine))
    monkeypatch.setattr("importlib.metadata.version", lambda package: "0")
    seen.append(metric_fingerprint(mine))
    assert len(set(seen)) == 3


# ---- what they give -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 3.0", r"metric mine must give float64 \(3,\), not float"),
        ("return np.zeros(3, np.float32)", r"must give float64 \(3,\), not float32"),
        ("return np.zeros((3, 1))", r"must give float64 \(3,\), not float64 3×1"),
        ("return np.array([1.0, np.inf, 2.0])", "it gave an infinity"),
    ],
)
def test_what_is_no_number_an_image_breaks_the_contract(put, body, message):
    put("mine", body)
    with pytest.raises(ContractError, match=message):
        METRICS.get("mine").measure(ORIGINAL, DECODED)


def test_a_metric_that_fails_or_is_edited_meanwhile_costs_its_own_values_only(put):
    put("calm", DIFFERENCE)
    put("exits", "os._exit(3)")
    put("raises", "raise ValueError('no such luck')")
    put("shapeless", "return np.zeros((3, 2))")
    edited = put("edited", DIFFERENCE)
    names = ("exits", "calm", "raises", "shapeless", "edited", "psnr_y_db")
    metrics = tuple((name, metric_fingerprint(METRICS.get(name))) for name in names)
    limits = WorkerLimits(Path(), None, "cpu", 1, 60.0, metrics=metrics, metric_path=os.environ[METRICS.variable])
    edited.write_text(edited.read_text().replace("abs", "square"))
    with contextlib.closing(PluginMetrics(limits)) as measuring:
        values, lacking = measuring.measure(ORIGINAL, DECODED)
    assert values["calm"].tolist() == [2.0] * 3
    assert np.isfinite(values["psnr_y_db"]).all()
    assert all(np.isnan(values[name]).all() and len(values[name]) == 3 for name in lacking)
    assert "measuring process" in lacking.pop("exits")
    assert lacking.pop("shapeless").startswith("ContractError: metric shapeless must give float64 (3,)")
    assert lacking == {
        "raises": "ValueError: no such luck",
        "edited": "PluginError: the source of the metric edited changed while the run went on; run again",
    }


def test_a_clusters_worker_and_a_finished_run_must_have_the_same_metrics(put):
    before = finished.surroundings()
    file = put("mine", DIFFERENCE, 'title="Mine", better="lower", packages=("numpy",)')
    assert finished.surroundings() != before
    here = cluster_worker.describe([], "cpu", ["mine"])
    file.write_text(file.read_text().replace("abs", "square"))
    there = cluster_worker.describe([], "cpu", ["mine"])
    (line,) = cluster_worker.differences(there | {"metric mine: numpy": "1"}, here)[:1]
    assert line.startswith("metric mine is ")


def test_a_run_keeps_all_else_where_a_metric_fails(put, tmp_path, in_process):
    put("calm", DIFFERENCE)
    put("fails", "raise ValueError('no such luck')")
    notes = []
    options = {"images": 3, "timing": False, "workers": 1, "out": tmp_path / "run", "keep_images": 0}
    options["watch"] = lambda event: notes.append(event.text)
    run = cb.run("jpeg:quality=50", "digits", metrics="calm,fails,ms_ssim", **options)
    assert run.failed_tasks == 0
    frame, summary = run.rows(), run.summary().iloc[0]
    assert list(frame.columns[-3:]) == ["calm", "fails", "ms_ssim"]
    assert frame["fails"].isna().all()
    assert frame["calm"].gt(0).all()
    for name in ("calm", "ms_ssim"):
        assert summary[name] == pytest.approx(frame[name].mean())
    assert np.isnan(summary["fails"])
    assert np.isfinite(summary["ssim"])
    store = RunFolder.existing(run.path)
    assert [task.metrics_failed for task in store.tasks()] == [{"fails": "ValueError: no such luck"}]
    assert [note for note in notes if note.startswith("no fails of jpeg:quality=50")]
    (told_later,) = [note for note in Context(store, run.path).notes if note.title == "Metrics that failed"]
    assert told_later.lines == ["fails: ValueError: no such luck (jpeg on digits)"]
    assert told_later.grave
    told = store.manifest["metrics"]
    assert told["ms_ssim"]["variants"] == {"digits": "MS-SSIM, 2 scales, 11×11 window"}
    assert told["calm"].keys() == {"title", "unit", "better", "description", "fingerprint", "versions", "variants"}
    # Without metrics the task is another one, and neither its rows nor the manifest speak of any.
    plain = cb.run("jpeg:quality=50", "digits", metrics="none", **options)
    assert "calm" not in plain.rows()
    assert list(plain.summary().columns) == list(columns.SUMMARY)
    assert len(list((run.path / "parts").glob("*.parquet"))) == 2
