"""The training loop: exact resuming, refusals, what chooses the weights, the card, and the command line."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from datafiles import marked_digits, write_mnist
from small_training import (
    DIGITS,
    SCORED,
    WORDS,
    Gray,
    absolute_error,
    interrupt,
    job_of,
    log_of,
    loss_that_notes,
    numbers_of,
    result_of,
)
from torch import nn

from codecbench.cli import main
from codecbench.errors import DatasetError, TrainingError, UnknownNameError, UsageError
from codecbench.fingerprint import file_sha256
from codecbench.learned.training import checkpoint, samples
from codecbench.learned.training.augment import RandomAffine, RandomCropFlip
from codecbench.learned.training.job import Job, make_job
from codecbench.learned.training.loop import build_optimizer, set_learning_rate, train
from codecbench.learned.training.outcome import install
from codecbench.learned.training.recipe import Recipe, change, describe, reconstruction_mse
from codecbench.learned.weights import weights_path
from codecbench.plugins.registry import CODECS


class Noisy(Gray):
    """The same with noise on the latent and a layer that behaves differently in training."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder.append(nn.BatchNorm2d(4))
        self.encoder.append(nn.Dropout(0.3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        latents = self.encoder(images)
        return self.decoder(latents + torch.rand_like(latents) - 0.5 if self.training else latents)


class Labelled(Gray):
    """The same with a brightness for each label."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Embedding(10, 4)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(images) + self.shift(labels)[:, :, None, None])


class Colour(Gray):
    """The same for 16×16 colour images."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.PReLU(6))
        self.decoder = nn.Sequential(nn.ConvTranspose2d(6, 3, 4, stride=4), nn.Sigmoid())


def from_the_mean(network: nn.Module, images: torch.Tensor) -> None:
    """A start that depends on the training images."""
    assert images.dtype == torch.uint8
    assert images.shape == (80, 1, 28, 28)
    with torch.no_grad():
        network.decoder[0].bias.fill_(torch.logit(images.float().mean() / 255.0))


PHOTOS = Recipe(
    "stl10:split=train,crop=none",
    "stl10",
    held_out=6,
    epochs=4,
    batch_size=8,
    learning_rate=1e-2,
    augment=RandomCropFlip(16, 16),
    crop=(16, 16),
)


# --- Resuming -----------------------------------------------------------------------------------------------

RUNS = {
    "affine, exponential": (DIGITS, Gray, {"augment": RandomAffine(), "schedule": "exponential", "gamma": 0.7}),
    "noise in the network": (DIGITS, Noisy, {}),
    "crops, bfloat16": (PHOTOS, Colour, {"bfloat16": True, "full_precision_epochs": 1, "channels_last": True}),
    "Muon": (DIGITS, Gray, {"optimizer": "muon", "vector_learning_rate_scale": 0.5}),
    "passes, decay, a start": (DIGITS, Gray, {"passes": 2, "weight_decay": 1e-3, "seed": 3, "start": from_the_mean}),
    "labels": (DIGITS, Labelled, {"labels": True}),
    "a score": (SCORED, Gray, {}),
}


@pytest.mark.parametrize("run", RUNS)
def test_resumed_equals_uninterrupted(run: str, small_root: Path, tmp_path: Path) -> None:
    recipe, network, changes = RUNS[run]
    uninterrupted = job_of(small_root, tmp_path / "whole", recipe, network, **changes)
    torch.manual_seed(1)
    train(uninterrupted)
    parts = job_of(small_root, tmp_path / "parts", recipe, network, **changes)
    torch.manual_seed(2)
    interrupt(parts, 2, calls=2)
    torch.rand(10)
    interrupt(parts, 4, resume=True)
    assert len(log_of(parts.out)) == 3
    train(parts, resume=True)
    assert result_of(parts.out) == result_of(uninterrupted.out)
    assert not list(parts.out.glob("*.tmp"))


@pytest.mark.parametrize("how", ["killed", "the disk is full"])
def test_broken_off_while_it_writes(
    how: str, whole: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = dataclasses.replace(whole.job, out=tmp_path / "out")
    save, write = torch.save, checkpoint.write_files

    def full(content: dict[str, Any], path: Path) -> None:
        if content["epoch"] == 3:
            path.write_bytes(b"PK")
            raise OSError(28, "No space left on device")
        save(content, path)

    def kill(folder: Path, state: checkpoint.State) -> None:
        if state.epoch == 3:
            raise KeyboardInterrupt
        write(folder, state)

    with monkeypatch.context() as patch:
        if how == "killed":
            patch.setattr(checkpoint, "write_files", kill)
            with pytest.raises(KeyboardInterrupt):
                train(job)
        else:
            patch.setattr(torch, "save", full)
            with pytest.raises(TrainingError, match=r"cannot write to .*No space left"):
                train(job)
    assert len(log_of(job.out)) == 2  # these files are still those of epoch 2
    for damaged in ("best.safetensors", "last.safetensors", "log.csv"):
        (job.out / damaged).write_bytes(b"cut sho")
    train(job, resume=True)
    assert result_of(job.out) == result_of(whole.job.out)


def test_a_run_without_a_checkpoint_begins_anew_and_leaves_the_callers_random_numbers_alone(
    small_root: Path, tmp_path: Path
) -> None:
    job = job_of(small_root, tmp_path / "out", network=Noisy, epochs=1)
    with pytest.raises(UsageError, match="nothing to resume"):
        train(job, resume=True)
    assert not job.out.exists()
    interrupt(job, 1)
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    train(job)
    assert torch.equal(torch.rand(3), expected)
    assert len(log_of(job.out)) == 1


# --- Refusals -----------------------------------------------------------------------------------------------


def refusal(job: Job, error: type[Exception], resume: bool = True) -> str:
    """What is said of a run that is refused; its folder stays as it was."""

    def content() -> dict[str, tuple[int, bytes]]:
        return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in job.out.iterdir()}

    before = content()
    with pytest.raises(error) as caught:
        train(job, resume=resume, watch=lambda progress: pytest.fail("began"))
    assert content() == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_other_runs_than_the_one_that_a_folder_holds(begun: Job, own_root: Path) -> None:
    said = refusal(begun, UsageError, resume=False)
    assert "already holds a training run; go on with --resume, or name another --out" in said
    changed: dict[str, dict[str, Any]] = {
        "epochs 4 instead of 9": {"epochs": 9},
        "learning_rate 0.02 instead of 0.5": {"learning_rate": 0.5},
        "augment None instead of 'RandomAffine": {"augment": RandomAffine()},
        "codec 'gray' instead of 'noisy'": {"network": Noisy},
        "score None instead of 'absolute_error'": {"score": absolute_error},
    }
    for words, changes in changed.items():
        said = refusal(job_of(begun.data_dir, begun.out, **changes), UsageError)
        assert words in said
        assert "name another --out" in said
    others = dataclasses.replace(begun, codec=SimpleNamespace(name="gray", network=Noisy))
    assert "a network with other layers" in refusal(others, TrainingError)
    elsewhere = dataclasses.replace(begun, data_dir=own_root)
    for count, words in ((100, "held_out_pixels"), (90, "training_images 80 instead of 70")):
        write_mnist(own_root, "train", marked_digits(count, 0, 8))
        assert words in refusal(elsewhere, UsageError)


def test_damaged_checkpoint(begun: Job) -> None:
    path = begun.out / "checkpoint.pt"
    content = path.read_bytes()
    overwritten = content[:600] + bytes(200) + content[800:]
    pickles = (pickle.dumps({"epoch": 2}), pickle.dumps({"identity": pytest.fail}))  # keys missing, and a function
    for damaged in (b"", content[: len(content) // 2], overwritten, *pickles):
        path.write_bytes(damaged)
        assert f"the checkpoint {path} cannot be read" in refusal(begun, TrainingError)


@pytest.mark.parametrize(
    ("missing", "error", "words"),
    [
        ("train-images-idx3", DatasetError, "codecbench data get mnist"),
        ("t10k-images-idx3", DatasetError, "codecbench data get mnist"),
        ("train-labels-idx1", TrainingError, "mnist:split=train comes without labels, and the recipe needs them"),
    ],
)
def test_missing_data_is_said_before_anything_begins(
    own_root: Path, tmp_path: Path, missing: str, error: type[Exception], words: str
) -> None:
    (own_root / "MNIST" / "raw" / f"{missing}-ubyte").unlink()
    job = job_of(own_root, tmp_path / "out", network=Labelled, labels=True)
    with pytest.raises(error, match=words):
        train(job, watch=lambda progress: pytest.fail("began"))
    assert error is TrainingError or not job.out.exists()


def test_too_few_images(small_root: Path, tmp_path: Path) -> None:
    words = "mnist:split=train has 100 images; the recipe needs at least 1 held out"
    for changes in ({"held_out": 90}, {"held_out": 200}, {"held_out": 0}, {"batch_size": 81}):
        with pytest.raises(TrainingError, match=words):
            train(job_of(small_root, tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be_written_to(whole: SimpleNamespace, tiny_ae: type, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(TrainingError, match="cannot write to"):
        train(dataclasses.replace(whole.job, out=tmp_path / "file" / "out"), watch=lambda _: pytest.fail("began"))
    weights_path(tiny_ae).parent.write_text("in the way", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"cannot write to .*weights"):
        install(dataclasses.replace(whole.job, codec=tiny_ae))


# --- Losses that are not finite -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "batch_size", "factor", "words"),
    [
        (13, 16, math.inf, "the loss is inf in epoch 3, step 3; the checkpoint of epoch 2 is"),
        (40 + 18, 2, math.nan, "epoch 2, step 18; the checkpoint of epoch 1 is"),  # between two reports
        (2, 16, math.nan, "epoch 1, step 2; no epoch was finished"),
        (10, 16, None, "held-out MSE is nan after epoch 2, step 5; the checkpoint of epoch 1"),  # the gradient alone
    ],
)
def test_a_loss_that_is_not_finite_stops_the_run(
    step: int, batch_size: int, factor: float | None, words: str, small_root: Path, tmp_path: Path
) -> None:
    """The usual loss, but for one step counted from 1 over the whole run."""
    calls = 0

    def loss(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        usual = reconstruction_mse(network, images)
        if calls != step:
            return usual
        return usual + torch.sqrt(usual * 0) if factor is None else usual * factor

    job = job_of(small_root, tmp_path / "out", loss=loss, batch_size=batch_size)
    with pytest.raises(TrainingError, match=words):
        train(job)
    finished = (step - 1) // (80 // batch_size)
    assert (job.out / "checkpoint.pt").exists() == bool(finished)
    if finished:
        content = torch.load(job.out / "checkpoint.pt", weights_only=True)
        assert content["epoch"] == len(log_of(job.out)) == finished
        assert all(bool(value.isfinite().all()) for value in content["network"].values())
        train(job, resume=True)
        assert len(log_of(job.out)) == 4


# --- What chooses the weights -------------------------------------------------------------------------------


def images_used(job: Job) -> tuple[list[list[int]], list[set[int]]]:
    """Numbers of the images of each training epoch in their order, and of each evaluation."""
    trained: list[int] = []
    evaluated: list[set[int]] = []

    def score(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        evaluated.append(set(numbers_of(images)))
        return images.mean((1, 2, 3))

    recipe = dataclasses.replace(job.recipe, loss=loss_that_notes(trained), score=score)
    train(dataclasses.replace(job, recipe=recipe))
    per_epoch = len(trained) // recipe.epochs
    return [trained[start : start + per_epoch] for start in range(0, len(trained), per_epoch)], evaluated


def test_held_out_images_are_chosen_by_seed_and_never_trained_on(small_root: Path, tmp_path: Path) -> None:
    everything, test = set(range(100)), set(range(200, 230))
    chosen = []
    for number, seed in enumerate((0, 0, 7)):
        trained, evaluated = images_used(job_of(small_root, tmp_path / str(number), seed=seed, epochs=2))
        held_out = evaluated[0]
        assert len(held_out) == 20
        assert all(set(images) == everything - held_out for images in trained)  # 80 is a multiple of the batch
        assert trained[0] != trained[1]  # each epoch in an order of its own
        assert evaluated == [held_out, test] * 2 + [test]  # an epoch each, to be drawn, and the best weights at the end
        chosen.append(held_out)
    assert chosen[0] == chosen[1] != chosen[2]


def test_passes_and_the_most_images(small_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch goes over all images as often as the recipe says, in another order each time."""
    monkeypatch.setattr(samples, "LOADING_BATCH", 7)  # images are loaded in blocks
    job = job_of(small_root, tmp_path / "out", most_images=32, passes=3, epochs=1)
    (trained,), (held_out, *_) = images_used(job)
    first, second, third = trained[:32], trained[32:64], trained[64:]
    assert sorted(first) == sorted(second) == sorted(third)
    assert len(set(first)) == 32
    assert first != second != third
    assert len(held_out) == 20
    assert not held_out & set(trained)


def test_the_start_sees_training_images_alone_and_only_once(small_root: Path, tmp_path: Path) -> None:
    started: list[set[int]] = []

    def start(network: nn.Module, images: torch.Tensor) -> None:
        started.append(set(numbers_of(images)))

    trained: list[int] = []
    job = job_of(small_root, tmp_path / "out", start=start, epochs=2, loss=loss_that_notes(trained))
    interrupt(job, 2)
    train(job, resume=True)
    assert started == [set(trained)]


def test_labels_reach_network_and_loss(small_root: Path, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []

    def loss(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        heard.extend(zip(numbers_of(images), labels.tolist(), strict=True))
        return reconstruction_mse(network, images, labels)

    train(job_of(small_root, tmp_path / "out", network=Labelled, labels=True, loss=loss, epochs=1))
    assert len(heard) == 80
    assert all(label == number % 10 for number, label in heard)


def test_the_other_images_where_the_first_are_not_on_disk(small_root: Path, tmp_path: Path) -> None:
    wish = {"dataset": "stl10:split=unlabeled,crop=none", "otherwise": "stl10:split=train,crop=none", "epochs": 1}
    card = train(job_of(small_root, tmp_path / "out", PHOTOS, Colour, **wish))
    plain = train(job_of(small_root, tmp_path / "plain", PHOTOS, Colour, epochs=1))
    assert card["trained_on"] == plain["trained_on"] == "stl10:split=train,crop=none"
    assert plain["sha256"] == card["sha256"]
    with pytest.raises(DatasetError):
        train(job_of(small_root, tmp_path / "none", PHOTOS, Colour, **wish | {"otherwise": ""}))


def test_muon_takes_the_matrices() -> None:
    network = Noisy()
    optimizer = build_optimizer(dataclasses.replace(DIGITS, optimizer="muon", vector_learning_rate_scale=0.25), network)
    matrices, others = (group["params"] for group in optimizer.param_groups)
    # Both convolutions have one channel on one side; as matrices they are 4×49 and 4×49.
    assert [tuple(parameter.shape) for parameter in matrices] == [(4, 1, 7, 7), (4, 1, 7, 7)]
    assert len(matrices) + len(others) == len(list(network.parameters()))
    set_learning_rate(optimizer, 0.4)
    assert [group["lr"] for group in optimizer.param_groups] == [0.4, 0.1]


@pytest.mark.slow
def test_compiled_steps_train_too(whole: SimpleNamespace, tmp_path: Path) -> None:
    compiled = train(job_of(whole.job.data_dir, tmp_path / "compiled", compile=True))
    assert compiled["held_out_mse"] == pytest.approx(whole.card["held_out_mse"], rel=1e-3)


def test_best_last_and_kept_weights(small_root: Path, tmp_path: Path) -> None:
    """The best epoch is the first with the lowest error; epochs are kept also where a run is resumed."""
    errors = [0.5, 0.9, 0.25, 0.8, 0.25, 0.1, 0.3, 0.7, 0.9]  # on held-out and test images in turn

    def score(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        return torch.full((len(images),), errors.pop(0), dtype=torch.float64)

    job = job_of(small_root, tmp_path / "out", score=score)
    interrupt(job, 3, keep={1, 2, 4})
    card = train(job, keep={1, 2, 4}, resume=True)
    assert (card["best_epoch"], card["held_out_score"], card["test_score"]) == pytest.approx((2, 0.25, 0.9))
    kept = {path.stem: path.read_bytes() for path in job.out.glob("epoch-*")}
    assert sorted(kept) == ["epoch-0001", "epoch-0002", "epoch-0004"]
    assert len(set(kept.values())) == 3
    assert (job.out / "best.safetensors").read_bytes() == kept["epoch-0002"]
    assert (job.out / "last.safetensors").read_bytes() == kept["epoch-0004"]


# --- Recipes ------------------------------------------------------------------------------------------------


def rates(**changes: Any) -> list[float]:
    recipe = dataclasses.replace(DIGITS, epochs=10, learning_rate=2.0, **changes)
    return [recipe.learning_rate_at(step, 10) for step in range(100)]


def test_schedules() -> None:
    cycle = rates()
    assert cycle[0] == pytest.approx(0.08)
    assert cycle[5] == pytest.approx(2.0 * 0.52)  # half-way up
    assert max(cycle) == cycle[10] == 2.0
    assert cycle[55] == pytest.approx(2.0 * 0.5005)  # half-way down
    assert 0 < cycle[-1] < 0.005
    assert cycle[:11] == sorted(cycle[:11])
    assert cycle[10:] == sorted(cycle[10:], reverse=True)
    falling = rates(schedule="exponential", gamma=0.5)
    assert falling[:20] == [2.0] * 10 + [1.0] * 10
    assert falling[-1] == pytest.approx(2.0 * 0.5**9)
    assert set(rates(schedule="constant")) == {2.0}
    short = dataclasses.replace(DIGITS, epochs=1, learning_rate=1.0)
    assert all(0 < short.learning_rate_at(step, steps) <= 1 for steps in (1, 2, 9, 11) for step in range(steps))


def test_changed_fields() -> None:
    changed = change(DIGITS, ["batch_size=7", "learning_rate=3e-3", "bfloat16=true", "weight_decay=0"])
    assert changed == dataclasses.replace(DIGITS, batch_size=7, learning_rate=3e-3, bfloat16=True, weight_decay=0.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("batch_size=0", "batch_size=0 is not allowed; allowed: a whole number of 1 or more"),
        ("batch_size=x", "batch_size=x is not allowed"),
        ("batch_size", "'batch_size' is not allowed; allowed: FIELD=VALUE"),
        ("learning_rate=nan", "allowed: a number of 1e-12 or more"),
        ("learning_rate=inf", "learning_rate=inf is not allowed"),
        ("compile=1", "compile=1 is not allowed; allowed: true, false"),
        ("batchsize=3", "batch_size"),
    ],
)
def test_refused_changes(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        change(DIGITS, [text])


# --- Progress, card, installation, command line -------------------------------------------------------------


def test_progress_and_log(finished: SimpleNamespace) -> None:
    recipe, seen = finished.job.recipe, finished.seen
    running, ends = ([progress for progress in seen if progress.finished == over] for over in (False, True))
    assert [progress.done for progress in running] == pytest.approx([step / 20 for step in range(1, 21)])
    assert [progress.done for progress in ends] == [0.25, 0.5, 0.75, 1.0]
    epochs = [1, 2, 3, 4]
    assert [(p.epoch, p.epochs) for p in seen] == [(epoch, 4) for epoch in epochs for _ in range(6)]
    rows, judged = log_of(finished.job.out, without=()), recipe.judged_by
    columns = f"epoch,learning_rate,train_loss,held_out_{judged},test_{judged},images_per_s,seconds"
    assert ",".join(rows[0]) == columns
    last_rates = [recipe.learning_rate_at(5 * epoch - 1, 5) for epoch in epochs]
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx(last_rates)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert all(float(row[key]) > 0 for row in rows for key in rows[0])
    for part in ("held_out", "test"):
        found = [getattr(progress, f"{part}_score") for progress in running]
        assert [math.isnan(error) for error in found] == [True] * 5 + [False] * 15
        assert [getattr(progress, f"{part}_score") for progress in ends] == pytest.approx(
            [float(row[f"{part}_{judged}"]) for row in rows], rel=1e-6
        )
    assert {progress.judged_by for progress in seen} == {recipe.words}
    assert all(progress.images_per_s > 0 and progress.seconds_left >= 0 for progress in seen)
    assert seen[-1].seconds_left == 0


def test_card(finished: SimpleNamespace) -> None:
    job, card, judged = finished.job, finished.card, finished.job.recipe.judged_by
    assert json.loads((job.out / "best.json").read_text(encoding="utf-8")) == card
    assert card["sha256"] == file_sha256(job.out / "best.safetensors")
    assert (card["codec"], card["command"]) == ("gray", "codecbench train gray")
    assert (card["recipe_name"], card["recipe"]) == ("fast", describe(job.recipe))
    assert card.get("judged_by", "MSE") == job.recipe.words
    assert card["parameters"] == sum(parameter.numel() for parameter in Gray().parameters())
    assert (card["training_images"], card["test"], card["test_images"]) == (80, "mnist", 30)
    best = min(log_of(job.out), key=lambda row: float(row[f"held_out_{judged}"]))
    assert card["best_epoch"] == int(best["epoch"])
    for part in ("held_out", "test"):
        assert card[f"{part}_{judged}"] == pytest.approx(float(best[f"{part}_{judged}"]), rel=1e-6)
    assert f"held_out_{'mse' if judged == 'score' else 'score'}" not in card
    assert card["training_seconds"] >= 0
    assert card["images_per_s"] > 0
    assert card["machine"]["device"] == "cpu"
    assert card["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert set(card) >= {"date", "git_commit"}
    assert str(job.out.parent) not in json.dumps(card)


def test_a_job_of_a_registered_codec(tiny_ae: type, small_root: Path) -> None:
    job = make_job("tiny_ae", data_dir=small_root, device="cpu")
    assert (job.codec, job.recipe_name, job.recipe) == (tiny_ae, "fast", tiny_ae.recipes["fast"])
    assert (job.out, job.data_dir) == (Path("training/tiny_ae-fast"), small_root)
    job = make_job("tiny_ae", recipe="slow", epochs=2, seed=8, out="here", device="cpu")
    assert (job.recipe.epochs, job.recipe.seed, job.recipe.learning_rate, job.out) == (2, 8, 1e-3, Path("here"))


@pytest.mark.parametrize(
    ("name", "options", "error", "words"),
    [
        ("tiny_a", {}, UnknownNameError, "unknown codec 'tiny_a'; did you mean 'tiny_ae'"),
        ("jpeg", {}, UsageError, "jpeg has nothing to train"),
        ("tiny_ae", {"recipe": "fasr"}, UnknownNameError, "unknown recipe of tiny_ae 'fasr'; did you mean 'fast'"),
        ("tiny_ae", {"epochs": 0}, UsageError, "epochs=0 is not allowed"),
        ("tiny_ae", {"seed": -1}, UsageError, "seed=-1 is not allowed"),
        ("tiny_ae", {"seed": 2**64}, UsageError, "is not allowed; allowed: a whole number from 0 to 4294967295"),
        ("tiny_ae", {"device": "tpu"}, UsageError, "device=tpu is not allowed"),
    ],
)
@pytest.mark.usefixtures("tiny_ae")
def test_jobs_that_are_refused(name: str, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        make_job(name, **options)


@pytest.fixture
def codecbench(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Runs ``codecbench`` in this process and a folder of its own; gives exit code, output and errors."""
    (tmp_path / "work here").mkdir()
    monkeypatch.chdir(tmp_path / "work here")

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


def test_train_and_install_a_codec_of_ones_own(codecbench, user_folder: Path, small_root: Path, monkeypatch) -> None:
    """A user's folder holds a learned codec: trained, installed, used, all of it without torchvision."""
    monkeypatch.setitem(sys.modules, "torchvision", None)
    options = ("--codec-dir", user_folder, "--data-dir", small_root, "--device", "cpu")
    code, out, err = codecbench("train", "tiny_ae", "--seed", 4, "--install", *options)
    assert (code, err) == (0, "")
    assert "epoch 1/3" in out
    assert "epoch 3/3" in out
    assert "test MSE" in out
    target = user_folder / "weights" / "tiny_ae.safetensors"
    assert out.rstrip().endswith(f"weights {target}")
    card = json.loads(target.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["sha256"] == file_sha256(target)
    assert card["command"] == "codecbench train tiny_ae --seed 4 --install --device cpu"
    written = sorted(path.name for path in target.parent.iterdir())
    assert written == ["tiny_ae.csv", "tiny_ae.json", "tiny_ae.safetensors"]
    assert Path("training/tiny_ae-fast/checkpoint.pt").is_file()

    cls = CODECS.get("tiny_ae")
    assert weights_path(cls) == target
    test = marked_digits(30, 200, 2)[..., np.newaxis]
    streams = cls().encode(test)
    assert {len(stream) for stream in streams} == {128}
    mse = float(((cls().decode_float(streams) - test / 255.0) ** 2).mean())
    assert mse == pytest.approx(card["test_mse"], rel=1e-4)

    for more, words in (([], "already holds a training run"), (["--resume", "--epochs", 7], "epochs 3 instead of 7")):
        code, _, err = codecbench("train", "tiny_ae", "--seed", 4, *more, *options)
        assert code == 2
        assert words in err


def test_interrupted_on_the_command_line(codecbench, tiny_ae: Any, small_root: Path, monkeypatch) -> None:
    """What was measured is called by its name."""
    recipe = dataclasses.replace(tiny_ae.recipes["fast"], score=absolute_error)
    monkeypatch.setattr(tiny_ae, "recipes", {"fast": recipe})
    save = checkpoint.save

    def save_and_stop(*arguments: Any) -> None:
        save(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save_and_stop)
        assert codecbench("train", "tiny_ae", "--out", "run", "--data-dir", small_root)[0] == 130
    code, out, _ = codecbench("train", "tiny_ae", "--out=run", "--data-dir", small_root, "--resume")
    assert code == 0
    assert "epoch 1/3" not in out
    assert "epoch 2/3" in out
    for part in ("{} held-out 0.", ": held-out {} 0.", ", test {} 0."):
        assert part.format(WORDS) in out
    assert "MSE" not in out
    assert json.loads(Path("run/best.json").read_text(encoding="utf-8"))["command"] == "codecbench train tiny_ae"
