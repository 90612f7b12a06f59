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


@pytest.fixture
def folder(tmp_path):
    """A dataset of two images that a test can change."""
    images = tmp_path / "images"
    images.mkdir()
    for number in range(2):
        Image.fromarray(np.full((16, 16), 40 * number, np.uint8)).save(images / f"{number}.png")
    return images


def run(out, datasets, codecs="none", events=None, **options):
    watch = (lambda event: None) if events is None else events.append
    return cb.run(codecs, datasets, images=2, out=out, watch=watch, **({"timing": False, "workers": 1} | options))


@pytest.fixture
def planned(monkeypatch):
    """Counts how often codecs are chosen, which imports them."""
    calls = []
    choose = runner.choose_codecs
    monkeypatch.setattr(runner, "choose_codecs", lambda *args: calls.append(args) or choose(*args))
    return calls


def test_the_same_command_again_imports_no_codec(tmp_path, folder, planned):
    run(tmp_path / "run", f"folder:{folder}")
    events = []
    again = run(tmp_path / "run", f"folder:{folder}", events=events)
    assert len(planned) == 1
    assert not again.changed
    assert [event.text for event in events] == ["nothing to measure: all 1 tasks are there"]


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


def test_another_request_is_planned(tmp_path, folder, planned):
    run(tmp_path / "run", f"folder:{folder}")
    others = ({"images": 1}, {"seed": 1}, {"timing": True}, {"skip": ["png"]}, {"codecs": "none,png"})
    for number, other in enumerate(others, start=2):
        asked = {"datasets": f"folder:{folder}", "codecs": "none", "images": 2, "timing": False, "workers": 1} | other
        with contextlib.suppress(cb.UsageError):  # another choice of images
            cb.run(out=tmp_path / "run", **asked)
        assert len(planned) == number, other


def test_whatever_is_gone_is_measured_again(tmp_path, folder, planned):
    done = run(tmp_path / "run", f"folder:{folder}", timing=True)
    for number, pattern in enumerate(("parts/*.parquet", "parts/*.json", "timings/*.json"), start=2):
        (file,) = done.path.glob(pattern)
        file.unlink()
        assert run(tmp_path / "run", f"folder:{folder}", timing=True).changed
        assert len(planned) == number
        assert len(done.rows()) == 2


def test_changed_images_are_noticed(tmp_path, folder, planned):
    run(tmp_path / "run", f"folder:{folder}")
    Image.fromarray(np.full((16, 16), 200, np.uint8)).save(folder / "0.png")
    with pytest.raises(cb.UsageError, match="already has 2 images"):
        run(tmp_path / "run", f"folder:{folder}")
    assert len(planned) == 2


def test_changed_sources_are_noticed(tmp_path, folder, planned, monkeypatch):
    run(tmp_path / "run", f"folder:{folder}")
    before = finished.surroundings()
    write_codec(tmp_path / "plugins", "another")
    monkeypatch.setenv("CODECBENCH_CODEC_PATH", os.fspath(tmp_path / "plugins"))
    assert finished.surroundings() != before
    assert not run(tmp_path / "run", f"folder:{folder}").changed
    assert len(planned) == 2, "planned anew, and nothing found to do"


def test_a_run_with_failures_leaves_no_stamp(tmp_path, folder, monkeypatch):
    monkeypatch.setattr("codecbench.measure.task.decode", None)
    done = run(tmp_path / "run", f"folder:{folder}")
    assert done.failed_tasks == 1
    assert not (done.path / finished.FILE).exists()


def test_a_command_that_changes_the_folder_forgets_the_stamp(tmp_path, folder, monkeypatch):
    done = run(tmp_path / "run", f"folder:{folder}")
    assert (done.path / finished.FILE).exists()
    monkeypatch.setattr("codecbench.measure.task.decode", None)
    run(tmp_path / "run", f"folder:{folder}", codecs="png:compress_level=1")
    assert not (done.path / finished.FILE).exists()


def test_plugins_of_others_leave_no_stamp(tmp_path, folder, codec_folder):
    write_codec(codec_folder, "mine")
    assert not (run(tmp_path / "run", f"folder:{folder}", codecs="mine").path / finished.FILE).exists()


def test_a_damaged_stamp_is_none(tmp_path, folder, planned):
    done = run(tmp_path / "run", f"folder:{folder}")
    for number, content in enumerate(("", "{", "[]", "{}"), start=2):
        (done.path / finished.FILE).write_text(content, encoding="utf-8")
        assert not run(tmp_path / "run", f"folder:{folder}").changed
        assert len(planned) == number
