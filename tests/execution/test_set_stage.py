"""Whole datasets as one stream, in a run: what is stored, resuming, failures, and who gets to see what."""

import json

import numpy as np
import pytest
from measuring import measure
from PIL import Image

import codecbench as cb
from codecbench.errors import ContractError
from codecbench.execution import runner, sets
from codecbench.execution.context import RunContext
from codecbench.plan.planner import choose_codecs, choose_datasets, make_plan
from codecbench.plan.tasks import Task
from codecbench.plugins.codec import CodecSpec
from codecbench.plugins.registry import CODECS
from codecbench.store.folder import RunFolder

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
        return bytes(images.shape) + images.tobytes()

    def decode_set(self, stream):
        if self.fault == "exit":
            os._exit(3)
        if self.fault == "memory":
            return np.stack(SEEN)
        return np.frombuffer(stream[4:], np.uint8).reshape(tuple(stream[:4]))
"""


def run(codecs, out, **options):
    return measure(codecs, out, **({"keep_images": 0} | options))


@pytest.fixture
def two_shapes(tmp_path):
    """A dataset of images of two shapes."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, size in enumerate(((8, 8), (8, 8), (8, 9))):
        Image.fromarray(np.full(size, 40 * number, np.uint8)).save(folder / f"{number}.png")
    return folder


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
    CODECS.forget("faulty")
    mended = run("faulty:fault=exit", tmp_path / "run")
    assert list(mended.sets()["status"]) == [""], "no record of the codec as it was before"


def plan_of(codecs, dataset, count, root):
    choices, _ = choose_codecs(codecs)
    datasets, _ = choose_datasets(dataset, root)
    return choices, make_plan(choices, datasets, root, count=count, seed=0, device_name="cpu")


def test_datasets_that_make_no_set(tmp_path, two_shapes, monkeypatch):
    choices, plan = plan_of("bz2,none", f"folder:{two_shapes}", None, tmp_path)
    (skipped,) = sets.tasks(choices, plan)
    assert skipped.skipped == "the images have 2 shapes; a set is of one"
    store = RunFolder(tmp_path / "run")
    events = []
    assert sets.waiting([skipped], store)
    assert sets.code_sets([skipped], RunContext(plan, store, None, None, events.append)) == 0
    assert not sets.waiting([skipped], store), "said once"
    assert events[0].text.endswith("by bz2: the images have 2 shapes; a set is of one")
    monkeypatch.setattr(sets, "MAX_SET_BYTES", 1_000)
    choices, plan = plan_of("bz2", "digits", 2, tmp_path)
    reasons = {one.skipped for one in sets.tasks(choices, plan)}
    assert reasons == {"the set has 1,568 samples; coded are sets of up to 1,000"}


def test_points_of_sets(tmp_path):
    choices, plan = plan_of("zstd,zstd:level=3,filter=up", "digits", 2, tmp_path)
    specs = [str(one.task.codec) for one in sets.tasks(choices, plan)]
    assert specs == ["zstd:level=22,filter=none", "zstd:level=22,filter=adaptive", "zstd:level=3,filter=up"]
    assert len({one.id for one in sets.tasks(choices, plan)}) == 3


def test_a_plugin_that_cannot_tell_is_skipped(tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("oops")

    choices, plan = plan_of("bz2", "digits", 2, tmp_path)
    for method, reason in (
        ("check_set", "whether the codec takes such a set cannot be determined: ZeroDivisionError: oops"),
        ("set_points", "its points for sets cannot be determined: ZeroDivisionError: oops"),
    ):
        monkeypatch.setattr(choices[0].cls, method, broken)
        assert {one.skipped for one in sets.tasks(choices, plan)} == {reason}


class Odd:
    """Stands in for a codec whose methods give something else than they should."""

    def on(self, device):
        return self

    def encode_set(self, images):
        return bytearray(images.tobytes())

    def decode_set(self, bitstream):
        return [1, 2, 3]


def test_what_a_codec_gives_is_looked_at(monkeypatch):
    spec, images = CodecSpec("odd"), np.zeros((2, 3, 4, 1), np.uint8)
    monkeypatch.setattr(sets.CODECS, "get", lambda name: Odd)
    with pytest.raises(ContractError, match="encode_set must return bytes, not bytearray"):
        sets.encode(spec, images, "cpu")
    with pytest.raises(ContractError, match="decode_set must return an array of uint8, not list"):
        sets.decode(spec, b"", "cpu")
    task = Task("digits", spec, (0, 1), (3, 4, 1), (), "")
    with pytest.raises(ContractError, match="1 of 2 images are not restored"):
        sets._compare(task, images, images + np.array([0, 1], np.uint8)[:, None, None, None])
    with pytest.raises(ContractError, match="2×4×3×1 instead of 2×3×4×1"):
        sets._compare(task, images, images.swapaxes(1, 2))
