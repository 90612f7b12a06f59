"""The training loop: exact resuming, refusals, what chooses the weights, the card, and the command line."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_data import marked_digits, write_labels, write_mnist
from small_networks import Gray
from torch import nn

from codecbench.cli import main
from codecbench.errors import DatasetError, TrainingError, UnknownNameError, UsageError
from codecbench.fingerprint import file_sha256
from codecbench.learned.training import checkpoint, loop, outcome, samples
from codecbench.learned.training.augment import RandomAffine, RandomCropFlip
from codecbench.learned.training.job import Job, make_job
from codecbench.learned.training.loop import Progress, build_optimizer, set_learning_rate, train
from codecbench.learned.training.outcome import install
from codecbench.learned.training.recipe import CHANGEABLE, Recipe, change, describe, reconstruction_mse
from codecbench.learned.training.samples import Samples, evaluate
from codecbench.learned.weights import weights_path
from codecbench.plugins.registry import CODECS

TIMINGS = ("images_per_s", "seconds")


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


def from_the_mean(network: nn.Module, images: torch.Tensor) -> None:
    """A start that depends on the training images."""
    assert images.dtype == torch.uint8
    assert images.shape == (80, 1, 28, 28)
    with torch.no_grad():
        network.decoder[0].bias.fill_(torch.logit(images.float().mean() / 255.0))


class Colour(nn.Module):
    """A small autoencoder for 16×16 colour images."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.PReLU(6))
        self.decoder = nn.Sequential(nn.ConvTranspose2d(6, 3, 4, stride=4), nn.Sigmoid())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(images))


DIGITS = Recipe("mnist:split=train", "mnist", held_out=20, epochs=4, batch_size=16, learning_rate=2e-2)  # 5 steps
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


def job_of(root: Path, out: Path, recipe: Recipe = DIGITS, network: type[nn.Module] = Gray, **changes: Any) -> Job:
    codec = SimpleNamespace(name=network.__name__.lower(), network=network)
    return Job(codec, "fast", dataclasses.replace(recipe, **changes), root, out, "cpu", "codecbench train gray")


def stop_in(epoch: int, calls: int = 1) -> Callable[[Progress], None]:
    """Interrupts at the given report of an epoch, in the midst of it."""
    seen = 0

    def watch(progress: Progress) -> None:
        nonlocal seen
        seen += progress.epoch == epoch
        if seen == calls:
            raise KeyboardInterrupt

    return watch


def log_of(out: Path, without: tuple[str, ...] = TIMINGS) -> list[dict[str, str]]:
    with (out / "log.csv").open(encoding="utf-8", newline="") as file:
        return [{key: value for key, value in row.items() if key not in without} for row in csv.DictReader(file)]


def result_of(out: Path) -> dict[str, Any]:
    """Everything that a run leaves behind, but for times."""
    card = json.loads((out / "best.json").read_text(encoding="utf-8"))
    content = torch.load(out / "checkpoint.pt", weights_only=True)
    states = content["optimizer"]["state"]
    moments = {f"{number}.{key}": value.numpy().tobytes() for number in states for key, value in states[number].items()}
    return {
        "best": (out / "best.safetensors").read_bytes(),
        "last": (out / "last.safetensors").read_bytes(),
        "log": log_of(out),
        "moments": moments,
        "card": {key: card[key] for key in ("sha256", "best_epoch", "held_out_mse", "test_mse", "recipe")},
    }


# --- Resuming -----------------------------------------------------------------------------------------------

RUNS = {
    "one-cycle": (DIGITS, Gray, {}),
    "affine, exponential": (DIGITS, Gray, {"augment": RandomAffine(), "schedule": "exponential", "gamma": 0.7}),
    "noise in the network": (DIGITS, Noisy, {}),
    "crops, bfloat16": (PHOTOS, Colour, {"bfloat16": True, "full_precision_epochs": 1, "channels_last": True}),
    "Muon": (DIGITS, Gray, {"optimizer": "muon", "vector_learning_rate_scale": 0.5}),
    "passes, decay, a start": (DIGITS, Gray, {"passes": 2, "weight_decay": 1e-3, "seed": 3, "start": from_the_mean}),
    "labels": (DIGITS, Labelled, {"labels": True}),
}


