"""What a run keeps of learned codecs: latents, their plane and training logs; when it is made, and when it counts."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from in_process import in_this_process
from measuring import measure
from plugins import forget, write_codec
from runs import usual_run

import codecbench as cb
from codecbench.analysis.pca import principal_plane
from codecbench.execution import latents as stage
from codecbench.execution import workers
from codecbench.plan.planner import open_dataset
from codecbench.report import learned as section
from codecbench.report.context import Context
from codecbench.store import weights as weightfiles
from codecbench.store.folder import RunFolder
from codecbench.store.latents import Latents

LATENTS = """
    def latents(self, images):
        {begin}
        return images[:, ::7, ::7, :].astype(np.float32) / 255 + self.level
"""
WEIGHTS = """
    @classmethod
    def weight_files(cls):
        from pathlib import Path
        return (str(Path(__file__).parent / "weights" / "seen.safetensors"),)
"""


def learned(codec_folder: Path, name: str = "seen", begin: str = "pass", extra: str = "") -> None:
    """A plugin with latents (N, 4, 4, 1)."""
    workers.close()
    forget(name)
    write_codec(codec_folder, name, extra=LATENTS.format(begin=begin) + extra)


def run(
    out: Path, codecs: str = "seen", images: int = 12, here: bool = True, **options: object
) -> tuple[cb.Run, list[str]]:
    """A run without timings, in this process or in processes of its own, and the notes that it gave."""
    events: list[Any] = []
    with in_this_process() if here else contextlib.nullcontext():
        done = measure(codecs, out, images=images, events=events, **options)
    return done, [event.text for event in events if event.kind == "note"]


def found(out: Path) -> list[Latents]:
    return RunFolder.existing(out).latents()


def warnings(out: Path) -> list[str]:
    notes = Context(RunFolder.existing(out)).notes
    return [line for note in notes if note.title.startswith("Latents") for line in note.lines]


# ---- latents -------------------------------------------------------------------------------------------------------


def test_a_run_keeps_latents_their_plane_and_labels_and_its_report_shows_them(
    codec_folder: Path, tmp_path: Path
) -> None:
    learned(codec_folder, begin="assert 'pytest' not in sys.modules")  # the parent computes nothing
    learned(codec_folder, "large", extra="\n    image_shape = (64, 64, 3)\n")
    done, notes = run(tmp_path / "run", "seen,large,png", here=False)
    (seen,) = found(done.path)
    assert not [note for note in notes if "latents" in note], "what has none leaves nothing"
    assert (seen.dataset, seen.codec, seen.settings) == ("digits", "seen", "level=0")
    digits = open_dataset("digits", tmp_path)
    rows = done.rows()
    chosen = sorted(rows[rows["codec"] == "seen"]["image"])
    latents = digits.read(chosen)[:, ::7, ::7, :].astype(np.float32) / 255
    plane = principal_plane(latents)
    np.testing.assert_allclose(seen.points, plane.project(latents), atol=1e-5)
    assert seen.explained == pytest.approx(plane.explained)
    assert seen.labels is not None
    np.testing.assert_array_equal(seen.labels, digits.labels[chosen])
    store = RunFolder.existing(done.path)
    shown = store.originals("digits")
    assert list(seen.shown) == store.manifest["datasets"]["digits"]["shown"][: stage.MOST_SHOWN]
    for index, latent in seen.shown.items():
        np.testing.assert_array_equal(latent, shown[index][::7, ::7, :].astype(np.float32) / 255)
        assert seen.shown_labels[index] == digits.labels[index]
    html = done.report().read_text(encoding="utf-8")
    assert "seen: images, their latents of 16 numbers (4×4), and the reconstructions" in html
    assert "seen: the latents of the 12 images, in a plane" in html


def test_what_is_there_is_not_made_again_and_what_is_gone_is(codec_folder: Path, tmp_path: Path) -> None:
    learned(codec_folder)
    done, _ = run(tmp_path / "run", images=4)
    (file,) = (done.path / "latents").glob("*.npz")
    content, parts = file.read_bytes(), {part: part.stat().st_mtime_ns for part in (done.path / "parts").iterdir()}
    again, _ = run(tmp_path / "run", images=4)
    assert not again.changed
    (seen,), store = found(done.path), RunFolder.existing(done.path)
    without_labels = dataclasses.replace(seen, labels=None, shown_labels={})  # which came later
    for damage in (
        file.unlink,
        lambda: file.write_bytes(content[:100]),
        lambda: file.write_bytes(b""),
        lambda: store.write_record(file.stem, without_labels),
    ):
        damage()
        assert all(seen.labels is None for seen in found(done.path))
        again, _ = run(tmp_path / "run", images=4)
        assert again.changed
        assert file.read_bytes() == content
    assert parts == {part: part.stat().st_mtime_ns for part in (done.path / "parts").iterdir()}
    (before,) = found(done.path)
    learned(codec_folder, begin="images = 255 - images")  # an edited codec does not show the old ones
    run(tmp_path / "run", images=4)
    (after,) = found(done.path)
    assert len(list((done.path / "latents").glob("*.npz"))) == 2
    first = next(iter(before.shown))
    np.testing.assert_allclose(after.shown[first], 1 - before.shown[first], atol=1e-6)


def test_fewer_pictures_make_no_other_latents_and_more_take_their_place(codec_folder: Path, tmp_path: Path) -> None:
    learned(codec_folder)
    done, _ = run(tmp_path / "run", images=6, keep_images=4)
    (before,) = found(done.path)
    assert not run(tmp_path / "run", images=6, keep_images=2)[0].changed
    assert found(done.path)[0].shown.keys() == before.shown.keys()
    run(tmp_path / "run", images=6, keep_images=5)
    files = list((done.path / "latents").glob("*.npz"))
    assert len(files) == 2
    for last in files:  # whatever their names
        (seen,) = found(done.path)
        assert len(seen.shown) == 5
        last.rename(last.with_name(f"{'0' if last.name > min(files).name else 'f'}{last.name[1:]}"))


def test_of_several_points_the_default_is_kept_or_the_first(codec_folder: Path, tmp_path: Path) -> None:
    learned(codec_folder)
    run(tmp_path / "one", "seen:level=5/0/9", 4)
    assert [seen.settings for seen in found(tmp_path / "one")] == ["level=0"]
    run(tmp_path / "two", "seen:level=5/9", 4)
    assert [seen.settings for seen in found(tmp_path / "two")] == ["level=5"]
    run(tmp_path / "two", "seen:level=0", 4)
    assert [seen.settings for seen in found(tmp_path / "two")] == ["level=0", "level=5"]


def test_a_map_of_many_images_takes_some_evenly(
    codec_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "MOST_IMAGES", 5)
    monkeypatch.setattr(stage, "MOST_SHOWN", 2)
    learned(codec_folder)
    done, _ = run(tmp_path / "run", images=13)
    (seen,) = found(done.path)
    chosen = sorted(done.rows()["image"])[::3]
    assert seen.labels is not None
    np.testing.assert_array_equal(seen.labels, open_dataset("digits", tmp_path).labels[chosen])
    assert len(seen.shown) == 2
    assert "the latents of 5 of the 13 images" in done.report().read_text(encoding="utf-8")


# ---- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begin", "reason"),
    [
        ("raise ValueError('no such layer')", "ValueError: no such layer"),
        ("return images[0]", "latents must give an array of floats, not an array of uint8"),
        ("return [1.0]", "latents must give an array of floats, not list"),
        ("return np.zeros((1, 4))", "latents must give 4 latents (N, …), not the shape 1×4"),
        ("return np.full((len(images), 4), np.nan)", "values that are not finite"),
        ("images[0] = 0", "read-only"),
    ],
)
def test_a_failure_is_a_note_that_loses_nothing_until_it_is_mended(
    codec_folder: Path, tmp_path: Path, begin: str, reason: str
) -> None:
    flag = tmp_path / "broken"
    flag.touch()
    learned(codec_folder, begin=f"if os.path.exists({str(flag)!r}): {begin}")
    done, notes = run(tmp_path / "run", images=4)
    assert done.failed_tasks == 0
    assert len(done.rows()) == 4
    (note,) = [note for note in notes if note.startswith("no latents of seen")]
    assert reason in note
    (warning,) = warnings(done.path)
    assert reason in warning
    assert found(done.path) == []
    flag.unlink()
    run(tmp_path / "run", images=4)
    assert warnings(done.path) == []
    assert len(found(done.path)) == 1


@pytest.mark.slow
def test_a_worker_that_dies_costs_its_own_latents_only(codec_folder: Path, tmp_path: Path) -> None:
    learned(codec_folder, "seen")
    learned(codec_folder, "deadly", begin="os._exit(3)")
    done, notes = run(tmp_path / "run", "deadly,seen", 4, here=False)
    assert [seen.codec for seen in found(done.path)] == ["seen"]
    assert [note for note in notes if "no latents of deadly" in note and "the encoding process died" in note]
    workers.close()


# ---- training logs ---------------------------------------------------------------------------------------------------


def write_weights(codec_folder: Path, weights: bytes = b"weights", log: pd.DataFrame | None = None) -> None:
    folder = codec_folder / "weights"
    folder.mkdir(exist_ok=True)
    (folder / "seen.safetensors").write_bytes(weights)
    if log is not None:
        log.to_csv(folder / "seen.csv", index=False)


def log() -> pd.DataFrame:
    epochs = {"epoch": [1, 2, 3], "train_loss": [0.3, 0.2, 0.1], "seconds": 60.0}
    return pd.DataFrame(epochs | {"held_out_mse": [0.3, 0.1, 0.2], "test_mse": [0.31, 0.11, 0.21]})


def test_the_log_beside_the_weights_comes_into_the_run_and_its_report(codec_folder: Path, tmp_path: Path) -> None:
    write_weights(codec_folder)
    learned(codec_folder, extra=WEIGHTS)
    done, _ = run(tmp_path / "run", images=4)
    assert not (done.path / "training").exists()
    write_weights(codec_folder, log=log())  # later than the weights
    (codec_folder / "weights" / "seen.json").write_text('{"best_epoch": 2}', encoding="utf-8")
    again, _ = run(tmp_path / "run", images=4)
    assert again.changed
    (copy,) = (done.path / "training").glob("*.csv")
    assert copy.read_bytes() == (codec_folder / "weights" / "seen.csv").read_bytes()
    store = RunFolder.existing(done.path)
    assert weightfiles.cards(store, "seen") == {"seen.safetensors": {"best_epoch": 2}}
    assert store.manifest["codecs"]["seen"]["weight_sizes"] == {"seen.safetensors": {"bytes": 7, "parameters": None}}
    logs, lacking = weightfiles.training_logs(store, "seen")
    assert lacking == []
    pd.testing.assert_frame_equal(logs["seen"], log())
    (codec_folder / "weights" / "seen.csv").unlink()  # the report is drawn from the folder alone
    html = done.report().read_text(encoding="utf-8")
    assert "3.0 min" in html
    assert '<data value="0.11">' in html
    assert (done.path / "figures" / "training.svg").is_file()
    write_weights(codec_folder, b"other weights")  # whose log it is not
    run(tmp_path / "run", images=4)
    assert weightfiles.training_logs(RunFolder.existing(done.path), "seen") == ({}, ["seen"])


def run_with_log(path: Path, content: bytes) -> RunFolder:
    """A made-up run whose learned codec has a training log."""
    store = usual_run(path).store
    store.manifest["codecs"]["net"]["weights"] = {"net.safetensors": "0" * 64}
    store.write_file(f"training/net-{'0' * 12}.csv", content)
    return store


def test_a_log_judged_by_a_score_tells_its_unit(tmp_path: Path) -> None:
    scored = log().rename(columns={"held_out_mse": "held_out_score", "test_mse": "test_score"})
    store = run_with_log(tmp_path, scored.to_csv(index=False).encode())
    assert "<td>score</td>" in section.section(Context(store)).html
    store.write_file(f"training/net-{'0' * 12}.json", b'{"judged_by": "bits per pixel"}')
    html = section.section(Context(store)).html
    assert '<td class="n">2</td><td>bits per pixel</td>' in html
    for error in ("0.1", "0.11"):
        assert f'<data value="{error}">{error}</data>' in html
    assert "judged by something other than the error" in html


@pytest.mark.parametrize(
    "content",
    ["", "epoch,loss\n1,2\n", "epoch,train_loss\n1,2\n", "epoch,train_loss,held_out_mse\na,b,c\n", "\x00\xff" * 9],
)
def test_a_log_that_is_no_log_is_said(tmp_path: Path, content: str) -> None:
    store = run_with_log(tmp_path, content.encode("latin-1"))
    assert weightfiles.training_logs(store, "net") == ({}, ["net"])
