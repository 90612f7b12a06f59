"""Whole datasets as one stream, in a run: what is stored, resuming, failures, and who gets to see what."""

import json
import re

import numpy as np
import pytest
from measuring import measure
from PIL import Image
from plugins import forget

import codecbench as cb
from codecbench.execution import runner, sets
from codecbench.plan.planner import choose_codecs, choose_datasets, make_plan
from codecbench.plugins.registry import CODECS

FAULTY = """
import os, time
from dataclasses import dataclass
import numpy as np
import codecbench as cb

SEEN = []

@cb.register_codec
@dataclass(frozen=True)
class Mine(cb.SetCodec, cb.PerImageCodec):
    fault: str = cb.setting("none", sweep=("none", "exit", "hang", "memory", "lossy"))

    @property
    def lossless(self):
        return self.fault != "lossy"

    @classmethod
    def set_points(cls, shape):
        return cls.default_points(shape)

    def encode_image(self, image):
        SEEN.append(image)
        return bytes(image.shape) + image.tobytes()

    def decode_image(self, stream):
        SEEN.append(np.frombuffer(stream[3:], np.uint8).reshape(tuple(stream[:3])))
        return SEEN[-1]

    def encode_set(self, images):
        SEEN.extend(images)
        if self.fault == "hang":
            time.sleep(60)
        stream = bytes(images.shape) + images.tobytes()
        return bytearray(stream) if self.fault == "bytearray" else stream

    def decode_set(self, stream):
        if self.fault == "exit":
            os._exit(3)
        if self.fault == "memory":
            return np.stack(SEEN)
        images = np.frombuffer(stream[4:], np.uint8).reshape(tuple(stream[:4]))
        if self.fault == "list":
            return [1, 2, 3]
        if self.fault == "cut":
            return images[:, :27]
        return images ^ (np.arange(len(images)) == 1).astype(np.uint8)[:, None, None, None] * (self.fault == "pixel")
"""


def run(codecs, out, **options):
    return measure(codecs, out, **({"keep_images": 0} | options))


@pytest.mark.usefixtures("in_process")
def test_a_set_is_stored_and_measured_once(tmp_path, monkeypatch):
    without = run("deflate:level=1/9,filter=up,none", tmp_path / "run", sets=False)
    assert without.sets().empty
    assert not (without.path / "sets").exists()
    events = []
    done = run("deflate:level=1/9,filter=up,none", tmp_path / "run", events=events)
    assert [(event.done, event.total) for event in events if event.kind == "packed"] == [(0, 2), (1, 2), (2, 2)]
    assert {(event.done, event.total) for event in events if event.kind == "measured"} == {(3, 3)}, "nothing again"
    table = done.sets()
    assert list(table["codec"]) == ["deflate", "deflate"], "of the points asked for; none is no SetCodec"
    images = cb.open_dataset("digits").read([int(index) for index in sorted(done.rows()["image"].unique())])
    for row in table.itertuples():
        stream = cb.open_codec(f"deflate:{row.settings}").encode_set(images)
        assert (row.images, row.set_bytes, row.status) == (3, len(stream), "")
        assert row.bits_per_image == pytest.approx(8 * len(stream) / 3)
        assert row.bits_per_pixel == pytest.approx(8 * len(stream) / 3 / 784)
        assert row.encode_s > 0
        assert row.decode_s > 0
    (first, second) = (done.path / "sets").glob("*.json")
    record = json.loads(first.read_text())
    assert record["id"] == first.stem
    assert record["shape"] == [28, 28, 1]
    chosen = []
    choose = runner.choose_codecs
    monkeypatch.setattr(runner, "choose_codecs", lambda *args: chosen.append(args) or choose(*args))
    assert not run("deflate:level=1/9,filter=up,none", tmp_path / "run").changed
    assert not chosen, "the stamp knows of sets"
    kept = second.stat().st_mtime_ns
    first.write_text("damaged")
    again = run("deflate:level=1/9,filter=up,none", tmp_path / "run")
    assert again.changed
    assert second.stat().st_mtime_ns == kept, "only what was missing is made"
    assert list(again.sets()["set_bytes"]) == list(table["set_bytes"])