@pytest.mark.parametrize("run", RUNS)
def test_resumed_equals_uninterrupted(run: str, small_root: Path, tmp_path: Path) -> None:
    recipe, network, changes = RUNS[run]
    write_labels(small_root)
    whole = job_of(small_root, tmp_path / "whole", recipe, network, **changes)
    torch.manual_seed(1)
    train(whole)
    parts = job_of(small_root, tmp_path / "parts", recipe, network, **changes)
    torch.manual_seed(2)
    with pytest.raises(KeyboardInterrupt):
        train(parts, watch=stop_in(2, calls=2))
    torch.rand(10)
    with pytest.raises(KeyboardInterrupt):
        train(parts, resume=True, watch=stop_in(4))
    assert len(log_of(parts.out)) == 3
    train(parts, resume=True)
    assert result_of(parts.out) == result_of(whole.out)
    assert not list(parts.out.glob("*.tmp"))


def test_killed_while_it_writes(small_root: Path, tmp_path: Path, monkeypatch) -> None:
    whole = job_of(small_root, tmp_path / "whole")
    train(whole)
    parts = job_of(small_root, tmp_path / "parts")
    write = checkpoint.write_files

    def kill(folder: Path, state: checkpoint.State) -> None:
        if state.epoch == 3:
            raise KeyboardInterrupt
        write(folder, state)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_files", kill)
        with pytest.raises(KeyboardInterrupt):
            train(parts)
    assert len(log_of(parts.out)) == 2  # the other files are still those of epoch 2
    for damaged in ("best.safetensors", "last.safetensors", "log.csv"):
        (parts.out / damaged).write_bytes(b"cut sho")
    train(parts, resume=True)
    assert result_of(parts.out) == result_of(whole.out)


def test_a_run_without_a_checkpoint_begins_anew_and_leaves_the_callers_random_numbers_alone(
    small_root: Path, tmp_path: Path
) -> None:
    job = job_of(small_root, tmp_path / "out", network=Noisy, epochs=1)
    with pytest.raises(UsageError, match="nothing to resume"):
        train(job, resume=True)
    assert not job.out.exists()
    with pytest.raises(KeyboardInterrupt):
        train(job, watch=stop_in(1))
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    train(job)
    assert torch.equal(torch.rand(3), expected)
    assert len(log_of(job.out)) == 1


# --- Refusals -----------------------------------------------------------------------------------------------


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


@pytest.fixture
def begun(small_root: Path, tmp_path: Path) -> Job:
    """A run that was interrupted in its third epoch."""
    job = job_of(small_root, tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        train(job, watch=stop_in(3))
    return job


def test_a_run_is_not_overwritten(begun: Job) -> None:
    before = files(begun.out)
    with pytest.raises(UsageError, match="already holds a training run; go on with --resume, or name another --out"):
        train(begun)
    assert files(begun.out) == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 9}, "epochs 4 instead of 9"),
        ({"learning_rate": 0.5}, "learning_rate 0.02 instead of 0.5"),
        ({"augment": RandomAffine()}, "augment None instead of 'RandomAffine"),
        ({"seed": 1}, "seed 0 instead of 1"),
        ({"network": Noisy}, "codec 'gray' instead of 'noisy'"),
    ],
)
def test_resume_with_another_recipe(begun: Job, changes: dict[str, Any], words: str) -> None:
    before = files(begun.out)
    with pytest.raises(UsageError, match=words) as caught:
        train(job_of(begun.data_dir, begun.out, **changes), resume=True)
    assert "name another --out" in str(caught.value)
    assert files(begun.out) == before


