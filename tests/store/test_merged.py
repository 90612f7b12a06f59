"""Several runs read as one: what merges, what is told apart, and that the runs stay as they are."""

import dataclasses
import hashlib
import shutil
import webbrowser
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from runs import METRIC, MadeUpRun

from codecbench.analysis import summary
from codecbench.analysis.summary import summary_of
from codecbench.api import load_run
from codecbench.cli.main import main
from codecbench.errors import StoreError, UsageError
from codecbench.report import report_of
from codecbench.store.folder import RunFolder
from codecbench.store.io import dump_json, read_json
from codecbench.store.latents import Latents, LatentsRecord
from codecbench.store.merged import MergedRuns, distinct_names
from codecbench.store.pictures import WorstCase, WorstImagesRecord
from codecbench.store.tasks import TaskRecord

GRAY = (28, 28, 1)


class OtherRun(MadeUpRun):
    """A run whose codecs or images have other fingerprints, though the same names."""

    def __init__(self, path, datasets, codecs=(), other=(), **more):
        self.other = set(other)
        super().__init__(path, datasets, codecs, **more)
        for key in ("codecs", "datasets"):
            for name, record in self.store.manifest[key].items():
                record["fingerprint"] += "-other" * (name in self.other)
        (path / "run.json").write_bytes(dump_json(self.store.manifest))

    def task(self, *arguments):
        task = super().task(*arguments)
        return dataclasses.replace(
            task,
            codec_fingerprint=task.codec_fingerprint + "-other" * (task.codec.name in self.other),
            data_fingerprint=task.data_fingerprint + "-other" * (task.dataset in self.other),
        )


def lossy_runs(folder, names, other=(), **more):
    """Runs of lossy on MNIST, each with one point; in those of the last name, what is ``other`` is another."""
    for number, name in enumerate(names):
        run = OtherRun(folder / name, {"mnist": GRAY}, ["lossy"], other=other if name == names[-1] else (), **more)
        run.point("mnist", "lossy", {"quality": 10}, num_bytes=20 + 10 * number, mse=0.01)
        yield run


def existing(*runs):
    return [RunFolder.existing(run.store.path if isinstance(run, MadeUpRun) else run) for run in runs]


def by_point(table):
    return table.set_index(["dataset", "codec", "settings"])


def contents(folder):
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def two(tmp_path):
    """Run a has lossy at two points, one of them timed; run b has both with other bytes, one more, and exact."""
    a = MadeUpRun(tmp_path / "a", {"mnist": GRAY}, ["lossy"])
    a.point("mnist", "lossy", {"quality": 10}, num_bytes=20, mse=0.01, encode_s=(1e-5,) * 5, timing={"host": "one"})
    a.point("mnist", "lossy", {"quality": 50}, num_bytes=40, mse=0.001)
    b = MadeUpRun(tmp_path / "b", {"mnist": GRAY}, ["lossy", "exact"])
    b.point("mnist", "lossy", {"quality": 10}, num_bytes=999, mse=0.02, indices=range(8), encode_s=(9e-5,) * 5)
    b.point("mnist", "lossy", {"quality": 50}, num_bytes=999, mse=0.02, encode_s=(3e-5,) * 5, timing={"host": "two"})
    b.point("mnist", "lossy", {"quality": 90}, num_bytes=80, mse=0.0001)
    b.point("mnist", "exact", num_bytes=120, mse=0.0, lossless=True, encode_s=(1e-6,) * 5, timing={"host": "two"})
    return a, b


def test_the_same_codec_and_images_stand_together_and_the_first_run_wins(two):
    view = MergedRuns(existing(*two))
    table = by_point(summary_of(view))
    assert list(table.index.get_level_values("settings")) == ["", "quality=10", "quality=50", "quality=90"]
    columns = ["bits_per_image", "encode_s", "timed_on"]
    assert table.loc[("mnist", "lossy", "quality=10"), columns].tolist() == [160, 1e-5, "one"]
    assert table.loc[("mnist", "lossy", "quality=50"), columns].tolist() == [320, 3e-5, "two"], "where a took no times"
    assert table.loc[("mnist", "lossy", "quality=90"), "bits_per_image"] == 640
    assert list(view.manifest["codecs"]) == ["lossy", "exact"]
    rows = view.rows()
    assert len(rows) == 4 * 8
    assert set(rows[rows["settings"] == "quality=10"]["num_bytes"]) == {20}
    assert len(view.tasks()) == 4
    pd.testing.assert_frame_equal(summary_of(view), summary.summarise(view))
    swapped = MergedRuns(existing(*reversed(two)))
    pd.testing.assert_frame_equal(summary_of(swapped), summary.summarise(swapped))
    assert by_point(summary_of(swapped)).loc[("mnist", "lossy", "quality=10"), "bits_per_image"] == 8 * 999


