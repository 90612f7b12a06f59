"""What a finished training run leaves: the best weights with their tables, and the model card; and where they go."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from codecbench import provenance
from codecbench.dataset import ImageSet
from codecbench.learned import checkpoint
from codecbench.learned.augment import center_crop
from codecbench.learned.autoencoder import Autoencoder
from codecbench.learned.checkpoint import BEST, LOG, State
from codecbench.learned.fitting import EXCESS, fit_tables, judge
from codecbench.learned.jobs import Job, build_network
from codecbench.learned.recipe import describe
from codecbench.learned.samples import evaluate, load_samples
from codecbench.learned.weights import card_path, load_weights, save_weights, weights_path
from codecbench.plan import open_dataset
from codecbench.registry import file_sha256
from codecbench.settings import settings_of

CARD = "best.json"


def fit_latent_tables(job: Job, state: State, image_set: ImageSet, aside: list[int], rest: list[int]) -> dict[str, Any]:
    """Puts the entropy coder's tables into the best weights, for codecs that code their latents.

    Returns:
        What the card says of them, by the held-out images; nothing for other codecs.
    """
    latent = settings_of(job.codec).get("latent") if isinstance(job.codec, type) else None
    if latent is None or "int8" not in latent.choices:
        return {}
    recipe = job.recipe
    network = build_network(job.codec, recipe.variant)
    assert isinstance(network, Autoencoder)
    assert state.best is not None
    network.load_state_dict(state.best)
    network.eval().requires_grad_(False).to(job.device)
    held_out, training = (load_samples(image_set, job.device, part).images for part in (aside, rest))
    if recipe.crop:
        held_out, training = (center_crop(images, *recipe.crop) for images in (held_out, training))
    coder = fit_tables(network, training, seed=recipe.seed)
    with checkpoint.writing(job.out):
        save_weights(job.out / BEST, state.best, coder.tables())
    return {"tables": {"excess": EXCESS, **{f"held_out_{k}": v for k, v in judge(network, coder, held_out).items()}}}


def model_card(job: Job, state: State, dataset: str, training_images: int, commit: str) -> dict[str, Any]:
    """What stands in the card of a finished run: data, recipe, command, machine and figures.

    Args:
        job: the run.
        state: after its last epoch; the best weights lie in its folder.
        dataset: spec of the images trained on.
        training_images: how many there were.
        commit: of the code that trained.
    """
    recipe = job.recipe
    best = job.out / BEST
    sha256 = file_sha256(best)
    network = build_network(job.codec, recipe.variant)
    load_weights(best, network, sha256)
    test = load_samples(open_dataset(recipe.test, job.data_dir), job.device, labels=recipe.labels, what=recipe.test)
    return {
        "codec": job.codec.name,
        "sha256": sha256,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "command": job.command,
        "recipe_name": job.recipe_name,
        "recipe": describe(recipe),
        "trained_on": dataset,
        "training_images": training_images,
        "best_epoch": state.best_epoch,
        "held_out_mse": state.best_mse,
        "test": recipe.test,
        "test_images": len(test),
        "test_mse": evaluate(network.to(job.device), test, recipe.crop),
        "training_seconds": round(sum(row["seconds"] for row in state.log), 1),
        "images_per_s": round(float(np.median([row["images_per_s"] for row in state.log])), 1),
        "date": time.strftime("%Y-%m-%d"),
        "git_commit": commit,
        "machine": provenance.machine(job.device),
        "versions": provenance.versions(),
    }


def write_card(job: Job, card: dict[str, Any]) -> None:
    """Writes the card beside the best weights.

    Raises:
        TrainingError: the folder cannot be written to.
    """
    with checkpoint.writing(job.out):
        temporary = job.out / f"{CARD}.tmp"
        temporary.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(job.out / CARD)


def install(job: Job) -> Path:
    """Copies the best weights, their model card and the log to the place beside the codec's file.

    Returns:
        The weight file's new path.

    Raises:
        TrainingError: that place cannot be written to.
    """
    target = weights_path(job.codec, job.recipe.variant)
    pairs = ((BEST, target), (CARD, card_path(target)), (LOG, target.with_suffix(".csv")))
    with checkpoint.writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        for source, place in ((job.out / name, place) for name, place in pairs):
            shutil.copyfile(source, place.with_name(place.name + ".tmp"))
            place.with_name(place.name + ".tmp").replace(place)
    return target
