"""``codecbench new`` writes codecs that pass ``codecbench check`` as they are; both as commands."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from codecbench.errors import UsageError
from codecbench.plugins import scaffold

ROOT = Path(__file__).resolve().parents[2]


def call(*arguments: object, cwd: Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CODECBENCH_")}
    command = [sys.executable, "-m", "codecbench", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("kind", scaffold.KINDS)
def test_a_new_codec_passes_every_check_and_runs(tmp_path, kind):
    said = call("new", "tiny_try", "--kind", kind, "--codec-dir", "my codecs", cwd=tmp_path).stdout
    file = tmp_path / "my codecs" / "tiny_try.py"
    assert said.splitlines()[0] == str(Path("my codecs") / "tiny_try.py")
    assert "    codecbench check tiny_try --codec-dir 'my codecs'" in said.splitlines()
    source = file.read_text(encoding="utf-8")
    assert source.startswith('"""tiny_try: ')
    assert "class TinyTry(" in source
    assert "NewCodec" not in source
    assert "NAME" not in source

    table = call("check", "tiny_try", "--codec-dir", "my codecs", cwd=tmp_path).stdout
    assert not {"failed", "warning"} & set(table.split())
    assert "\ndamaged streams  passed " in table

    where = ("--codec-dir", "my codecs", "--datasets", "digits", "--images", 5, "--out", "out")
    call("run", "--codecs", "tiny_try", *where, "--no-timing", "--workers", 1, cwd=tmp_path)
    with (tmp_path / "out" / "summary.csv").open(encoding="utf-8", newline="") as rows:
        points = list(csv.DictReader(rows))
    assert len(points) >= 5
    assert all(point["failed"] == "0" and point["images"] == "5" for point in points)
    assert any(float(point["psnr_db"] or "inf") > 40 for point in points)


@pytest.mark.parametrize("kind", scaffold.KINDS)
def test_a_new_codec_meets_the_projects_own_style(tmp_path, kind):
    file = scaffold.write_new_codec("tiny_try", kind, tmp_path)
    for command in (("ruff", "check"), ("ruff", "format", "--check"), ("mypy", "--strict")):
        done = subprocess.run(
            [sys.executable, "-m", *command, f"--config{'-file' * (command[0] == 'mypy')}", "pyproject.toml", file],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("jpeg", "a codec called 'jpeg' is there already: "),
        ("_helper", "'_helper' is not allowed as a codec's name"),
        ("2fast", "'2fast' is not allowed"),
        ("my-codec", "'my-codec' is not allowed"),
        ("../up", "is not allowed"),
        ("class", "'class' is not allowed"),
        ("all", "'all' is not allowed"),
        ("", "'' is not allowed"),
    ],
)
def test_names_that_are_refused(tmp_path, name, words):
    with pytest.raises(UsageError, match=words):
        scaffold.write_new_codec(name, "per-image", tmp_path / "codecs")
    assert not (tmp_path / "codecs").exists()


def test_no_file_is_written_over(tmp_path):
    (tmp_path / "mine.py").write_text("precious", encoding="utf-8")
    with pytest.raises(UsageError, match=r"mine\.py is there already, and is left as it is"):
        scaffold.write_new_codec("mine", "per-image", tmp_path)
    assert (tmp_path / "mine.py").read_text(encoding="utf-8") == "precious"
    with pytest.raises(UsageError, match=r"mine\.py is no folder"):
        scaffold.write_new_codec("other", "per-image", tmp_path / "mine.py")


def test_new_refuses_with_exit_code_2(tmp_path):
    assert "is there already" in call("new", "jpeg", cwd=tmp_path, expect=2).stderr
    assert "'rust' is not one of" in call("new", "mine", "--kind", "rust", cwd=tmp_path, expect=2).stderr
    assert list(tmp_path.iterdir()) == []


def test_check_says_what_failed_and_exits_with_1(tmp_path):
    file = scaffold.write_new_codec("mine", "per-image", tmp_path)
    source = file.read_text(encoding="utf-8")
    file.write_text(source.replace("return self.step == 1", "return True"), encoding="utf-8")
    done = call("check", "mine", "--codec-dir", ".", "--damages", 5, cwd=tmp_path, expect=1)
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("lossless")]
    assert "failed" in row
    assert row.endswith(" samples differ (at mine:step=8,effort=9, and at 1 other points)")
    assert done.stderr == ""

    told = call("check", "mine:step=2/1", "--codec-dir", ".", "--json", "--seed", 7, cwd=tmp_path, expect=1).stdout
    report = json.loads(told)
    assert (report["spec"], report["seed"], report["damages"], report["failed"]) == ("mine:step=2/1", 7, 100, True)
    ends = {(result["point"], result["check"]): result["result"] for result in report["results"]}
    assert ends["mine:step=2,effort=9", "lossless"] == "failed"
    assert ends["mine:step=1,effort=9", "lossless"] == "passed"


def test_a_wrong_request_of_check_exits_with_2(tmp_path):
    assert "unknown codec 'jepg'; did you mean 'jpeg'?" in call("check", "jepg", cwd=tmp_path, expect=2).stderr
    assert "quality=0 is not allowed" in call("check", "jpeg:quality=0", cwd=tmp_path, expect=2).stderr
