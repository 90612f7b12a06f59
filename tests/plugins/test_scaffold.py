"""``codecbench new`` writes codecs that pass ``codecbench check`` as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from plugins import temporary

import codecbench as cb
from codecbench.cli.main import main
from codecbench.errors import UsageError
from codecbench.plugins import scaffold
from codecbench.plugins.registry import CODECS
from codecbench.testing import check_codec

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder; gives what it says, and checks its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, expect=0):
        with temporary(CODECS):
            assert main([*map(str, arguments)]) == expect
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return run


@pytest.mark.parametrize("kind", scaffold.KINDS)
def test_a_new_codec_passes_every_check_and_runs(tmp_path, said, in_process, kind):
    """Of the kind ``torch`` as ``codecbench check`` in the slow test of the page that describes it."""
    lines = said("new", "tiny_try", "--kind", kind, "--codec-dir", "my codecs").splitlines()
    assert lines[0] == str(Path("my codecs") / "tiny_try.py")
    assert "    codecbench check tiny_try --codec-dir 'my codecs'" in lines
    source = (tmp_path / "my codecs" / "tiny_try.py").read_text(encoding="utf-8")
    assert source.startswith('"""tiny_try: ')
    assert "class TinyTry(" in source
    assert "NewCodec" not in source
    assert "NAME" not in source
    # The templates are type-checked with the rest of the code.
    for command in (("check",), ("format", "--check")):
        ruff = [sys.executable, "-m", "ruff", *command, "--config", ROOT / "pyproject.toml", "my codecs"]
        done = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    with temporary(CODECS, "my codecs"):
        results = check_codec(cb.open_codec("tiny_try"), damages=30)
        assert not [result for result in results if result.result == "warning"]
        run = cb.run("tiny_try", "digits", images=5, timing=False, workers=1, out="out")
        summary = run.summary()
    assert run.failed_tasks == 0
    assert len(summary) >= 5
    assert (summary["images"] == 5).all()
    assert (summary["psnr_db"].isna() | (summary["psnr_db"] > 40)).any()


def test_names_that_are_no_codecs_or_taken_and_files_written_over_are_refused(tmp_path):
    with pytest.raises(UsageError, match="a codec called 'jpeg' is there already: "):
        scaffold.write_new_codec("jpeg", "per-image", tmp_path / "codecs")
    for name in ("_helper", "2fast", "my-codec", "../up", "class", "all", ""):
        with pytest.raises(UsageError, match=f"'{name}' is not allowed as a codec's name"):
            scaffold.write_new_codec(name, "per-image", tmp_path / "codecs")
    assert not (tmp_path / "codecs").exists()
    (tmp_path / "mine.py").write_text("precious", encoding="utf-8")
    with pytest.raises(UsageError, match=r"mine\.py is there already, and is left as it is"):
        scaffold.write_new_codec("mine", "per-image", tmp_path)
    assert (tmp_path / "mine.py").read_text(encoding="utf-8") == "precious"
    with pytest.raises(UsageError, match=r"mine\.py is no folder"):
        scaffold.write_new_codec("other", "per-image", tmp_path / "mine.py")


def test_check_tells_what_passed_and_what_failed(tmp_path, said):
    file = scaffold.write_new_codec("mine", "per-image", tmp_path)
    few = ("--codec-dir", ".", "--damages", 5)
    table = said("check", "mine:step=8", *few)
    assert not {"failed", "warning"} & set(table.split())
    assert "\ndamaged streams  passed " in table

    source = file.read_text(encoding="utf-8")
    file.write_text(source.replace("return self.step == 1", "return True"), encoding="utf-8")
    table = said("check", "mine:step=8/2", *few, expect=1)
    (row,) = [line for line in table.splitlines() if line.startswith("lossless")]
    assert "failed" in row
    assert row.endswith(" samples differ (at mine:step=8,effort=9, and at 1 other points)")

    report = json.loads(said("check", "mine:step=2/1", *few, "--json", "--seed", 7, expect=1))
    assert (report["spec"], report["seed"], report["damages"], report["failed"]) == ("mine:step=2/1", 7, 5, True)
    ends = {(result["point"], result["check"]): result["result"] for result in report["results"]}
    assert ends["mine:step=2,effort=9", "lossless"] == "failed"
    assert ends["mine:step=1,effort=9", "lossless"] == "passed"
