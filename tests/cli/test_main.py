"""The command line: exit codes, one clear line for what is wrong, and what is printed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from plugins import write_codec

from codecbench.cli.console import clock
from codecbench.cli.main import cli, main
from codecbench.plugins.registry import CODECS, DATASETS


def test_a_run_of_classical_codecs_from_command_to_report(tmp_path):
    """In processes of its own, none of which loads PyTorch."""
    probe = "bad = [name for name in ('torch', 'torchvision') if name in sys.modules]; assert not bad, bad"
    write_codec(tmp_path / "plugins", "probe", encode=probe, decode=probe)
    out = tmp_path / "run"
    codecs = ["--codecs", "jpeg:quality=10/50,png:compress_level=6,probe", "--codec-dir", str(tmp_path / "plugins")]
    arguments = ["run", *codecs, "--datasets", "digits", "--images", "3", "--out", str(out)]
    script = f"import sys; from codecbench.cli.main import main; sys.exit(main({arguments}) or 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "measuring 4/4" in done.stdout
    assert "timing 20/20" in done.stdout
    assert re.search(r"digits +25 dB +jpeg", done.stdout), "the best codecs"
    assert done.stdout.endswith(f"report  {out / 'report.html'}\n")
    table = pd.read_csv(out / "summary.csv", keep_default_na=False)
    assert len(table) == 4
    assert set(table["failed"]) == {0}
    assert (out / "report.html").stat().st_size > 10_000
    assert list((out / "figures").glob("*.svg"))
    assert list((out / "figures").glob("*.png"))
    (invocation,) = json.loads((out / "run.json").read_text(encoding="utf-8"))["invocations"]
    assert str(tmp_path) not in invocation["command"], "one machine's folders say nothing to another reader"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("run --codecs jepg", "unknown codec 'jepg'; did you mean 'jpeg'? known: ar_lossless,"),
        ("run --codecs jpeg:quality=101", "quality=101 is not allowed; allowed: a whole number from 1 to 100"),
        ("run --codecs jpeg --datasets mnits", "unknown dataset 'mnits'; did you mean 'mnist'"),
        ("run --codecs jpeg --datasets mnist --data-dir {tmp}", "codecbench data get mnist"),
        ("run --codecs jpeg --datasets folder:{tmp}/none", "none"),
        ("run --codecs jpeg --images 0", "allowed: a whole number of 1 or more, or all"),
        ("run --codecs jpeg --images many", "allowed: a whole number of 1 or more, or all"),
        ("run --codecs jpeg --images " + "9" * 5_000, "allowed: a whole number of 1 or more, or all"),
        ("run --codecs jpeg --workers 0", "0 is not in the range x>=1"),
        ("run --codecs jpeg --device tpu", "'tpu' is not one of 'auto', 'cpu', 'cuda'"),
        ("run --codecs jpeg --skip jpgg", "did you mean 'jpeg'"),
        ("run --codecs stl10_ae --datasets digits", "stl10_ae fits none of the chosen datasets"),
        ("run --codecs jpeg --codec-dir {tmp}/none", "no folder of codecs at"),
        ("run --codecs png --metrics ms_sim", "unknown metric 'ms_sim'; did you mean 'ms_ssim'? known: lpips, ms_ssim"),
        ("run --colour", "unknown option --colour"),
        ("rnu", "did you mean 'run'"),
        ("show", "missing argument 'RUN...'"),
        ("show {tmp}", "no run at"),
        ("show {run} {tmp}", "no run at"),
        ("show {run} {run}", "is given twice"),
        ("show {run} --format xml", "'xml' is not one of 'table', 'csv', 'json', 'md'"),
        ("show {run} --dataset mnits", "unknown dataset of this run 'mnits'; did you mean 'mnist'"),
        ("report", "missing argument 'RUN...'"),
        ("report {tmp}", "no run at"),
        ("report {run} {run}", "is given twice"),
        ("report {run} --anchor jepg", "no codec 'jepg' in this run to compare with; it has: exact, lossy, net"),
        ("data get mnits", "did you mean 'mnist'"),
        ("train jpeg", "jpeg has nothing to train"),
        ("run --codecs jpeg webp", "unexpected webp; a list is written with commas: jpeg,webp"),
        ("run --codecs=jpeg, webp", "unexpected webp; a list is written with commas: jpeg,webp"),
        ("run a~b", "unexpected a b; `codecbench run --help` lists what is allowed"),
        ("list jpeg png", "unexpected jpeg png; `codecbench list --help` lists what is allowed"),
        ("run --codecs jpeg~webp", "a list is written with commas: jpeg,webp; known"),
        ("run --codecs jpeg --datasets folder:{tmp}/a,b", r"\, stands for a comma"),
        ("run --codecs jpeg --datasets {tmp}", "a folder of images is written folder:PATH"),
        ("new jpeg", "a codec called 'jpeg' is there already: "),
        ("new mine --kind rust", "'rust' is not one of"),
        ("check jepg", "unknown codec 'jepg'; did you mean 'jpeg'?"),
        ("check jpeg:quality=0", "quality=0 is not allowed"),
        ("check jpeg:height=1", "unknown setting of jpeg 'height'"),
        ("check jpeg,none", "names 2 codecs"),
        ("train lossy_ae --epochs 0", "--epochs: 0 is not in the range"),
        ("train lossy_ae --keep 0 --device cpu", "--keep 0 is not allowed; allowed: epochs from 1 to"),
        ("train lossy_ae --resume", "nothing to resume: no checkpoint in training/lossy_ae-fast"),
        ("train lossy_ae --data-dir {tmp}", "`codecbench data get mnist` downloads it"),
        ("train stl10_ae --data-dir {tmp}", "`codecbench data get stl10` downloads it"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(arguments, words, usual_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(usual_folder.iterdir())
    parts = [part.replace("~", " ") for part in arguments.split()]
    assert main([part.format(tmp=tmp_path, run=usual_folder) for part in parts]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert words in captured.err
    assert captured.out == ""
    assert not list(tmp_path.iterdir())
    assert set(usual_folder.iterdir()) == before


@pytest.mark.usefixtures("in_process")
def test_failures_end_with_exit_code_1_and_stand_in_the_table(codec_folder, tmp_path, capsys):
    write_codec(codec_folder, "bad", encode="raise ValueError('no luck')")
    options = ["--datasets", "digits", "--images", "3", "--no-timing", "--out", str(tmp_path / "run")]
    assert main(["run", "--codecs", "bad,none", *options]) == 1
    out, err = capsys.readouterr()
    assert "failed: bad:level=0 on digits: ValueError: no luck" in out
    assert "failed: bad (level=0) on digits, 3 images without a result: ValueError: no luck" in out
    assert "1 task failed" in err
    assert "Traceback" not in out + err
    table = pd.read_csv(tmp_path / "run" / "summary.csv").set_index("codec")
    assert table.loc["bad", "failed"] == 3
    assert table.loc["none", "images"] == 3


def test_a_plugin_that_cannot_be_imported_does_not_stop_the_others(codec_folder, capsys):
    (codec_folder / "broken.py").write_text("import no_such_module\n", encoding="utf-8")
    assert main(["list", "--json"]) == 0
    codecs = {codec["name"]: codec for codec in json.loads(capsys.readouterr().out)["codecs"]}
    assert codecs["broken"]["available"] is False
    assert "No module named 'no_such_module'" in codecs["broken"]["reason"]
    assert codecs["jpeg"]["available"] is True
    assert main(["run", "--codecs", "broken"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "no_such_module" in err


def test_listing_for_people(tmp_path, capsys):
    assert main(["list", "--data-dir", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in (*CODECS.names(), "digits", "photos", "mnist", "stl10", "psnr_db", "ssim"))
    assert main(["list", "--names"]) == 0
    assert capsys.readouterr().out.split() == CODECS.names()


def test_listing_for_machines(tmp_path, capsys):
    assert main(["list", "--json", "--data-dir", str(tmp_path)]) == 0
    content = json.loads(capsys.readouterr().out)
    codecs = {codec["name"]: codec for codec in content["codecs"]}
    assert codecs["png"]["lossless"] == "yes"
    assert codecs["webp"]["lossless"] == "some settings"
    assert codecs["lossless_ae"]["lossless"] == "no"
    assert len(codecs["svd"]["sweep"]) == 65
    quality = {setting["name"]: setting for setting in codecs["jpeg"]["settings"]}["quality"]
    assert quality["default"] == 75
    assert "5" in quality["sweep"]
    datasets = {dataset["name"]: dataset for dataset in content["datasets"]}
    assert datasets["photos"]["images"] == 283
    assert datasets["mnist"]["available"] is False
    assert "codecbench data get mnist" in datasets["mnist"]["note"]


def test_a_large_download_asks_first(tmp_path, monkeypatch, capsys):
    stl10 = type(DATASETS.get("stl10")())
    fetched = []
    monkeypatch.setattr(stl10, "download", lambda self, root, say: fetched.append(root))
    monkeypatch.setattr("click.confirm", lambda text: False)
    assert main(["data", "get", "stl10", "--data-dir", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "2.6 GB" in captured.out
    assert "--yes begins without asking" in captured.err
    assert fetched == []
    assert main(["data", "get", "stl10", "--data-dir", str(tmp_path), "--yes"]) == 0
    assert fetched == [tmp_path]
    assert main(["data", "get", "digits"]) == 0
    assert "needs no download" in capsys.readouterr().out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("arguments", [["--version"], ["list", "--help"]])
def test_a_full_disk_behind_the_output_is_told_in_one_line(arguments):
    command = [sys.executable, "-m", "codecbench", *arguments]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: cannot write: No space left on device\n")


def test_clock():
    assert (clock(5), clock(65), clock(3_725)) == ("0:05", "1:05", "1:02:05")


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_has_help(name, capsys):
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: codecbench {name} ")
    assert "Show this message and exit." in shown
