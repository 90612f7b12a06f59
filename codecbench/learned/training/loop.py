"""The training loop of every learned codec.

Everything random in an epoch (shuffling, augmentation, noise inside the network) is drawn from the seed and the epoch's
number, and a checkpoint is written after each epoch, so a killed run that is resumed ends with the weights of an
uninterrupted one (on a CPU bit for bit). The best epoch is chosen on training images that were held out; test images
are measured after every epoch and at the end, for information only; they choose nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codecbench import environment
from codecbench.errors import DatasetError, TrainingError, UsageError
from codecbench.learned.training import checkpoint, outcome
from codecbench.learned.training.checkpoint import CHECKPOINT, State, log_columns
from codecbench.learned.training.job import Job, build_network
from codecbench.learned.training.recipe import AFTERWARDS, Network, Recipe, describe
from codecbench.learned.training.samples import Samples, evaluate, load_samples
from codecbench.learned.weights import save_weights
from codecbench.plan.planner import open_dataset
from codecbench.plugins.dataset import ImageSet


@dataclass(frozen=True)
class Progress:
    """Progress of a training run."""

    epoch: int  # from 1
    epochs: int
    done: float  # the finished part of the run, 0 to 1
    loss: float  # mean training loss of the epoch so far
    held_out_score: float  # mean squared error, or the recipe's score, after the last finished epoch; NaN before that
    test_score: float  # the same on the test images, which decide nothing
    images_per_s: float  # training images a second in this epoch
    seconds_left: float  # expected, or NaN
    judged_by: str = "MSE"  # name and unit of the two scores, see ``Recipe.words``
    finished: bool = False  # the epoch is over, and its errors are known


Watch = Callable[[Progress], None]


def train(
    job: Job, *, resume: bool = False, keep: Collection[int] = (), watch: Watch = lambda _: None
) -> dict[str, Any]:
    """Trains a network, or goes on with a run that was interrupted; returns the model card, also in ``best.json``.

    ``resume`` goes on from the checkpoint in ``job.out``; of a finished run it makes the weight file and the card anew.
    The weights of the epochs in ``keep``, from 1, stay there as ``epoch-0001.safetensors``. ``watch`` is called several
    times an epoch. ``DatasetError`` for missing images is raised before anything is written. After a ``TrainingError``,
    such as a loss that is no longer finite, the last good checkpoint is kept.
    """
    recipe = job.recipe
    commit = environment.git_commit()  # of the code that trains; at the end the checkout may stand elsewhere
    saved = (job.out / CHECKPOINT).is_file()
    if resume and not saved:
        raise UsageError(f"nothing to resume: no checkpoint in {job.out}")
    if not resume and saved:
        raise UsageError(f"{job.out} already holds a training run; go on with --resume, or name another --out")
    dataset, image_set = _open_training(recipe, job.data_dir)
    test_set = open_dataset(recipe.test, job.data_dir)
    order = np.random.default_rng(recipe.seed).permutation(len(image_set)).tolist()
    last = len(order) if recipe.most_images is None else recipe.held_out + recipe.most_images
    aside, rest = order[: recipe.held_out], order[recipe.held_out : last]
    if not aside or len(rest) < recipe.batch_size:
        raise TrainingError(
            f"{dataset} has {len(image_set)} images; the recipe needs at least 1 held out "
            f"(it says {recipe.held_out}) and one batch of {recipe.batch_size}"
        )
    identity = {
        "codec": job.codec.name,
        **{field: value for field, value in describe(recipe).items() if field not in AFTERWARDS},
        "trained_on": dataset,
        "training_images": len(rest),
        "held_out_pixels": image_set.fingerprint(aside),
    }
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        state = _start(job)
        if resume:
            checkpoint.restore(job.out, state, identity)
        finished = state.epoch >= recipe.epochs
        checkpoint.write_files(job.out, state)
        if not finished:
            held_out, training = (
                load_samples(image_set, job.device, part, labels=recipe.labels, what=dataset) for part in (aside, rest)
            )
            test = load_samples(test_set, job.device, labels=recipe.labels, what=recipe.test)
            if recipe.start and not resume:
                recipe.start(state.network, training.images)
            network = torch.compile(state.network) if recipe.compile else state.network
            loop = _Loop(job, state, network, training, held_out, test, watch)
            while state.epoch < recipe.epochs:
                began = time.perf_counter()
                loop.run_epoch()
                if state.epoch in keep:
                    save_weights(job.out / f"epoch-{state.epoch:04}.safetensors", state.network.state_dict())
                checkpoint.save(job.out, state, identity)
                loop.report(time.perf_counter() - began)
        tables = outcome.store_best(job, state, image_set, aside, rest)
        card = outcome.model_card(job, state, dataset, len(rest), commit) | tables
    if finished:
        card |= outcome.earlier_card(job, state)
    outcome.write_card(job, card)
    return card


def _open_training(recipe: Recipe, data_dir: Path) -> tuple[str, ImageSet]:
    """The images to train on, and their spec."""
    try:
        return recipe.dataset, open_dataset(recipe.dataset, data_dir)
    except DatasetError:
        if not recipe.otherwise:
            raise
        return recipe.otherwise, open_dataset(recipe.otherwise, data_dir)


def _start(job: Job) -> State:
    torch.manual_seed(job.recipe.seed)
    network = build_network(job.codec, job.recipe.variant).to(job.device)
    if job.recipe.channels_last:
        network = network.to(memory_format=torch.channels_last)
    return State(network, build_optimizer(job.recipe, network), job.recipe.judged_by)


@dataclass
class _Loop:
    """What every epoch of a training run works with."""

    job: Job
    state: State
    network: Network  # the state's, compiled or not
    training: Samples
    held_out: Samples
    test: Samples
    watch: Watch

    def run_epoch(self) -> None:
        """Trains for one more epoch and judges the network."""
        job, state, recipe, epoch = self.job, self.state, self.job.recipe, self.state.epoch
        steps_a_pass = len(self.training) // recipe.batch_size
        steps = recipe.passes * steps_a_pass
        seed = recipe.seed * 1_000_003 + epoch
        shuffler = torch.Generator().manual_seed(seed)
        drawer = torch.Generator(job.device).manual_seed(seed + 500_000)
        torch.manual_seed(seed + 250_000)  # for networks that draw noise of their own
        whole = steps_a_pass * recipe.batch_size
        shuffled = torch.cat(
            [torch.randperm(len(self.training), generator=shuffler)[:whole] for _ in range(recipe.passes)]
        )
        began, losses = time.perf_counter(), torch.zeros(steps, device=job.device)
        columns = log_columns(recipe.judged_by)
        rate = 0.0
        state.network.train()
        for step in range(steps):
            rate = recipe.learning_rate_at(epoch * steps + step, steps)
            set_learning_rate(state.optimizer, rate)
            chosen = shuffled[step * recipe.batch_size : (step + 1) * recipe.batch_size].to(job.device)
            losses[step] = self._step(self.training[chosen], drawer)
            if step % max(1, steps // 20) == 0 or step == steps - 1:
                loss = float(losses[: step + 1].mean())
                if not np.isfinite(loss):
                    bad = int((~losses.isfinite()).nonzero()[0])
                    raise self._not_finite(f"the loss is {float(losses[bad])} in epoch {epoch + 1}, step {bad + 1}")
                spent = time.perf_counter() - began
                speed = (step + 1) * recipe.batch_size / spent
                left = ((recipe.epochs - epoch) * steps - step - 1) * recipe.batch_size / speed
                done = (epoch * steps + step + 1) / (recipe.epochs * steps)
                self._tell(epoch + 1, done, loss, speed, left)
        spent = time.perf_counter() - began
        score = evaluate(state.network, self.held_out, recipe.crop, recipe.score)
        if not np.isfinite(score):
            raise self._not_finite(f"the held-out {recipe.words} is {score} after epoch {epoch + 1}, step {steps}")
        state.epoch = epoch + 1
        test_score = evaluate(state.network, self.test, recipe.crop, recipe.score)
        row = (epoch + 1, rate, float(losses.mean()), score, test_score, steps * recipe.batch_size / spent, spent)
        state.log.append(dict(zip(columns, row, strict=True)))
        if score < state.best_score:
            state.best_score, state.best_epoch = score, epoch + 1
            state.best = {name: value.detach().cpu().clone() for name, value in state.network.state_dict().items()}

    def report(self, seconds: float) -> None:
        """Reports the end of an epoch that took some seconds with its evaluations."""
        row, epoch, epochs = self.state.log[-1], self.state.epoch, self.job.recipe.epochs
        left = (epochs - epoch) * seconds
        self._tell(epoch, epoch / epochs, row["train_loss"], row["images_per_s"], left, finished=True)

    def _tell(self, epoch: int, done: float, loss: float, speed: float, left: float, finished: bool = False) -> None:
        """Reports progress, with the errors after the last finished epoch."""
        recipe, log = self.job.recipe, self.state.log
        held_out, test = (log[-1][key] if log else math.nan for key in log_columns(recipe.judged_by)[3:5])
        known = loss, held_out, test, speed, left
        self.watch(Progress(epoch, recipe.epochs, done, *known, recipe.words, finished))

    def _not_finite(self, what: str) -> TrainingError:
        epoch = self.state.epoch
        kept = f"the checkpoint of epoch {epoch} is kept in {self.job.out}" if epoch else "no epoch was finished"
        return TrainingError(f"{what}; {kept}; a lower learning rate may help")

    def _step(self, chosen: Samples, drawer: torch.Generator) -> torch.Tensor:
        recipe, batch = self.job.recipe, chosen.images.float() / 255.0
        if recipe.augment:
            batch = recipe.augment(batch, drawer)
        if recipe.channels_last:
            batch = batch.contiguous(memory_format=torch.channels_last)
        self.state.optimizer.zero_grad(set_to_none=True)
        reduced = recipe.bfloat16 and self.state.epoch < recipe.epochs - recipe.full_precision_epochs
        with torch.autocast(batch.device.type, dtype=torch.bfloat16, enabled=reduced):
            loss = recipe.loss(self.network, batch, *chosen.inputs)
        loss.backward()  # type: ignore[no-untyped-call]
        self.state.optimizer.step()
        return loss.detach()


def build_optimizer(recipe: Recipe, network: torch.nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser over all parameters of a network; ``scale`` in its groups multiplies the learning rate.

    Muon (K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) takes the momentum of every weight matrix
    to the nearest orthogonal one, so that no direction of a layer is learnt slower than the others. A convolution
    counts as the matrix (first axis, all others). Everything else, biases and slopes, gets AdamW.
    """
    if recipe.optimizer == "adam":
        return torch.optim.Adam(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    from pytorch_optimizer import Muon  # here: other recipes do without it, and it takes a second to import

    matrices = [parameter for parameter in network.parameters() if _is_matrix(parameter)]
    others = [parameter for parameter in network.parameters() if not _is_matrix(parameter)]
    groups = [
        {"params": matrices, "use_muon": True, "lr": recipe.learning_rate, "scale": 1.0},
        {"params": others, "use_muon": False, "lr": recipe.learning_rate, "scale": recipe.vector_learning_rate_scale},
    ]
    return Muon([group for group in groups if group["params"]], weight_decay=0.0)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Gives every group of parameters its learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)


def _is_matrix(parameter: torch.nn.Parameter) -> bool:
    return parameter.ndim >= 2 and min(parameter.shape[0], parameter.numel() // parameter.shape[0]) > 1
