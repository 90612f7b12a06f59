"""The training loop of every learned codec.

Everything random in an epoch (shuffling, augmentation) is drawn from the seed and the epoch's number, and a checkpoint
is written after each epoch, so a killed run that is resumed ends with the weights of an uninterrupted one. The best
epoch is chosen on training images that were held out; test images are measured once, at the end, to be reported.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codecbench import provenance
from codecbench.datadir import data_root
from codecbench.errors import TrainingError, UnknownNameError, UsageError
from codecbench.learned.augment import center_crop
from codecbench.learned.recipe import Recipe
from codecbench.learned.weights import card_path, load_weights, save_weights, weights_path
from codecbench.plan import open_dataset
from codecbench.provenance import resolve_device
from codecbench.registry import CODECS, file_sha256

EVALUATION_BATCH = 500
LOG_COLUMNS = ("epoch", "learning_rate", "train_loss", "held_out_mse", "images_per_s", "seconds")


@dataclass(frozen=True)
class Progress:
    """Where a training run stands.

    Attributes:
        epoch: the current epoch, from 1.
        epochs: how many there will be.
        done: the finished part of the run, 0 to 1.
        loss: mean training loss of the epoch so far.
        held_out_mse: mean squared error on the held-out images after the last finished epoch, or NaN.
        images_per_s: training images a second in this epoch.
        seconds_left: expected, or NaN.
    """

    epoch: int
    epochs: int
    done: float
    loss: float
    held_out_mse: float
    images_per_s: float
    seconds_left: float


@dataclass(frozen=True)
class Job:
    """One training run.

    Attributes:
        codec: the codec's class; offers ``network``.
        recipe_name: the recipe's name among the codec's ``recipes``.
        recipe: what to do.
        data_dir: the data root.
        out: folder of checkpoint, log, best and last weights.
        device: ``cpu`` or ``cuda``.
        command: the command line that reproduces the run, for the model card.
    """

    codec: Any
    recipe_name: str
    recipe: Recipe
    data_dir: Path
    out: Path
    device: str = "cpu"
    command: str = ""


@dataclass
class _State:
    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    best_epoch: int = 0
    best_mse: float = float("inf")
    log: list[dict[str, float]] = dataclasses.field(default_factory=list)


def make_job(
    name: str,
    *,
    recipe: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    device: str = "auto",
    out: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    command: str = "",
) -> Job:
    """Puts a training run together.

    Args:
        name: the learned codec.
        recipe: one of its recipes; by default the first.
        epochs: instead of the recipe's.
        seed: instead of the recipe's.
        device: ``auto``, ``cpu`` or ``cuda``.
        out: folder of the run; by default ``training/NAME-RECIPE``.
        data_dir: the data root; see ``codecbench.datadir``.
        command: the command line, for the model card.

    Raises:
        UnknownNameError: no such codec or recipe.
        UsageError: the codec has nothing to train, or there is no such device.
    """
    codec: Any = CODECS.get(name)
    recipes: dict[str, Recipe] = getattr(codec, "recipes", {})
    if not recipes:
        raise UsageError(f"{name} has nothing to train")
    chosen = recipe or next(iter(recipes))
    if chosen not in recipes:
        raise UnknownNameError(f"recipe of {name}", chosen, recipes)
    changes: dict[str, Any] = {key: value for key, value in (("epochs", epochs), ("seed", seed)) if value is not None}
    target = resolve_device(device, True)
    folder = Path(out) if out is not None else Path("training") / f"{name}-{chosen}"
    return Job(
        codec,
        chosen,
        dataclasses.replace(recipes[chosen], **changes),
        data_root(data_dir),
        folder,
        target,
        command,
    )


def train(job: Job, *, resume: bool = False, watch: Callable[[Progress], None] = lambda _: None) -> dict[str, Any]:
    """Trains a network, or goes on with a run that was interrupted.

    Args:
        job: what to train.
        resume: go on from the checkpoint in ``job.out``.
        watch: called several times an epoch.

    Returns:
        The model card, also written to ``job.out/best.json``.

    Raises:
        UsageError: ``job.out`` holds another run, or nothing to resume.
        DatasetError: the training images are missing; said before anything begins.
        TrainingError: the loss is no longer finite; the last good checkpoint is kept.
    """
    recipe, checkpoint = job.recipe, job.out / "checkpoint.pt"
    if resume and not checkpoint.is_file():
        raise UsageError(f"nothing to resume: no checkpoint in {job.out}")
    if not resume and checkpoint.is_file():
        raise UsageError(f"{job.out} already holds a training run; go on with --resume, or name another --out")
    images = _load(recipe.dataset, job)
    _load_check(recipe.test, job)
    order = np.random.default_rng(recipe.seed).permutation(len(images))
    held_out, training = (torch.from_numpy(part) for part in np.split(order, [recipe.held_out]))
    if len(training) < recipe.batch_size:
        raise TrainingError(f"{len(training)} training images are fewer than one batch of {recipe.batch_size}")
    state = _start(job)
    if resume:
        _restore(checkpoint, job, state)
    job.out.mkdir(parents=True, exist_ok=True)
    for epoch in range(state.epoch, recipe.epochs):
        _run_epoch(job, state, images, training, held_out, epoch, watch)
        _save(checkpoint, job, state)
    card = _card(job, state, len(training))
    _write_json(job.out / "best.json", card)
    return card


def install(job: Job) -> Path:
    """Copies the best weights and their model card to the place beside the codec's file.

    Returns:
        The weight file's new path.
    """
    target = weights_path(job.codec)
    target.parent.mkdir(parents=True, exist_ok=True)
    for source, place in ((job.out / "best.safetensors", target), (job.out / "best.json", card_path(target))):
        shutil.copyfile(source, place.with_name(place.name + ".tmp"))
        place.with_name(place.name + ".tmp").replace(place)
    return target


def evaluate(network: torch.nn.Module, images: torch.Tensor, crop: tuple[int, int] | None = None) -> float:
    """Mean squared error on the [0, 1] scale over uint8 images (N, C, H, W), in float32 without autocast."""
    network.eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(images), EVALUATION_BATCH):
            batch = images[start : start + EVALUATION_BATCH].float() / 255.0
            if crop:
                batch = center_crop(batch, *crop)
            difference = network(batch).double() - batch.double()
            total += float((difference * difference).sum())
            count += difference.numel()
    return total / count


def _load(spec: str, job: Job) -> torch.Tensor:
    image_set = open_dataset(spec, job.data_dir)
    array = image_set.read(range(len(image_set)))
    return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous().to(job.device)


def _load_check(spec: str, job: Job) -> None:
    open_dataset(spec, job.data_dir)


def _start(job: Job) -> _State:
    torch.manual_seed(job.recipe.seed)
    network = job.codec.network().to(job.device)
    if job.recipe.channels_last:
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(
        network.parameters(), lr=job.recipe.learning_rate, weight_decay=job.recipe.weight_decay
    )
    return _State(network, optimizer)


def _run_epoch(
    job: Job,
    state: _State,
    images: torch.Tensor,
    training: torch.Tensor,
    held_out: torch.Tensor,
    epoch: int,
    watch: Callable[[Progress], None],
) -> None:
    recipe = job.recipe
    steps = len(training) // recipe.batch_size
    shuffler = torch.Generator().manual_seed(recipe.seed * 1_000_003 + epoch)
    drawer = torch.Generator(job.device).manual_seed(recipe.seed * 1_000_003 + epoch + 500_000)
    shuffled = training[torch.randperm(len(training), generator=shuffler)]
    began, losses = time.perf_counter(), torch.zeros((), device=job.device)
    last_mse = state.log[-1]["held_out_mse"] if state.log else float("nan")
    rate = 0.0
    state.network.train()
    for step in range(steps):
        rate = recipe.learning_rate_at(epoch * steps + step, steps)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        chosen = shuffled[step * recipe.batch_size : (step + 1) * recipe.batch_size].to(job.device)
        losses += _step(recipe, state, images[chosen], drawer, epoch)
        if step % max(1, steps // 20) == 0 or step == steps - 1:
            loss = float(losses) / (step + 1)
            if not np.isfinite(loss):
                raise TrainingError(
                    f"the loss is {loss} in epoch {epoch + 1}, step {step + 1}; "
                    f"the checkpoint of epoch {state.epoch} is kept in {job.out}"
                )
            spent = time.perf_counter() - began
            speed = (step + 1) * recipe.batch_size / spent
            left = ((recipe.epochs - epoch) * steps - step - 1) * recipe.batch_size / speed
            done = (epoch * steps + step + 1) / (recipe.epochs * steps)
            watch(Progress(epoch + 1, recipe.epochs, done, loss, last_mse, speed, left))
    spent = time.perf_counter() - began
    mse = evaluate(state.network, images[held_out.to(job.device)], recipe.crop)
    state.epoch = epoch + 1
    row = (epoch + 1, rate, float(losses) / steps, mse, steps * recipe.batch_size / spent, spent)
    state.log.append(dict(zip(LOG_COLUMNS, row, strict=True)))
    if mse < state.best_mse:
        state.best_mse, state.best_epoch = mse, epoch + 1
        save_weights(job.out / "best.safetensors", state.network)
    save_weights(job.out / "last.safetensors", state.network)


def _step(recipe: Recipe, state: _State, chosen: torch.Tensor, drawer: torch.Generator, epoch: int) -> torch.Tensor:
    batch = chosen.float() / 255.0
    if recipe.augment:
        batch = recipe.augment(batch, drawer)
    if recipe.channels_last:
        batch = batch.contiguous(memory_format=torch.channels_last)
    state.optimizer.zero_grad(set_to_none=True)
    with _autocast(recipe, batch.device.type, epoch):
        loss = recipe.loss(state.network, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    return loss.detach()


@contextlib.contextmanager
def _autocast(recipe: Recipe, device_type: str, epoch: int) -> Iterator[None]:
    reduced = recipe.bfloat16 and epoch < recipe.epochs - recipe.full_precision_epochs
    with torch.autocast(device_type, dtype=torch.bfloat16, enabled=reduced):
        yield


def describe(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain JSON values; functions by their names."""
    text = json.dumps(dataclasses.asdict(recipe), default=lambda value: getattr(value, "__name__", repr(value)))
    content: dict[str, Any] = json.loads(text)
    return content


