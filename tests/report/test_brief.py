"""A run in short: which codec is best where, what failed, and the same as table, CSV, JSON and Markdown."""

import io
import json
import math
import shutil

import pandas as pd
import pytest
from pages import made
from runs import MadeUpRun

from codecbench.analysis import summary
from codecbench.api import Run
from codecbench.cli.main import main
from codecbench.cli.show import print_brief
from codecbench.report import brief
from codecbench.store.folder import RunFolder

GRAY = (28, 28, 1)


def content(path, dataset=None):
    return brief.brief(RunFolder.existing(path), Run(path).summary(), dataset)


def keyed(records, *names):
    return {tuple(record[name] for name in names): record for record in records}


@pytest.fixture(scope="module")
def told(usual_folder):
    """What is told of the usual run: lossy has 20, 40 and 80 bytes at 20, 30 and 40 dB, exact 120; net is learned."""
    return content(usual_folder)


# ---- what is told ---------------------------------------------------------------------------------------------------


def test_the_fewest_bits_at_each_quality(told):
    best = keyed(told.best, "dataset", "at")
    assert [at for dataset, at in best if dataset == "mnist"] == [
        "25 dB",
        "30 dB",
        "35 dB",
        "40 dB",
        "lossless",
        "24.0 dB",
    ]
    between = best["mnist", "25 dB"]
    assert between["codec"] == "lossy"
    assert between["bits_per_image"] == pytest.approx(math.sqrt(160 * 320)), "half way, over log rate"
    assert between["bits_per_pixel"] == pytest.approx(math.sqrt(160 * 320) / 784)
    assert (between["next_codec"], between["sure"], between["images"]) == ("exact", "certain", 8)
    assert between["next_percent"] == pytest.approx(100 * (960 / math.sqrt(160 * 320) - 1))
    measured = best["mnist", "30 dB"]
    assert measured["bits_per_image"] == pytest.approx(320)
    assert (measured["settings"], measured["encode_s"], measured["unsteady"]) == ("quality=50", 2e-5, True)
    lossless = best["mnist", "lossless"]
    assert (lossless["codec"], lossless["bits_per_image"], lossless["next_codec"]) == ("exact", 960, "")
    assert math.isnan(lossless["next_percent"])


def test_only_codecs_at_home_with_results_for_every_image_compare(tmp_path):
    run = MadeUpRun(tmp_path / "run", {"mnist": GRAY, "stl10": GRAY}, ["lossy", "short"], {"net": ("mnist",)})
    for label in ("mnist", "stl10"):
        run.curve(label, "lossy", {20: 20, 30: 40})
        run.curve(label, "lossy", {40: 1}, indices=range(2))
        run.point(label, "net", num_bytes=2, mse=0.002)
    run.curve("stl10", "short", {20: 14, 30: 34}, indices=range(3))
    found = content(run.store.path)
    best = keyed(found.best, "dataset", "at")
    assert best["mnist", "25 dB"]["codec"] == "lossy", "learned codecs stand beside those that need no training"
    beside = best["mnist", "27.0 dB"]
    assert (beside["codec"], beside["learned"], beside["next_codec"]) == ("net", True, "lossy")
    assert best["stl10", "25 dB"]["codec"] == "lossy"
    assert best["stl10", "30 dB"]["bits_per_image"] == pytest.approx(8 * 40)
    left_out = "{} with PSNR of fewer images left out.".format
    assert found.notes == [
        f"By PSNR: {left_out('1 point')}",
        "lossy has results for only some images of mnist at 1 of 3 points: not compared there.",
        f"By PSNR: {left_out('3 points')}",
        "lossy has results for only some images of stl10 at 1 of 3 points: not compared there.",
        "net† was trained on other data than stl10: not compared there.",
        "short has results for only some images of stl10: not compared there.",
    ]
    assert "net (learned)" in found.markdown()


def test_what_failed_or_is_missing_is_told_with_and_without_parts(tmp_path, capsys):
    run = MadeUpRun(tmp_path / "run", {"mnist": GRAY}, ["lossy", "bad", "later"], absent=["later"])
    run.point("mnist", "lossy", {"quality": 50}, num_bytes=40)
    run.failure("mnist", "bad", "ValueError: no luck")
    lines = [line for note in content(run.store.path).grave for line in note.lines]
    assert "bad on mnist, 8 images without a result: ValueError: no luck" in lines
    assert any(line.startswith("later on mnist: 1 point of 1 without results yet") for line in lines)
    summary.summarise(run.store).to_csv(run.store.path / "summary.csv", index=False)
    shutil.rmtree(run.store.path / "parts")
    published = content(run.store.path)
    assert [line for note in published.grave for line in note.lines] == lines
    assert main(["show", str(run.store.path)]) == 0
    assert "failed: bad on mnist, 8 images without a result: ValueError: no luck" in capsys.readouterr().out


