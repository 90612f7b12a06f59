"""What a training run is asked to do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from codecbench.data import data_root
from codecbench.environment import resolve_device
from codecbench.errors import UnknownNameError, UsageError
from codecbench.learned.training.recipe import Recipe, change
from codecbench.plugins.registry import CODECS


@dataclass(frozen=True)
class Job:
    """One training run."""

    codec: Any  # the codec's class, with ``network`` or ``networks``
    recipe_name: str  # among the codec's ``recipes``
    recipe: Recipe
    data_dir: Path
    out: Path  # folder of checkpoint, log, best and last weights
    device: str = "cpu"  # ``cpu`` or ``cuda``
    command: str = ""  # the command line that reproduces the run, for the model card


def make_job(
    name: str,
    *,
    recipe: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    changes: Sequence[str] = (),
    device: str = "auto",
    out: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    command: str = "",
) -> Job:
    """Plans a training run of a learned codec; by default of its first recipe, in ``training/NAME-RECIPE``.

    ``epochs`` and ``seed`` replace the recipe's; ``changes`` are other fields, see ``recipe.change``; ``device`` may be
    ``auto``.
    """
    codec: Any = CODECS.get(name)
    recipes: dict[str, Recipe] = getattr(codec, "recipes", {})
    if not recipes:
        raise UsageError(f"{name} has nothing to train")
    chosen = recipe or next(iter(recipes))
    if chosen not in recipes:
        raise UnknownNameError(f"recipe of {name}", chosen, recipes)
    given = [f"{key}={value}" for key, value in (("epochs", epochs), ("seed", seed)) if value is not None]
    target = resolve_device(device, True)
    folder = Path(out) if out is not None else Path("training") / f"{name}-{chosen}"
    return Job(codec, chosen, change(recipes[chosen], [*changes, *given]), data_root(data_dir), folder, target, command)


def build_network(codec: Any, variant: str = "") -> torch.nn.Module:
    """A new network of a codec's class."""
    return codec.networks[variant]() if variant else codec.network()
