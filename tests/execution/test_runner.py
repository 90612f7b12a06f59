"""Runs end to end: what is stored, resuming, failures that cost only their own task."""

import json
import shutil
from pathlib import Path

import pytest
from datafiles import write_mnist
from measuring import measure, measured
from plugins import forget, write_codec

import codecbench as cb
from codecbench.errors import PluginError, StoreError, UsageError
from codecbench.execution.runner import default_folder
from codecbench.measure.timing import ROUNDS
from codecbench.plugins.registry import CODECS, DATASETS
from codecbench.store.folder import RunFolder
from codecbench.store.manifest import Addition

IN_PROCESS = pytest.mark.usefixtures("in_process")


def test_rows_are_what_the_codec_says_when_asked_directly(tmp_path, measured_folder):
    rows = cb.load_run(measured_folder).rows()
    images = DATASETS.get("digits")().load(tmp_path)
    assert len(rows) == 5 * 4
    for row in rows.itertuples():
        codec = cb.open_codec(f"{row.codec}:{row.settings}")
        image = images.read([row.image])
        (stream,) = codec.encode(image)
        difference = codec.decode([stream]).astype(int) - image.astype(int)
        assert row.num_bytes == len(stream)
        assert row.container_bytes == codec.container_bytes(stream)
        assert row.mse == pytest.approx(((difference / 255) ** 2).mean(), rel=1e-12, abs=0)
        assert row.max_abs_error == abs(difference).max()
        assert row.lossless == codec.lossless
        assert (row.height, row.width, row.channels) == (28, 28, 1)


@IN_PROCESS
def test_a_run_again_measures_and_times_nothing_and_a_new_codec_only_itself(tmp_path):
    first, third = [], []
    run = measure("none", tmp_path / "run", command="codecbench run --codecs none", seed=3, timing=True, events=first)
    run.report()
    assert measured(first) == 1
    assert [event.done for event in first if event.kind == "timed"] == list(range(ROUNDS + 1))
    summary = run.summary().loc[0]
    assert (summary["timed_images"], summary["threads"], summary["device"]) == (3, 1, "cpu")
    assert min(summary["encode_s"], summary["decode_s"]) > 0
    content = (run.path / "run.json").read_bytes()
    manifest = json.loads(content)
    (invocation,) = manifest["invocations"]
    assert (invocation["command"], invocation["seed"]) == ("codecbench run --codecs none", 3)
    assert set(invocation["versions"]) >= {"python", "codecbench", "numpy"}
    assert invocation["machine"]["cores"] >= 1
    assert manifest["datasets"]["digits"]["images"] == 3
    assert manifest["datasets"]["digits"]["fingerprint"]
    (run.path / "stamp.json").unlink()  # known only by looking at what is there
    for _ in range(2):
        again = []
        same = measure("none", tmp_path / "run", seed=3, timing=True, events=again)
        assert (run.changed, same.changed, same.report_is_current) == (True, False, True)
        assert {event.kind for event in again} == {"note"}
        assert (run.path / "run.json").read_bytes() == content
    more = measure("none,jpeg:quality=5/10", tmp_path / "run", seed=3, events=third)
    assert measured(third) == 2
    assert set(more.rows()["codec"]) == {"none", "jpeg"}
    manifest = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    assert manifest["codecs"]["jpeg"]["versions"]["pillow"]


@IN_PROCESS
def test_an_edited_codec_never_shows_stale_rows(tmp_path, codec_folder):
    write_codec(codec_folder, "mine")
    measure("mine:level=0/1", tmp_path / "run")
    forget("mine")
    write_codec(codec_folder, "mine", encode="image = image // 2")
    events = []
    run = measure("mine:level=0", tmp_path / "run", events=events)
    assert measured(events) == 1
    rows = run.rows()
    assert set(rows["settings"]) == {"level=0"}
    assert (rows["mse"] > 0).all()
    assert len(list((tmp_path / "run" / "parts").glob("*.parquet"))) == 3, "what was measured is never thrown away"


def test_a_plugin_that_changes_under_a_run_is_refused(tmp_path, codec_folder):
    file = write_codec(codec_folder, "mine", encode="time.sleep(0.5)")
    edits = []

    def edit(event):
        if event.kind == "measured" and not edits:
            edits.append(write_codec(codec_folder, "mine", encode="time.sleep(0.6)"))

    run = measure("mine", tmp_path / "run", watch=edit)
    assert edits == [file]
    assert "changed while the run went on" in run.summary().loc[0, "reason"]


@IN_PROCESS
def test_another_choice_of_images_does_not_mix_with_what_is_there(tmp_path):
    measure("none", tmp_path / "run")
    with pytest.raises(UsageError, match=r"already has 3 images of digits \(seed 0\)"):
        measure("none", tmp_path / "run", images=4)
    with pytest.raises(UsageError, match="--fresh"):
        measure("none", tmp_path / "run", seed=1)
    assert len(measure("none", tmp_path / "run", images=4, fresh=True).rows()) == 4


def test_commands_that_join_at_the_same_time_both_stay(tmp_path):
    described = {"fingerprint": "x", "trained_on": []}
    one, other = RunFolder(tmp_path), RunFolder(tmp_path)
    one.join(Addition({}, {"one": described}, {}, [], {"command": "first"}))
    other.join(Addition({}, {"other": described}, {}, [], {"command": "second"}))
    manifest = RunFolder(tmp_path).manifest
    assert set(manifest["codecs"]) == {"one", "other"}
    assert [call["command"] for call in manifest["invocations"]] == ["first", "second"]