def test_a_run_with_failures_only_is_shown(tmp_path, capsys):
    found = content(made(tmp_path, {"bad": "ValueError: <b>|"}).store.path)
    assert (found.best, found.codecs) == ([], [])
    assert "Nothing was measured that could be compared." in found.markdown()
    assert "- bad on data, 8 images without a result: ValueError: &lt;b>\\|\n" in found.markdown()
    json.dumps(found.to_json(), allow_nan=False)
    print_brief(found)
    out = capsys.readouterr().out
    assert "Nothing was measured that could be compared." in out
    assert f"no report yet; draw it: codecbench report {tmp_path}" in out


def test_one_dataset_alone(usual_folder):
    found = content(usual_folder, "stl10")
    assert {record["dataset"] for record in [*found.best, *found.codecs]} == {"stl10"}
    assert set(found.summary["dataset"]) == set(found.datasets) == {"stl10"}


def test_whole_sets_stand_in_a_table_of_their_own(tmp_path, capsys):
    paths = [tmp_path / "a", tmp_path / "b"]
    for number, path in enumerate(paths):
        run = MadeUpRun(path, {"mnist": GRAY}, ["exact"])
        run.point("mnist", "exact", {"level": number}, num_bytes=120, mse=0.0, lossless=True)
        run.whole_set(number + 1)
        run.whole_set(9, set_bytes=1568)
    run.whole_set(7, failed="ValueError: no luck")
    found = content(paths[0])
    assert [(record["settings"], record["bits_per_pixel"]) for record in found.sets] == [("level=1", 1), ("level=9", 2)]
    assert "| mnist | exact | level=1 | 8 | 784 | 1.000 | – |" in found.markdown()
    assert main(["show", *map(str, paths), "--format", "json"]) == 0
    records = json.loads(capsys.readouterr().out)["sets"]
    assert [record["settings"] for record in records] == ["level=1", "level=2", "level=9", "level=7"]
    assert records[-1]["set_bytes"] is None
    assert main(["show", str(paths[1])]) == 0
    assert "failed: ValueError: no luck" in capsys.readouterr().out


# ---- how it is written ----------------------------------------------------------------------------------------------


def test_csv_is_the_summary(usual_folder, told, capsys):
    assert main(["show", str(usual_folder), "--format", "csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out), keep_default_na=False)
    assert list(table) == list(told.summary)
    assert len(table) == len(told.summary)


def test_json_has_no_value_that_json_does_not_know(usual_folder, capsys):
    assert main(["show", str(usual_folder), "--format", "json"]) == 0

    def refuse(text):
        raise AssertionError(text)

    found = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert set(found) == {"runs", "report", "best", "codecs", "sets", "failed", "notes", "points"}
    assert found["report"] is None
    point = keyed(found["points"], "dataset", "codec", "settings")["mnist", "exact", ""]
    assert point["psnr_db"] is None
    assert point["exact_images"] == 8
    assert point["lossless"] is True
    assert keyed(found["best"], "dataset", "at")["mnist", "lossless"]["next_percent"] is None
    codecs = keyed(found["codecs"], "dataset", "codec")
    assert len(codecs) == 6
    lossy, exact = codecs["mnist", "lossy"], codecs["mnist", "exact"]
    assert lossy["bits_per_pixel_at_30_db"] == pytest.approx(320 / 784)
    assert (lossy["lowest_psnr_db"], lossy["highest_psnr_db"], lossy["points"]) == (20, 40, 3)
    assert exact["bits_per_pixel_lossless"] == pytest.approx(960 / 784)
    assert exact["bits_per_pixel_at_30_db"] is None


def test_the_table_for_the_terminal(usual_folder, capsys):
    assert main(["show", str(usual_folder)]) == 0
    out = capsys.readouterr().out
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "mnist 25 dB lossy 0.289 226 exact 4.24 times 20 µs ~ 20 µs ~" in rows
    assert "mnist, 8 images" in out
    assert "~ the machine was not quiet while this was timed" in out
    assert "net† was trained on other data than stl10: not compared there." in out