def test_resume_with_changed_layers(begun: Job) -> None:
    with pytest.raises(TrainingError, match="a network with other layers"):
        train(dataclasses.replace(begun, codec=SimpleNamespace(name="gray", network=Noisy)), resume=True)


def test_resume_with_other_images(begun: Job) -> None:
    write_mnist(begun.data_dir, "train", marked_digits(100, 0, 8))
    with pytest.raises(UsageError, match="held_out_pixels"):
        train(begun, resume=True)
    write_mnist(begun.data_dir, "train", marked_digits(90, 0, 1))
    with pytest.raises(UsageError, match="training_images 80 instead of 70"):
        train(begun, resume=True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:600] + bytes(200) + content[800:],
        lambda content: pickle.dumps({"epoch": 2}),
        lambda content: pickle.dumps({"identity": pytest.fail}),
    ],
    ids=["empty", "truncated", "overwritten", "keys missing", "a pickle of a function"],
)
def test_damaged_checkpoint(begun: Job, damage: Callable[[bytes], bytes]) -> None:
    path = begun.out / "checkpoint.pt"
    path.write_bytes(damage(path.read_bytes()))
    before = files(begun.out)
    with pytest.raises(TrainingError, match="cannot be read") as caught:
        train(begun, resume=True)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files(begun.out) == before


@pytest.mark.parametrize("missing", ["train", "t10k"])
def test_missing_data_is_said_before_anything_begins(small_root: Path, tmp_path: Path, missing: str) -> None:
    (small_root / "MNIST" / "raw" / f"{missing}-images-idx3-ubyte").unlink()
    job = job_of(small_root, tmp_path / "out")
    with pytest.raises(DatasetError, match="codecbench data get mnist"):
        train(job, watch=lambda progress: pytest.fail("began"))
    assert not job.out.exists()


@pytest.mark.parametrize("changes", [{"held_out": 90}, {"held_out": 200}, {"held_out": 0}, {"batch_size": 81}])
def test_too_few_images(small_root: Path, tmp_path: Path, changes: dict[str, int]) -> None:
    job = job_of(small_root, tmp_path / "out", **changes)
    with pytest.raises(TrainingError, match="mnist:split=train has 100 images; the recipe needs at least 1 held out"):
        train(job)
    assert not job.out.exists()


