"""What a finished training run leaves: the best weights with their tables, and the model card; and where they go.

An entropy coder needs tables that both sides share: counts of symbols, or a transform fitted to training images. A
codec makes them by two optional class methods: ``tables_for(network, images)`` returns them by name, in the types in
which they are stored, and ``judge_tables(network, tables, images)`` what the model card says about them, as JSON
values. ``network`` has the weights as they are stored, in evaluation mode, without gradients, and on the device of
``images``: uint8 (N, C, H, W), cropped as the recipe says, the training images for ``tables_for`` and the held-out ones
for ``judge_tables``.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codecbench import environment
from codecbench.errors import WeightsError
from codecbench.fingerprint import file_sha256
from codecbench.learned.training.augment import center_crop
from codecbench.learned.training.checkpoint import BEST, LOG, State
from codecbench.learned.training.job import Job, build_network
from codecbench.learned.training.recipe import describe
from codecbench.learned.training.samples import evaluate, load_samples
from codecbench.learned.weights import card_path, load_weights, read_card, save_weights, weights_path, writing
from codecbench.plan.planner import open_dataset
from codecbench.plugins.dataset import ImageSet


def store_best(job: Job, state: State, image_set: ImageSet, aside: list[int], rest: list[int]) -> dict[str, Any]:
    """Writes the best weights as they are shipped: some of them as bfloat16, and with the codec's tables.

    ``aside`` and ``rest`` are the numbers of the held-out and the training images. Returns what the card says of the
    tables.
    """
    recipe, best = job.recipe, job.out / BEST
    assert state.best is not None
    save_weights(best, state.best, halved=recipe.halved)
    if not hasattr(job.codec, "tables_for"):
        return {}
    network = _stored(job).eval().requires_grad_(False).to(job.device)
    held_out, training = (load_samples(image_set, job.device, part).images for part in (aside, rest))
    if recipe.crop:
        held_out, training = (center_crop(images, *recipe.crop) for images in (held_out, training))
    made = job.codec.tables_for(network, training)
    save_weights(best, state.best, made, halved=recipe.halved)
    judge = getattr(job.codec, "judge_tables", None)
    found = judge(network, made, held_out) if judge else {}
    return {"tables": found} if found else {}


def _stored(job: Job) -> torch.nn.Module:
    """The network with the best weights of the run's folder."""
    network = build_network(job.codec, job.recipe.variant)
    load_weights(job.out / BEST, network, file_sha256(job.out / BEST))
    return network


def model_card(job: Job, state: State, dataset: str, training_images: int, commit: str) -> dict[str, Any]:
    """The card of a finished run: data, recipe, command, machine and figures.

    The figure on the test images is that of the weights as they are stored; the one on the held-out images is the
    log's, by which the epoch was chosen. ``commit`` is that of the code that trained.
    """
    recipe = job.recipe
    network = _stored(job)
    test = load_samples(open_dataset(recipe.test, job.data_dir), job.device, labels=recipe.labels, what=recipe.test)
    return {
        "codec": job.codec.name,
        "sha256": file_sha256(job.out / BEST),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "command": job.command,
        "recipe_name": job.recipe_name,
        "recipe": describe(recipe),
        "trained_on": dataset,
        "training_images": training_images,
        "best_epoch": state.best_epoch,
        "judged_by": recipe.words,
        f"held_out_{recipe.judged_by}": state.best_score,
        "test": recipe.test,
        "test_images": len(test),
        f"test_{recipe.judged_by}": evaluate(network.to(job.device), test, recipe.crop, recipe.score),
        "training_seconds": round(sum(row["seconds"] for row in state.log), 1),
        "images_per_s": round(float(np.median([row["images_per_s"] for row in state.log])), 1),
        "date": time.strftime("%Y-%m-%d"),
        "git_commit": commit,
        "machine": environment.machine(job.device),
        "versions": environment.versions(),
    }


def earlier_card(job: Job, state: State) -> dict[str, Any]:
    """What an earlier card of a finished run says of its training: command, date, code, machine; empty without one."""
    try:
        card = read_card(job.out / BEST)
    except WeightsError:
        return {}
    if card.get("best_epoch") != state.best_epoch:
        return {}
    return {key: card[key] for key in ("command", "date", "git_commit", "machine", "versions") if key in card}


def write_card(job: Job, card: dict[str, Any]) -> None:
    """Writes the card beside the best weights."""
    with writing(card_path(job.out / BEST)) as file:
        file.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def install(job: Job) -> Path:
    """Copies best weights, model card and log beside the codec's file; returns the weight file's new path."""
    best, target = job.out / BEST, weights_path(job.codec, job.recipe.variant)
    copies = {target: best, card_path(target): card_path(best), target.with_suffix(".csv"): job.out / LOG}
    for place, source in copies.items():
        with writing(place) as file:
            shutil.copyfile(source, file)
    return target