def test_a_point_is_taken_from_the_run_with_more_images(tmp_path):
    a = MadeUpRun(tmp_path / "a", {"mnist": GRAY}, ["lossy"])
    a.point("mnist", "lossy", {"quality": 10}, num_bytes=20, indices=range(4))
    a.failure("mnist", "lossy", "ValueError: no luck", {"quality": 20})
    a.failure("mnist", "lossy", "ValueError: never", {"quality": 30})
    b = MadeUpRun(tmp_path / "b", {"mnist": GRAY}, ["lossy"])
    b.point("mnist", "lossy", {"quality": 10}, num_bytes=30)
    b.point("mnist", "lossy", {"quality": 20}, num_bytes=35)
    view = MergedRuns(existing(a, b))
    for table in (by_point(summary_of(view)), by_point(summary.summarise(view))):
        assert table.loc[("mnist", "lossy", "quality=10"), ["images", "bits_per_image"]].tolist() == [8, 240]
        assert table.loc[("mnist", "lossy", "quality=20"), ["images", "failed"]].tolist() == [8, 0]
        assert table.loc[("mnist", "lossy", "quality=30"), ["images", "failed"]].tolist() == [0, 8]
    assert [failure.settings for failure in view.failures(TaskRecord)] == ["quality=30"]


def test_another_codec_of_the_same_name_stands_apart(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    first = MadeUpRun(a, {"mnist": GRAY}, ["lossy", "exact"])
    second = OtherRun(b, {"mnist": GRAY}, ["lossy", "exact"], other=["lossy"])
    for run, size in ((first, 20), (second, 30)):
        run.point("mnist", "lossy", {"quality": 10}, num_bytes=size, mse=0.01, encode_s=(size * 1e-6,) * 5)
        run.point("mnist", "exact", num_bytes=120, mse=0.0, lossless=True)
    view = MergedRuns(existing(a, b))
    assert list(view.manifest["codecs"]) == ["lossy (a)", "exact", "lossy (b)"]
    for table in (by_point(summary_of(view)), by_point(summary.summarise(view))):
        for codec, figures in (("lossy (a)", [160, 2e-5]), ("lossy (b)", [240, 3e-5])):
            found = table.loc[("mnist", codec, "quality=10"), ["bits_per_image", "encode_s"]]
            assert found.tolist() == pytest.approx(figures)
        assert len(table) == 3
    assert set(view.rows()["codec"]) == {"lossy (a)", "lossy (b)", "exact"}
    assert set(view.reconstructions("mnist", "lossy (b)", "quality=10")) == {0, 1}
    assert view.reconstructions("mnist", "lossy", "quality=10") == {}
    assert any("lossy is shown as lossy (a) and lossy (b)" in note for note in view.notes)
    assert view.manifest["invocations"][0]["notes"][: len(view.notes)] == view.notes


def test_other_images_of_the_same_label_stand_apart(tmp_path):
    a, b = lossy_runs(tmp_path, "ab", other=["mnist"])
    view = MergedRuns(existing(a, b))
    assert list(view.manifest["datasets"]) == ["mnist (a)", "mnist (b)"]
    assert by_point(summary.summarise(view))["bits_per_image"].tolist() == [160, 240]
    assert set(view.originals("mnist (b)")) == {0, 1}
    assert np.array_equal(view.originals("mnist (b)")[0], b.store.originals("mnist")[0])
    assert view.originals("mnist") == {}
    assert "The runs have no images in common: codecs compare within one data set only, never across two." in view.notes
    part = next(table for task, table in view.tables(["dataset", "num_bytes"]) if task.dataset == "mnist (b)")
    assert set(part.column("dataset").to_pylist()) == {"mnist (b)"}


def test_what_was_skipped_and_planned_is_told_once(tmp_path):
    skip = {"dataset": "mnist", "codec": "lossy:quality=1", "images": 8, "reason": "too small"}
    a, b, c = lossy_runs(tmp_path, "abc", other=["lossy"], skipped=[skip], absent=["lossy"])
    assert len(MergedRuns(existing(a, b)).manifest["skipped"]) == 1
    manifest = MergedRuns(existing(a, c)).manifest
    assert [skip["codec"] for skip in manifest["skipped"]] == ["lossy (a):quality=1", "lossy (c):quality=1"]
    assert manifest["planned"] == {"mnist": {"lossy (a)": [""], "lossy (c)": [""]}}


def test_a_damaged_part_is_named_and_the_others_are_read(two):
    a, b = two
    task = b.point("mnist", "exact", {"level": 1}, num_bytes=10)
    (b.store.path / "parts" / f"{task.id}.parquet").write_bytes(b"x" * 7)
    view = MergedRuns(existing(a, b))
    assert len(summary.summarise(view)) == 4
    assert view.damaged() == [f"{task.id}.json.damaged", f"{task.id}.parquet.damaged"]


def test_wrong_requests(tmp_path, two):
    a, b = existing(*two)
    with pytest.raises(UsageError, match="a is given twice"):
        MergedRuns([a, b, a])
    with pytest.raises(UsageError, match="1 run given"):
        MergedRuns([a])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    shutil.rmtree(shutil.copytree(b.path, tmp_path / "published") / "parts")
    (tmp_path / "published" / "summary.csv").write_text("dataset\n")
    cases = [
        ([a.path, tmp_path / "none"], {}, UsageError, "no run at"),
        ([a.path, a.path / "parts" / ".."], {}, UsageError, "given twice"),
        ([a.path, b.path], {"out": a.path}, UsageError, "is one of the runs"),
        ([a.path], {"out": b.path}, UsageError, "has another run"),
        ([a.path, b.path], {"out": tmp_path / "other"}, UsageError, "is not empty and has no run"),
        ([a.path, b.path], {"out": tmp_path / "other" / "letter.txt"}, UsageError, "is a file"),
        ([a.path, tmp_path / "published"], {"out": tmp_path / "out"}, StoreError, "`codecbench show` takes it"),
        ([a.path, b.path], {"out": tmp_path / "out", "anchor": "losy"}, UsageError, "lossy"),
    ]
    for paths, options, error, words in cases:
        with pytest.raises(error, match=words) as caught:
            report_of(paths, **options)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "report.html").exists()