def test_a_folder_that_cannot_be_made(small_root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(TrainingError, match="cannot write to"):
        train(job_of(small_root, tmp_path / "file" / "out"), watch=lambda progress: pytest.fail("began"))


def test_a_full_disk_keeps_the_checkpoint(small_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, save = job_of(small_root, tmp_path / "out"), torch.save

    def full(content: dict[str, Any], path: Path) -> None:
        if content["epoch"] == 3:
            path.write_bytes(b"PK")
            raise OSError(28, "No space left on device")
        save(content, path)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(TrainingError, match=r"cannot write to .*No space left"):
            train(job)
    assert len(log_of(job.out)) == 2
    train(job, resume=True)
    whole = job_of(small_root, tmp_path / "whole")
    train(whole)
    assert result_of(job.out) == result_of(whole.out)


# --- Losses that are not finite -----------------------------------------------------------------------------


def poisoned(step: int, value: float, gradient_only: bool = False) -> Callable[..., torch.Tensor]:
    """The usual loss, but for one step counted from 1 over the whole run."""
    calls = 0

    def loss(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        usual = reconstruction_mse(network, images)
        if calls != step:
            return usual
        return usual + torch.sqrt(usual * 0) if gradient_only else usual * value

    return loss


@pytest.mark.parametrize(
    ("step", "batch_size", "value", "words"),
    [
        (13, 16, math.inf, "the loss is inf in epoch 3, step 3; the checkpoint of epoch 2 is"),
        (80 + 34, 1, math.nan, "epoch 2, step 34; the checkpoint of epoch 1 is"),  # between two reports
        (2, 16, math.nan, "epoch 1, step 2; no epoch was finished"),
    ],
)
def test_a_loss_that_is_not_finite_stops_the_run(
    step: int, batch_size: int, value: float, words: str, small_root: Path, tmp_path: Path
) -> None:
    job = job_of(small_root, tmp_path / "out", loss=poisoned(step, value), batch_size=batch_size)
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


def test_weights_that_the_last_step_spoils_are_not_kept(small_root: Path, tmp_path: Path) -> None:
    job = job_of(small_root, tmp_path / "out", loss=poisoned(10, 1.0, gradient_only=True))
    with pytest.raises(TrainingError, match="held-out MSE is nan after epoch 2, step 5; the checkpoint of epoch 1"):
        train(job)
    assert torch.load(job.out / "checkpoint.pt", weights_only=True)["epoch"] == 1


# --- What chooses the weights -------------------------------------------------------------------------------


def images_used(monkeypatch: pytest.MonkeyPatch, job: Job) -> tuple[list[set[int]], list[set[int]]]:
    """Numbers of the images of each training epoch, and of each evaluation."""
    trained: list[int] = []
    evaluated: list[set[int]] = []

    def loss(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        trained.extend((images[:, 0, 0, 0] * 255).round().int().tolist())
        return reconstruction_mse(network, images)

    def watched(network: nn.Module, samples: Samples, *how: Any) -> float:
        evaluated.append(set(samples.images[:, 0, 0, 0].tolist()))
        return evaluate(network, samples, *how)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "evaluate", watched)
        patch.setattr(outcome, "evaluate", watched)
        train(dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, loss=loss)))
    per_epoch = len(trained) // job.recipe.epochs
    return [set(trained[start : start + per_epoch]) for start in range(0, len(trained), per_epoch)], evaluated


def test_held_out_images_are_chosen_by_seed_and_never_trained_on(small_root, tmp_path, monkeypatch) -> None:
    everything, test = set(range(100)), set(range(200, 230))
    chosen = []
    for number, seed in enumerate((0, 0, 7)):
        job = job_of(small_root, tmp_path / str(number), seed=seed, epochs=2)
        trained, evaluated = images_used(monkeypatch, job)
        held_out = evaluated[0]
        assert len(held_out) == 20
        assert all(images == everything - held_out for images in trained)  # 80 is a multiple of the batch
        assert evaluated == [held_out, test] * 2 + [test]  # an epoch each, to be drawn, and the best weights at the end
        chosen.append(held_out)
    assert chosen[0] == chosen[1] != chosen[2]


def test_the_start_sees_training_images_alone_and_only_once(small_root, tmp_path, monkeypatch) -> None:
    seen: list[set[int]] = []

    def start(network: nn.Module, images: torch.Tensor) -> None:
        seen.append(set(images[:, 0, 0, 0].tolist()))

    job = job_of(small_root, tmp_path / "out", start=start, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train(job, watch=stop_in(2))
    trained, evaluated = images_used(monkeypatch, dataclasses.replace(job, out=tmp_path / "whole"))
    train(job, resume=True)
    assert seen == [trained[0], trained[0]]  # of this run and of the other
    assert not seen[0] & evaluated[0]


def test_passes(small_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch goes over all images as often as the recipe says, in another order each time."""
    order: list[int] = []

    def loss(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        order.extend((images[:, 0, 0, 0] * 255).round().int().tolist())
        return reconstruction_mse(network, images)

    train(job_of(small_root, tmp_path / "out", passes=3, epochs=1, loss=loss))
    first, second, third = order[:80], order[80:160], order[160:]
    assert sorted(first) == sorted(second) == sorted(third)
    assert len(set(first)) == 80
    assert first != second != third


def test_most_images(small_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "LOADING_BATCH", 7)  # images are loaded in blocks
    job = job_of(small_root, tmp_path / "out", most_images=32)
    trained, evaluated = images_used(monkeypatch, job)
    assert {len(images) for images in trained} == {32}
    assert len(evaluated[0]) == 20
    assert not evaluated[0] & set.union(*trained)


def test_labels_reach_network_and_loss(small_root: Path, tmp_path: Path) -> None:
    write_labels(small_root)
    heard: list[tuple[int, int]] = []

    def loss(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        heard.extend(zip((images[:, 0, 0, 0] * 255).round().int().tolist(), labels.tolist(), strict=True))
        return reconstruction_mse(network, images, labels)

    train(job_of(small_root, tmp_path / "out", network=Labelled, labels=True, loss=loss, epochs=1))
    assert len(heard) == 80
    assert all(label == number % 10 for number, label in heard)


def test_labels_that_are_not_there(small_root: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="mnist:split=train comes without labels, and the recipe needs them"):
        train(job_of(small_root, tmp_path / "out", network=Labelled, labels=True))


def test_the_other_images_where_the_first_are_not_on_disk(small_root: Path, tmp_path: Path) -> None:
    wish = {"dataset": "stl10:split=unlabeled,crop=none", "otherwise": "stl10:split=train,crop=none", "epochs": 1}
    card = train(job_of(small_root, tmp_path / "out", PHOTOS, Colour, **wish))
    assert card["trained_on"] == "stl10:split=train,crop=none"
    plain = train(job_of(small_root, tmp_path / "plain", PHOTOS, Colour, epochs=1))
    assert plain["trained_on"] == "stl10:split=train,crop=none"
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
def test_compiled_steps_train_too(small_root: Path, tmp_path: Path) -> None:
    plain = train(job_of(small_root, tmp_path / "plain"))
    compiled = train(job_of(small_root, tmp_path / "compiled", compile=True))
    assert compiled["held_out_mse"] == pytest.approx(plain["held_out_mse"], rel=1e-3)


def test_best_and_last_weights(small_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best epoch is the first with the lowest error."""
    errors = iter([0.5, 0.9, 0.2, 0.8, 0.2, 0.1, 0.3, 0.7, 0.9])  # on held-out and test images in turn
    monkeypatch.setattr(loop, "evaluate", lambda *_: next(errors))
    monkeypatch.setattr(outcome, "evaluate", lambda *_: next(errors))
    copies: list[bytes] = []
    save = checkpoint.save

    def copying(*arguments: Any) -> None:
        save(*arguments)
        copies.append((job.out / "last.safetensors").read_bytes())

    monkeypatch.setattr(checkpoint, "save", copying)
    job = job_of(small_root, tmp_path / "out")
    card = train(job)
    assert (card["best_epoch"], card["held_out_mse"], card["test_mse"]) == (2, 0.2, 0.9)
    assert (job.out / "best.safetensors").read_bytes() == copies[1]
    assert (job.out / "last.safetensors").read_bytes() == copies[3]
    assert len(set(copies)) == 4


def test_kept_epochs(small_root: Path, tmp_path: Path) -> None:
    job = job_of(small_root, tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        train(job, keep={1, 4}, watch=stop_in(3))
    first = (job.out / "epoch-0001.safetensors").read_bytes()
    train(job, keep={1, 4}, resume=True)
    assert sorted(path.name for path in job.out.glob("epoch-*")) == ["epoch-0001.safetensors", "epoch-0004.safetensors"]
    assert (job.out / "epoch-0004.safetensors").read_bytes() == (job.out / "last.safetensors").read_bytes()
    assert (job.out / "epoch-0001.safetensors").read_bytes() == first != (job.out / "last.safetensors").read_bytes()


def test_evaluate(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randint(0, 256, (7, 1, 6, 6), dtype=torch.uint8)
    network = nn.Dropout(0.5)
    assert evaluate(network, Samples(images)) == 0
    assert network.training  # left as it was
    whole = evaluate(nn.Threshold(2.0, 0.5), Samples(images))
    assert whole == pytest.approx(float(((images / 255 - 0.5) ** 2).mean()), rel=1e-6)
    middle = images[:, :, 2:4, 1:5].double() / 255
    cropped = evaluate(nn.Threshold(2.0, 0.0), Samples(images), (2, 4))
    assert cropped == pytest.approx(float((middle**2).mean()), rel=1e-6)
    monkeypatch.setattr(samples, "EVALUATION_BATCH", 3)
    assert evaluate(nn.Threshold(2.0, 0.5), Samples(images)) == pytest.approx(whole, rel=1e-12)


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
    for name in CHANGEABLE:
        assert isinstance(getattr(DIGITS, name), CHANGEABLE[name])


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


def test_progress_and_log(small_root: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    train(job_of(small_root, tmp_path / "out", schedule="exponential", gamma=0.5), watch=seen.append)
    running, finished = [p for p in seen if not p.finished], [p for p in seen if p.finished]
    assert [progress.done for progress in running] == pytest.approx([step / 20 for step in range(1, 21)])
    assert [progress.done for progress in finished] == [0.25, 0.5, 0.75, 1.0]
    assert [(progress.epoch, progress.epochs) for progress in seen] == [
        (epoch, 4) for epoch in (1, 2, 3, 4) for _ in range(6)
    ]
    rows = log_of(tmp_path / "out", without=())
    assert ",".join(rows[0]) == "epoch,learning_rate,train_loss,held_out_mse,test_mse,images_per_s,seconds"
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx([0.02, 0.01, 0.005, 0.0025])
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert all(float(row[key]) > 0 for row in rows for key in rows[0])
    for part in ("held_out", "test"):
        found = [getattr(progress, f"{part}_score") for progress in running]
        assert [math.isnan(error) for error in found] == [True] * 5 + [False] * 15
        assert [getattr(progress, f"{part}_score") for progress in finished] == pytest.approx(
            [float(row[f"{part}_mse"]) for row in rows], rel=1e-6
        )
    assert {progress.judged_by for progress in seen} == {"MSE"}
    assert all(progress.images_per_s > 0 and progress.seconds_left >= 0 for progress in seen)
    assert seen[-1].seconds_left == 0


# --- Card, installation, command line -----------------------------------------------------------------------


def test_card(small_root: Path, tmp_path: Path) -> None:
    job = job_of(small_root, tmp_path / "out", seed=5)
    card = train(job)
    assert json.loads((job.out / "best.json").read_text(encoding="utf-8")) == card
    assert card["sha256"] == file_sha256(job.out / "best.safetensors")
    assert card["codec"] == "gray"
    assert card["command"] == "codecbench train gray"
    assert (card["recipe_name"], card["recipe"]) == ("fast", describe(job.recipe))
    assert card["recipe"]["seed"] == 5
    assert card["parameters"] == sum(parameter.numel() for parameter in Gray().parameters())
    assert (card["training_images"], card["test"], card["test_images"]) == (80, "mnist", 30)
    best = min(log_of(job.out), key=lambda row: float(row["held_out_mse"]))
    assert card["best_epoch"] == int(best["epoch"])
    assert card["held_out_mse"] == pytest.approx(float(best["held_out_mse"]), rel=1e-8)
    assert 0 < card["test_mse"] < 1
    assert card["training_seconds"] >= 0
    assert card["images_per_s"] > 0
    assert card["machine"]["device"] == "cpu"
    assert card["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert set(card) >= {"date", "git_commit"}
    assert str(tmp_path) not in json.dumps(card)


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
        ("tiny_ae", {"seed": 2**64}, UsageError, "is not allowed; allowed: 0 to 4294967295"),
        ("tiny_ae", {"device": "tpu"}, UsageError, "device=tpu is not allowed"),
    ],
)
@pytest.mark.usefixtures("tiny_ae")
def test_jobs_that_are_refused(name: str, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        make_job(name, **options)
    assert words in str(caught.value)


@pytest.mark.usefixtures("tiny_ae")
def test_a_place_for_weights_that_cannot_be_written_to(user_folder: Path, small_root: Path, tmp_path: Path) -> None:
    (user_folder / "weights").write_text("in the way", encoding="utf-8")
    job = make_job("tiny_ae", epochs=1, data_dir=small_root, out=tmp_path / "out", device="cpu")
    train(job)
    with pytest.raises(TrainingError, match=r"cannot write to .*weights"):
        install(job)


class CommandLine:
    """Runs ``codecbench`` in this process, as from a shell in a folder of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path):
        self.monkeypatch, self.capsys = monkeypatch, capsys
        monkeypatch.chdir(folder)

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """Exit code, output, errors."""
        words = [str(argument) for argument in arguments]
        self.monkeypatch.setattr(sys, "argv", ["codecbench", *words])
        code = main(words)
        done = self.capsys.readouterr()
        return code, done.out, done.err


@pytest.fixture
def codecbench(monkeypatch, capsys, tmp_path: Path) -> CommandLine:
    folder = tmp_path / "work here"
    folder.mkdir()
    return CommandLine(monkeypatch, capsys, folder)


def test_train_and_install_a_codec_of_ones_own(codecbench, user_folder: Path, small_root: Path) -> None:
    """A user's folder holds a learned codec: trained, installed, used."""
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
    assert sorted(path.name for path in target.parent.iterdir()) == [
        "tiny_ae.csv",
        "tiny_ae.json",
        "tiny_ae.safetensors",
    ]
    assert Path("training/tiny_ae-fast/checkpoint.pt").is_file()

    cls = CODECS.get("tiny_ae")
    assert weights_path(cls) == target
    test = marked_digits(30, 200, 2)[..., np.newaxis]
    streams = cls().encode(test)
    assert {len(stream) for stream in streams} == {128}
    mse = float(((cls().decode_float(streams) - test / 255.0) ** 2).mean())
    assert mse == pytest.approx(card["test_mse"], rel=1e-4)

    code, out, err = codecbench("train", "tiny_ae", "--seed", 4, *options)
    assert code == 2
    assert "already holds a training run" in err
    code, out, err = codecbench("train", "tiny_ae", "--seed", 4, "--resume", "--epochs", 7, *options)
    assert code == 2
    assert "epochs 3 instead of 7" in err


def test_interrupted_on_the_command_line(codecbench, tiny_ae, small_root: Path, monkeypatch) -> None:
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
    assert json.loads(Path("run/best.json").read_text(encoding="utf-8"))["command"] == "codecbench train tiny_ae"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lossy_aa"], "error: unknown codec 'lossy_aa'; did you mean 'lossy_ae'"),
        (["png"], "error: png has nothing to train"),
        (["lossy_ae", "--recipe", "best"], "error: unknown recipe of lossy_ae 'best'"),
        (["lossy_ae", "--epochs", "0"], "error: Invalid value for '--epochs'"),
        (["lossy_ae", "--resume"], "error: nothing to resume: no checkpoint in training/lossy_ae-fast"),
        (["lossy_ae", "--data-dir", "nowhere"], "`codecbench data get mnist` downloads it"),
        (["stl10_ae", "--data-dir", "nowhere"], "`codecbench data get stl10` downloads it"),
    ],
)
def test_requests_that_are_refused(codecbench, arguments: list[str], words: str) -> None:
    code, out, err = codecbench("train", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert not list(Path.cwd().iterdir())


def test_torchvision_is_never_loaded(user_folder: Path, small_root: Path, tmp_path: Path) -> None:
    code = """
import sys
from codecbench.cli.main import main
assert main(sys.argv[1:]) == 0
assert "torch" in sys.modules
assert "torchvision" not in sys.modules
"""
    arguments = ("train", "tiny_ae", "--codec-dir", user_folder, "--data-dir", small_root, "--out", tmp_path / "out")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