def test_failures_cost_only_their_own_set(tmp_path, codec_folder):
    (codec_folder / "faulty.py").write_text(FAULTY)
    done = run("faulty", tmp_path / "run", task_timeout_s=2.0)
    assert len(done.rows()) == 15, "single images are measured all the same"
    status = dict(zip(done.sets()["settings"], done.sets()["status"], strict=True))
    assert status == {
        "fault=none": "",
        "fault=exit": "failed: the decoding process died with exit code 3",
        "fault=hang": "failed: the encoding process gave no answer for 2 s (--task-timeout) and was killed",
        "fault=memory": "failed: ValueError: need at least one array to stack",
        "fault=lossy": "skipped: the codec is not lossless at these settings",
    }
    assert done.failed_tasks == 3
    assert not (done.path / "stamp.json").exists()
    (codec_folder / "faulty.py").write_text(FAULTY.replace("os._exit(3)", "pass"))
    forget("faulty")
    mended = run("faulty:fault=exit", tmp_path / "run")
    assert list(mended.sets()["status"]) == [""], "no record of the codec as it was before"


@pytest.mark.usefixtures("in_process")
def test_what_a_codec_gives_is_looked_at(tmp_path, codec_folder):
    (codec_folder / "faulty.py").write_text(FAULTY)
    done = run("faulty:fault=bytearray/list/cut/pixel", tmp_path / "run")
    assert dict(zip(done.sets()["settings"], done.sets()["status"], strict=True)) == {
        f"fault={fault}": f"failed: ContractError: faulty:fault={fault}: {words}"
        for fault, words in {
            "bytearray": "encode_set must return bytes, not bytearray",
            "list": "decode_set must return an array of uint8, not list",
            "cut": "decode_set gave the shape 3×27×28×1 instead of 3×28×28×1",
            "pixel": "as one set, 1 of 3 images are not restored exactly",
        }.items()
    }


@pytest.mark.usefixtures("in_process")
def test_datasets_that_make_no_set_and_plugins_that_cannot_tell(tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("oops")

    events = []

    def reason(out, codecs="bz2,none", datasets="digits"):
        done = run(codecs, tmp_path / out, datasets=datasets, events=events)
        (status,) = set(done.sets()["status"])
        return status

    for number, size in enumerate(((8, 8), (8, 8), (8, 9))):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(np.full(size, 40 * number, np.uint8)).save(tmp_path / "images" / f"{number}.png")
    two_shapes = f"folder:{tmp_path / 'images'}"
    words = "the images have 2 shapes; a set is of one"
    for codecs in ("bz2,none", "bz2:level=1"):
        assert reason("shapes", codecs, two_shapes) == f"skipped: {words}"
    told = [event.text for event in events if event.text.startswith("no set of")]
    assert told == [f"no set of {two_shapes} by bz2: {words}"], "said once"
    with monkeypatch.context() as patch:
        patch.setattr(sets, "MAX_SET_BYTES", 1_000)
        assert reason("large") == "skipped: the set has 2,352 samples; coded are sets of up to 1,000"
    for method, words in (
        ("check_set", "whether the codec takes such a set cannot be determined"),
        ("set_points", "its points for sets cannot be determined"),
    ):
        monkeypatch.setattr(CODECS.get("bz2"), method, broken)
        assert re.fullmatch(f"skipped: {words}: (codec 'bz2': .*: )?ZeroDivisionError: oops", reason(method))


def test_points_of_sets(tmp_path):
    choices, _ = choose_codecs("zstd,zstd:level=3,filter=up")
    datasets, _ = choose_datasets("digits", tmp_path)
    found = sets.tasks(choices, make_plan(choices, datasets, tmp_path, count=2, seed=0, device_name="cpu"))
    levels = ["level=22,filter=none", "level=22,filter=adaptive", "level=3,filter=up"]
    assert [str(one.task.codec) for one in found] == [f"zstd:{level}" for level in levels]
    assert len({one.id for one in found}) == 3