def test_only_folders_of_runs_are_measured_into(tmp_path):
    file = tmp_path / "precious.txt"
    file.write_text("mine", encoding="utf-8")
    for options in ({}, {"fresh": True}):
        with pytest.raises(UsageError, match="is not empty and has no run"):
            measure("none", tmp_path, **options)
        with pytest.raises(UsageError, match="is a file"):
            measure("none", file, **options)
    with pytest.raises(StoreError, match="cannot write"):
        measure("none", file / "run")
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]


def test_a_published_run_without_its_parts_is_neither_drawn_nor_added_to(copied, drawn_folder):
    run = cb.load_run(copied(drawn_folder))
    table = (run.path / "summary.csv").read_bytes()
    shutil.rmtree(run.path / "parts")
    for attempt in (run.report, lambda: measure("jpeg:quality=5", run.path)):
        with pytest.raises(StoreError, match="without the parts they were made from"):
            attempt()
    assert (run.path / "summary.csv").read_bytes() == table


@IN_PROCESS
def test_what_a_learned_codec_does_not_take_or_was_trained_on_is_marked(tmp_path):
    for stem in ("t10k", "train"):
        write_mnist(tmp_path, stem)
    datasets = "mnist,mnist:split=train,digits,photos"
    run = measure("lossy_ae:latent=float32,none", tmp_path / "run", datasets=datasets, data_dir=tmp_path)
    table = run.summary().set_index(["dataset", "codec"])
    skipped = table[table["reason"].str.startswith("skipped")]
    assert skipped["images"].to_dict() == {("photos", "lossy_ae"): 0}
    assert "28×28×1" in skipped["reason"].item()
    marked = table.drop(skipped.index)
    assert marked.index[marked["on_training_images"]].tolist() == [("mnist:split=train", "lossy_ae")]
    assert marked.index[marked["out_of_domain"]].tolist() == [("digits", "lossy_ae")]
    assert (marked["images"] == 3).all()


@pytest.mark.slow
def test_even_the_first_codec_with_torch_is_timed_with_one_thread(tmp_path, codec_folder):
    flag = tmp_path / "measured"
    threads = f"import torch; assert not os.path.exists({str(flag)!r}) or torch.get_num_threads() == 1"
    write_codec(codec_folder, "threaded", encode=threads, extra="\nimport torch\ntorch.set_num_threads(2)\n")
    measure("threaded", tmp_path / "run")
    flag.touch()
    assert measure("threaded", tmp_path / "run", timing=True).failed_tasks == 0


@IN_PROCESS
def test_a_codec_that_fails_while_it_is_planned_is_left_out_unless_it_was_named(tmp_path, codec_folder):
    write_codec(
        codec_folder, "odd", extra="    @classmethod\n    def default_points(cls, shape):\n        raise KeyError(1)\n"
    )
    with pytest.raises(PluginError, match=r"codec 'odd': its list of points: KeyError: 1"):
        measure("odd", tmp_path / "run")
    events = []
    others = [name for name in CODECS.names() if name not in ("none", "odd")]
    run = measure("all", tmp_path / "run", skip=others, events=events)
    assert set(run.summary()["codec"]) == {"none"}
    assert any("left out: codec 'odd'" in event.text for event in events)


def test_bad_requests(tmp_path):
    for options, words in (
        ({"images": 0}, "images=0"),
        ({"workers": 0}, "workers=0"),
        ({"device": "tpu"}, "auto, cpu, cuda"),
    ):
        with pytest.raises(UsageError, match=words):
            measure("none", tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_the_default_folder_is_named_after_datasets_and_images(tmp_path):
    folder = DATASETS.get("folder")(path=str(tmp_path), crop=64)
    assert default_folder([DATASETS.get("mnist")(), DATASETS.get("stl10")()], 1_000) == Path("results/mnist+stl10-1000")
    name = default_folder([folder], None).name
    assert name.endswith("-all")
    assert "/" not in name
    assert ":" not in name


@pytest.mark.slow
@pytest.mark.real_data
def test_the_first_figures_of_the_source_experiment(tmp_path, data_root):
    run = measure("svd:rank=5/13", tmp_path / "run", datasets="mnist", images=None, data_dir=data_root, workers=2)
    summary = run.summary().set_index("settings")
    assert summary["images"].tolist() == [10_000, 10_000]
    assert summary.loc["rank=5", "mse_float"] == pytest.approx(0.003653, abs=1e-6)
    assert summary.loc["rank=5", "mse"] == pytest.approx(0.00298, abs=1e-5)
    assert summary.loc["rank=13", "mse_float"] == pytest.approx(4.976e-5, abs=1e-8)
    assert summary.loc["rank=13", "mse"] == pytest.approx(3.4e-5, abs=1e-6)


@IN_PROCESS
def test_a_run_that_is_broken_off_leaves_nothing_half_written(tmp_path):
    def watch(event):
        if event.kind == "measured" and event.done:
            (tmp_path / "run" / "samples" / "picture.npz.0badcafe.tmp").touch()  # as a worker that is ended leaves it
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cb.run("none", "digits", images=2, out=tmp_path / "run", timing=False, workers=1, watch=watch)
    assert not list((tmp_path / "run").rglob("*.tmp"))
    assert len(cb.load_run(tmp_path / "run").rows()) == 2
