"""What a run keeps to look at: pictures asked for later, each codec's worst images, windows, failures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from in_process import in_this_process
from measuring import measure, measured
from PIL import Image
from plugins import write_codec

import codecbench as cb
from codecbench.cli.run import run as command
from codecbench.errors import UsageError
from codecbench.execution.pictures import WORST_IMAGES
from codecbench.plan.planner import KEPT_IMAGES
from codecbench.store.folder import RunFolder, original_name
from codecbench.store.io import WINDOW
from codecbench.store.pictures import WorstCase, WorstImagesRecord, choose_window

pytestmark = pytest.mark.usefixtures("in_process")
CODECS = "jpeg:quality=10/80,svd:rank=2/9"


def texts(events):
    return [event.text for event in events]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> cb.Run:
    with in_this_process():
        return measure(CODECS, tmp_path_factory.mktemp("kept") / "run", images=9, keep_images=3)


def store_of(run: cb.Run) -> RunFolder:
    return RunFolder.existing(run.path)


def samples(store: RunFolder) -> dict[str, set[int]]:
    return {task.task_id: store.sample_indices(f"{task.task_id}.npz") for task in store.tasks()}


# ---- the worst images -----------------------------------------------------------------------------------------------


def test_each_lossy_codecs_worst_images_are_kept_with_those_of_a_codec_to_compare_with(run: cb.Run) -> None:
    store, rows = store_of(run), run.rows().set_index(["codec", "settings", "image"])
    digits, cases = cb.open_dataset("digits"), store.records(WorstCase)
    own = {case.codec: case for case in cases if case.codec == case.worst_of}
    assert own.keys() == {"jpeg", "svd"}
    for name, case in own.items():
        points = rows.loc[name]
        assert case.codec_fingerprint == store.manifest["codecs"][name]["fingerprint"]
        errors = points.loc[case.settings, "mse"].sort_values(ascending=False, kind="stable")
        assert [kept.image for kept in case.images] == list(errors.index[:WORST_IMAGES])
        for kept in case.images:
            assert kept.num_bytes == points.loc[(case.settings, kept.image), "num_bytes"]
            assert kept.mse == pytest.approx(points.loc[(case.settings, kept.image), "mse"])
            assert (kept.height, kept.width, kept.top, kept.left) == (28, 28, 0, 0)
            np.testing.assert_array_equal(kept.original, digits.read([kept.image])[0])
            assert case.classes[kept.image] == digits.labels[kept.image]
            codec = cb.open_codec(f"{name}:{case.settings}")
            np.testing.assert_array_equal(kept.picture, codec.decode(codec.encode(kept.original[None]))[0])
        others = [other for other in cases if other.key == case.key and other.codec != name]
        assert {other.codec for other in others} == own.keys() - {name}
        for other in others:
            for mine, theirs in zip(case.images, other.images, strict=True):
                assert mine.image == theirs.image
                np.testing.assert_array_equal(mine.original, theirs.original)


# ---- more pictures, fewer, and none ---------------------------------------------------------------------------------


def test_another_number_of_pictures_measures_nothing_again(run: cb.Run) -> None:
    store = store_of(run)
    shown = store.manifest["datasets"]["digits"]["shown"]
    assert len(shown) == 3
    assert {frozenset(held) for held in samples(store).values()} == {frozenset(shown)}
    parts = {file: file.read_bytes() for file in (run.path / "parts").iterdir()}
    pictures = store.reconstructions("digits", "svd", "rank=2")

    events: list[object] = []
    assert not measure(CODECS, run.path, images=9, keep_images=2, events=events).changed
    assert any("nothing to measure" in text for text in texts(events))

    events = []
    measure(CODECS, run.path, images=9, keep_images=5, events=events)
    assert measured(events) == 0
    store = store_of(run)
    record = store.manifest["datasets"]["digits"]
    more = record["shown"]
    assert more[:3] == shown
    assert len(more) == 5
    labels = cb.open_dataset("digits").labels
    assert record["classes"] == {str(index): labels[index] for index in more}
    assert {frozenset(held) for held in samples(store).values()} == {frozenset(more)}
    assert store.originals("digits").keys() == set(more)
    assert {file: file.read_bytes() for file in (run.path / "parts").iterdir()} == parts
    again = store.reconstructions("digits", "svd", "rank=2")
    for index, picture in pictures.items():
        np.testing.assert_array_equal(again[index], picture)
    codec = cb.open_codec("svd:rank=2")
    original = store.originals("digits")[more[-1]]
    np.testing.assert_array_equal(again[more[-1]], codec.decode(codec.encode(original[None]))[0])

    events = []
    assert not measure(CODECS, run.path, images=9, keep_images=0, events=events).changed
    assert store_of(run).manifest["datasets"]["digits"]["shown"] == more
    assert not measure(CODECS, run.path, images=9, keep_images=5).changed


def test_what_is_lost_is_made_again(run: cb.Run) -> None:
    store = store_of(run)
    before = {(case.key, case.codec, case.settings) for case in store.records(WorstCase)}
    kept = sorted((run.path / "kept").glob("*.npz"))
    kept[0].write_bytes(kept[0].read_bytes()[:-40])
    kept[1].unlink()
    task = store.tasks()[0].task_id
    held = store.sample_indices(f"{task}.npz")
    (run.path / "samples" / f"{task}.npz").write_bytes(b"PK")
    assert len(store.records(WorstCase)) == len(before) - 2
    originals = store.originals("digits")
    events: list[object] = []
    assert measure(CODECS, run.path, images=9, keep_images=3, events=events).changed
    assert measured(events) == 0
    store = store_of(run)
    assert {(case.key, case.codec, case.settings) for case in store.records(WorstCase)} == before
    assert store.sample_indices(f"{task}.npz") <= held
    assert len(store.sample_indices(f"{task}.npz")) == 3
    assert not measure(CODECS, run.path, images=9, keep_images=3).changed
    (run.path / "samples" / original_name("digits")).unlink()
    assert measure(CODECS, run.path, images=9, keep_images=3).changed
    assert store_of(run).originals("digits").keys() == originals.keys()
    assert not measure(CODECS, run.path, images=9, keep_images=3).changed


def test_without_pictures_nothing_is_kept(tmp_path: Path) -> None:
    done = measure("png", tmp_path / "run", images=1, keep_images=0)
    assert not (tmp_path / "run" / "kept").exists()
    assert not (tmp_path / "run" / "samples").exists()
    assert not measure("png", tmp_path / "run", images=1, keep_images=0).changed
    assert measure("png", tmp_path / "run", images=1, keep_images=4).changed
    assert len(store_of(done).originals("digits")) == 1  # there is only this one
    assert store_of(done).records(WorstCase) == []  # and it is restored
    with pytest.raises(UsageError, match=r"keep_images=-1 is not allowed; allowed: 0 or more"):
        measure("png", tmp_path / "run", images=1, keep_images=-1)


# ---- shapes, windows, failures --------------------------------------------------------------------------------------


def test_images_of_odd_shapes_and_the_window_of_a_large_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.full((300, 420, 3), 128, np.uint8)
    pixels[250:290, 20:60] = np.random.default_rng(0).integers(0, 256, (40, 40, 3))  # all of the error is here
    small = np.random.default_rng(1).integers(0, 256, (5, 7), dtype=np.uint8)
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(pixels).save(folder / "large.png")
    Image.fromarray(small).save(folder / "small.png")
    done = measure("jpeg:quality=40/75", tmp_path / "run", f"folder:{folder}", images=None)
    store = store_of(done)
    (case,) = store.records(WorstCase)  # nothing else is here to compare with
    kept = {one.image: one for one in case.images}
    large, tiny = kept[0], kept[1]
    assert (large.height, large.width) == (300, 420)
    assert large.picture.shape == (WINDOW, WINDOW, 3)
    assert large.top >= 290 - WINDOW
    assert large.left <= 20
    rows, columns = slice(large.top, large.top + WINDOW), slice(large.left, large.left + WINDOW)
    np.testing.assert_array_equal(large.original, pixels[rows, columns])
    assert tiny.original.shape[:2] == (5, 7)
    assert (tiny.top, tiny.left) == (0, 0)


def test_the_window_is_where_the_error_is_largest() -> None:
    random = np.random.default_rng(3)
    for height, width, side in ((9, 13, 4), (4, 9, 4), (3, 3, 8), (1, 1, 1)):
        original, picture = random.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
        error = (original.astype(int) - picture) ** 2
        sums = {
            (top, left): error[top : top + side, left : left + side].sum()
            for top in range(max(1, height - side + 1))
            for left in range(max(1, width - side + 1))
        }
        assert choose_window(original, picture, side) == max(sums, key=lambda at: sums[at])


FEW = """
    def encode(self, images):
        if len(images) < 5:
            raise cb.UnsupportedImageError("too few images")
        return super().encode(images)
"""


def test_a_codec_that_fails_costs_a_note_and_is_tried_again(tmp_path: Path, codec_folder: Path) -> None:
    write_codec(codec_folder, "many", encode="image = image // 16 * 16", extra=FEW)
    events: list[object] = []
    done = measure("many", tmp_path / "run", images=6, keep_images=2, events=events)
    assert done.failed_tasks == 0
    assert len(done.rows()) == 6
    assert any("no pictures of many:level=0 on digits: " in text and "too few images" in text for text in texts(events))
    store = store_of(done)
    assert store.records(WorstCase) == []
    (failure,) = store.failures(WorstImagesRecord)
    assert (failure.codec, failure.dataset) == ("many", "digits")
    assert "too few images" in failure.failed
    events = []
    measure("many", tmp_path / "run", images=6, keep_images=2, events=events)
    assert measured(events) == 0
    assert any("too few images" in text for text in texts(events))


def test_the_command_keeps_as_many_pictures_as_the_library() -> None:
    (option,) = (option for option in command.params if option.name == "keep_images")
    assert option.default == KEPT_IMAGES == 24
