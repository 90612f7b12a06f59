"""The stamp of a finished command: when it spares the import of the codecs, and when it must not."""

import contextlib
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from plugins import write_codec

import codecbench as cb
from codecbench.execution import finished, runner

pytestmark = pytest.mark.usefixtures("in_process")


def save(folder, number, level):
    Image.fromarray(np.full((16, 16), level, np.uint8)).save(folder / f"{number}.png")


@pytest.fixture
def run(tmp_path):
    """Measures a folder of two images into a run folder that already has the stamp of one such command."""
    images = tmp_path / "images"
    images.mkdir()
    for number in range(2):
        save(images, number, 40 * number)
    usual = {"datasets": f"folder:{images}", "images": 2, "timing": False, "workers": 1}

    def again(codecs="none", **options):
        return cb.run(codecs, out=tmp_path / "run", **({"watch": lambda event: None} | usual | options))

    assert again().changed
    assert (tmp_path / "run" / finished.FILE).exists()
    return again


@pytest.fixture
def planned(run, monkeypatch):
    """Counts how often codecs are chosen, which imports them, after the first run."""
    calls = []
    choose = runner.choose_codecs
    monkeypatch.setattr(runner, "choose_codecs", lambda *args: calls.append(args) or choose(*args))
    return calls


def test_the_same_command_again_imports_no_codec(run, planned):
    events = []
    assert not run(watch=events.append).changed
    assert [event.text for event in events] == ["nothing to measure: all 1 tasks are there"]
    assert not planned


@pytest.mark.slow
def test_a_finished_run_of_a_codec_with_torch_does_not_load_it(tmp_path):
    script = (
        "import sys, codecbench as cb\n"
        f"done = cb.run('svd:rank=3', 'digits', images=2, out={str(tmp_path / 'run')!r}, timing=False, workers=1)\n"
        "print(done.changed, 'torch' in sys.modules)"
    )
    answers = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    ]
    assert answers == [["True", "True"], ["False", "False"]]


def test_another_request_is_planned(run, planned):
    others = ({"images": 1}, {"seed": 1}, {"timing": True}, {"skip": ["png"]}, {"codecs": "none,png"})
    for number, other in enumerate(others, start=1):
        with contextlib.suppress(cb.UsageError):  # another choice of images
            run(**other)
        assert len(planned) == number, other


def test_whatever_is_gone_is_measured_again(run):
    done = run(timing=True)
    for pattern in ("parts/*.parquet", "parts/*.json", "timings/*.json"):
        (file,) = done.path.glob(pattern)
        file.unlink()
        assert run(timing=True).changed
        assert len(done.rows()) == 2


def test_changed_images_and_sources_are_noticed(run, planned, tmp_path, monkeypatch):
    write_codec(tmp_path / "plugins", "another")
    monkeypatch.setenv("CODECBENCH_CODEC_PATH", os.fspath(tmp_path / "plugins"))
    assert not run().changed
    assert len(planned) == 1, "planned anew, and nothing found to do"
    save(tmp_path / "images", 0, 200)
    with pytest.raises(cb.UsageError, match="already has 2 images"):
        run()
    assert len(planned) == 2


def test_a_run_with_failures_or_plugins_of_others_leaves_no_stamp(run, codec_folder, monkeypatch):
    write_codec(codec_folder, "mine")
    done = run("mine")
    assert not (done.path / finished.FILE).exists()
    run()
    assert (done.path / finished.FILE).exists()
    monkeypatch.setattr("codecbench.measure.task.decode", None)
    assert run("png:compress_level=1").failed_tasks == 1
    assert not (done.path / finished.FILE).exists()


def test_a_damaged_stamp_is_none(run, planned):
    for number, content in enumerate(("", "{", "[]", "{}"), start=1):
        (run().path / finished.FILE).write_text(content, encoding="utf-8")
        assert not run().changed
        assert len(planned) == number