def _save(checkpoint: Path, job: Job, state: _State) -> None:
    content = {
        "recipe": json.dumps(describe(job.recipe)),
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "epoch": state.epoch,
        "best_epoch": state.best_epoch,
        "best_mse": state.best_mse,
        "log": state.log,
    }
    temporary = checkpoint.with_name(checkpoint.name + ".tmp")
    torch.save(content, temporary)
    temporary.replace(checkpoint)
    lines = [
        ",".join(LOG_COLUMNS),
        *(",".join(f"{row[key]:.9g}" for key in LOG_COLUMNS) for row in state.log),
    ]
    (job.out / "log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _restore(checkpoint: Path, job: Job, state: _State) -> None:
    try:
        content = torch.load(checkpoint, map_location=job.device, weights_only=True)
    except Exception as error:
        raise TrainingError(f"the checkpoint {checkpoint} cannot be read: {error}") from error
    if content["recipe"] != json.dumps(describe(job.recipe)):
        raise UsageError(f"{job.out} holds a run of another recipe; name another --out")
    state.network.load_state_dict(content["network"])
    state.optimizer.load_state_dict(content["optimizer"])
    state.epoch, state.best_epoch = content["epoch"], content["best_epoch"]
    state.best_mse, state.log = content["best_mse"], content["log"]


def _card(job: Job, state: _State, training_images: int) -> dict[str, Any]:
    recipe = job.recipe
    best = job.out / "best.safetensors"
    sha256 = file_sha256(best)
    network = job.codec.network()
    load_weights(best, network, sha256)
    test = _load(recipe.test, job)
    return {
        "codec": job.codec.name,
        "sha256": sha256,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "command": job.command,
        "recipe_name": job.recipe_name,
        "recipe": describe(recipe),
        "training_images": training_images,
        "best_epoch": state.best_epoch,
        "held_out_mse": state.best_mse,
        "test": recipe.test,
        "test_images": len(test),
        "test_mse": evaluate(network.to(job.device), test, recipe.crop),
        "training_seconds": round(sum(row["seconds"] for row in state.log), 1),
        "images_per_s": round(float(np.median([row["images_per_s"] for row in state.log])), 1),
        "date": time.strftime("%Y-%m-%d"),
        "git_commit": provenance.git_commit(),
        "machine": provenance.machine(job.device),
        "versions": provenance.versions(),
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)