def test_without_out_the_report_lies_below_results(two, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("codecbench.report.write_report", lambda store, out, anchor: out / "report.html")
    page = report_of([run.store.path for run in two], anchor="lossy")
    assert page == Path("results/a+b/report.html")
    assert list(read_json(tmp_path / "results" / "a+b" / "run.json")["codecs"]) == ["lossy", "exact"]


def test_metrics_that_differ_do_not_mix(tmp_path):
    runs = []
    for name, metrics in (("a", {"like": "1"}), ("b", {"like": "2", "other": "1"}), ("c", {"like": "1"})):
        described = {
            metric: METRIC | {"fingerprint": made, "variants": {name: f"on {name}"}} for metric, made in metrics.items()
        }
        run = MadeUpRun(tmp_path / name, {"mnist": GRAY}, ["lossy"], metrics=described)
        run.point("mnist", "lossy", {"quality": ord(name)}, metrics=dict.fromkeys(metrics, 0.5))
        runs.append(run)
    view = MergedRuns(existing(*runs))
    table = summary.summarise(view)
    pd.testing.assert_frame_equal(summary_of(view), table)
    assert table["codec"].tolist() == ["lossy (a+c)"] * 2 + ["lossy (b)"]
    assert table["like"].tolist()[:2] == [0.5, 0.5]
    assert np.isnan(table["like"].iloc[2])
    assert table["other"].iloc[2] == 0.5
    assert any(note.startswith("like: the runs computed this with different code") for note in view.notes)
    assert view.manifest["metrics"]["like"]["variants"] == {"a": "on a", "c": "on c"}


def test_points_of_every_run_keep_their_weights(tmp_path):
    runs = [run.store for run in lossy_runs(tmp_path, "ab")]
    for run in runs:
        run.manifest["codecs"]["lossy"]["weights_used"] = {f"part={run.path.name}": f"net-{run.path.name}"}
    assert MergedRuns(runs).manifest["codecs"]["lossy"]["weights_used"] == {"part=a": "net-a", "part=b": "net-b"}


def test_names_tell_runs_apart():
    assert distinct_names([Path("/r/one"), Path("/r/two")]) == ["one", "two"]
    assert distinct_names([Path("/x/run"), Path("/y/run"), Path("/y/one")]) == ["x/run", "y/run", "y/one"]
    assert distinct_names([Path("/x/a:1,2"), Path("/x/b")]) == ["a_1_2", "b"]


def test_latents_and_training_logs_come_along_under_the_names_of_the_view(tmp_path):
    for name in ("a", "b"):
        run = OtherRun(tmp_path / name, {"mnist": GRAY}, trained_on={"net": ("mnist",)}, other=["net"] * (name == "b"))
        run.point("mnist", "net", {"latent": "int8"}, num_bytes=32, mse=0.004)
        about = run.about("mnist", "net", "latent=int8")
        points, shown = np.zeros((3, 2), np.float32), {0: np.ones(4, np.float32)}
        found = Latents(**about, points=points, labels=None, explained=(0.5, 0.25), shown=shown, shown_labels={})
        run.store.write_record(name * 24, found)
        run.store.write_record(name * 24, LatentsRecord(**about, failed=f"no luck in {name}"))
        run.store.write_file(f"training/{name}.csv", name.encode())
        run.store.write_file(f"latents/{'c' * 24}.npz", b"no archive")
    view = MergedRuns(existing(tmp_path / "a", tmp_path / "b"))
    assert [found.point[:2] for found in view.latents()] == [("mnist", "net (a)"), ("mnist", "net (b)")]
    failures = {record.codec: record.failed for record in view.failures(LatentsRecord)}
    assert failures == {"net (a)": "no luck in a", "net (b)": "no luck in b"}
    assert [view.training_file(f"{name}.csv") for name in "abc"] == [b"a", b"b", None]


def test_worst_images_of_a_codec_are_those_of_one_run(tmp_path):
    runs = [MadeUpRun(tmp_path / name, {"mnist": GRAY}, ["lossy", "other"]) for name in ("a", "b")]
    for run, cases in zip(runs, ("lossy", "lossy other"), strict=True):
        for number, worst_of in enumerate(cases.split()):
            about = run.about("mnist", "lossy", run.store.path.name)
            case = WorstCase(**about, worst_of=worst_of, key="", images=(), classes={})
            run.store.write_record(f"{number:024x}", case)
    for run, failed in zip(runs, ("", "no luck"), strict=True):
        record = WorstImagesRecord(**run.about("mnist", "lossy", ""), failed=failed, codecs=(), files=())
        run.store.write_record("f" * 24, record)
    view = MergedRuns(existing(*runs))
    assert [(case.worst_of, case.settings) for case in view.records(WorstCase)] == [("lossy", "a"), ("other", "b")]
    assert view.failures(WorstImagesRecord) == [], "the first run has them"


def test_the_report_of_two_runs_is_a_published_run_and_drawn_again_the_same(tmp_path, capsys):
    runs = [tmp_path / "a", tmp_path / "b"]
    for run in lossy_runs(tmp_path, "ab", other=["lossy"]):
        run.point("mnist", "lossy", {"quality": 90}, num_bytes=90, mse=1e-4, ssim=np.nan)
    before, out = contents(tmp_path), tmp_path / "out"
    page = report_of(runs, out)
    assert page == out / "report.html"
    text = page.read_text(encoding="utf-8")
    assert "lossy (a)" in text
    assert "lossy (b)" in text
    assert {file: digest for file, digest in contents(tmp_path).items() if out not in file.parents} == before
    pd.testing.assert_frame_equal(load_run(out).summary(), summary_of(MergedRuns(existing(*runs))))
    assert read_json(out / "run.json")["merged"] == ["a", "b"]
    assert main(["show", str(out)]) == 0
    assert "lossy (b)" in capsys.readouterr().out
    assert main(["report", str(out)]) == 1
    assert "without the parts" in capsys.readouterr().err
    first = contents(out)
    report_of(runs, out)
    assert contents(out) == first


def test_the_command_draws_one_run_elsewhere_and_opens_its_page_if_it_can(two, tmp_path, monkeypatch, capsys):
    run, page = two[0].store.path, tmp_path / "elsewhere" / "report.html"
    before, opened = contents(run), []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    assert main(["report", str(run), "--out", str(page.parent), "--anchor", "lossy", "--open"]) == 0
    assert capsys.readouterr() == (f"report  {page}\n", "")
    assert opened == [page.as_uri()]
    assert page.is_file()
    assert contents(run) == before

    monkeypatch.setattr("codecbench.report.report_of", lambda paths, out, anchor: page)
    for there_is_none in ({"return_value": False}, {"side_effect": webbrowser.Error("no runnable browser")}):
        monkeypatch.setattr(webbrowser, "open", mock.Mock(**there_is_none))
        assert main(["report", str(run), "--open"]) == 0
        assert capsys.readouterr().err == f"no browser could be started; open {page}\n"
