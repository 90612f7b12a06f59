"""A network small enough to be trained in a test, and how tests train it and look at what a run leaves."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from codecbench.learned.autoencoder import Autoencoder
from codecbench.learned.training.job import Job
from codecbench.learned.training.loop import Progress, train
from codecbench.learned.training.recipe import Recipe, called


class Gray(Autoencoder):
    """A small autoencoder for 28×28 gray images."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 4, 7, stride=7), nn.PReLU(4))
        self.decoder = nn.Sequential(nn.ConvTranspose2d(4, 1, 7, stride=7), nn.Sigmoid())


WORDS = "absolute error of a pixel"


@called(WORDS)
def absolute_error(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return (network(images) - images).abs().flatten(1).mean(1)


DIGITS = Recipe("mnist:split=train", "mnist", held_out=20, epochs=4, batch_size=16, learning_rate=2e-2)  # 5 steps
SCORED = dataclasses.replace(DIGITS, score=absolute_error)


def job_of(
    root: Path,
    out: Path,
    recipe: Recipe = DIGITS,
    network: type[nn.Module] = Gray,
    hooks: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Job:
    """A job of a codec with this network and these class methods, ``changes`` being fields of the recipe."""
    codec = SimpleNamespace(name=network.__name__.lower(), network=network, **hooks or {})
    return Job(codec, "fast", dataclasses.replace(recipe, **changes), root, out, "cpu", "codecbench train gray")


def interrupt(job: Job, epoch: int, calls: int = 1, **how: Any) -> None:
    """Trains until the given report of an epoch, in the midst of it."""
    seen = 0

    def watch(progress: Progress) -> None:
        nonlocal seen
        seen += progress.epoch == epoch
        if seen == calls:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(job, watch=watch, **how)


def numbers_of(images: torch.Tensor) -> list[int]:
    """The numbers of marked digits, given as levels or on the scale from 0 to 1."""
    corner = images[:, 0, 0, 0]
    return (corner if images.dtype == torch.uint8 else (corner * 255).round().int()).tolist()


def log_of(out: Path, without: tuple[str, ...] = ("images_per_s", "seconds")) -> list[dict[str, str]]:
    with (out / "log.csv").open(encoding="utf-8", newline="") as file:
        return [{key: value for key, value in row.items() if key not in without} for row in csv.DictReader(file)]


def result_of(out: Path) -> dict[str, Any]:
    """Everything that a run leaves behind, but for times and the machine."""
    card = json.loads((out / "best.json").read_text(encoding="utf-8"))
    content = torch.load(out / "checkpoint.pt", weights_only=True)
    states = content["optimizer"]["state"]
    moments = {f"{number}.{key}": value.numpy().tobytes() for number in states for key, value in states[number].items()}
    decided = ("sha256", "best_epoch", "recipe", "judged_by")
    return {
        "best": (out / "best.safetensors").read_bytes(),
        "last": (out / "last.safetensors").read_bytes(),
        "log": log_of(out),
        "moments": moments,
        "card": {key: value for key, value in card.items() if key in decided or key.startswith(("held_out", "test"))},
    }


def loss_that_notes(seen: list[int]) -> Callable[..., torch.Tensor]:
    """The usual loss, which notes the numbers of the images that it is given."""

    def loss(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        seen.extend(numbers_of(images))
        return ((network(images) - images) ** 2).mean()

    return loss
