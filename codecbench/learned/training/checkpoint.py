"""The folder of a training run: checkpoint, log, best and last weights.

``checkpoint.pt`` decides: it is written first and in one piece, and contains the best weights too. The other files are
made from it, again when a run is resumed, so a run killed between two of them ends with files that agree.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from codecbench.errors import TrainingError, UsageError
from codecbench.learned.weights import save_weights, writing
from codecbench.text import one_line

CHECKPOINT, LOG = "checkpoint.pt", "log.csv"
BEST, LAST = "best.safetensors", "last.safetensors"
KEPT = ("epoch", "best", "best_epoch", "best_score", "log")
"""Fields of a state that a checkpoint has as they are."""


@dataclass
class State:
    """Everything that an epoch changes."""

    network: torch.nn.Module  # after the last finished epoch
    optimizer: torch.optim.Optimizer
    judged_by: str = "mse"  # ``mse``, or ``score`` where the recipe has one
    epoch: int = 0  # number of finished epochs
    best: dict[str, torch.Tensor] | None = None  # parameters of the best epoch so far
    best_epoch: int = 0  # from 1
    best_score: float = float("inf")  # mean squared error on the held-out images, or the recipe's score
    log: list[dict[str, float]] = dataclasses.field(default_factory=list)  # one row an epoch, see :func:`log_columns`


def log_columns(judged_by: str) -> tuple[str, ...]:
    """The columns of a log, by what networks are judged by: ``mse`` or ``score``."""
    held_out, test = f"held_out_{judged_by}", f"test_{judged_by}"
    return "epoch", "learning_rate", "train_loss", held_out, test, "images_per_s", "seconds"


def save(folder: Path, state: State, identity: dict[str, Any]) -> None:
    """Writes the checkpoint, then the files made from it; a resumed run must have an equal ``identity`` (JSON)."""
    content = {
        "identity": identity,
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        **{name: getattr(state, name) for name in KEPT},
    }
    with writing(folder / CHECKPOINT) as file:
        torch.save(content, file)
    write_files(folder, state)


def write_files(folder: Path, state: State) -> None:
    """Writes the log, and the last and the best weights where there are some."""
    columns = log_columns(state.judged_by)
    rows = [",".join(f"{row[key]:.9g}" for key in columns) for row in state.log]
    with writing(folder / LOG) as file:
        file.write_text("\n".join([",".join(columns), *rows]) + "\n", encoding="utf-8")
    if state.epoch:
        save_weights(folder / LAST, state.network.state_dict())
    if state.best is not None:
        save_weights(folder / BEST, state.best)


def restore(folder: Path, state: State, identity: dict[str, Any]) -> None:
    """Loads a checkpoint into a new state.

    ``TrainingError`` where it cannot be read or its network has other layers; ``UsageError`` where it is another run's.
    """
    checkpoint = folder / CHECKPOINT
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        saved = dict(content["identity"])
        parts = {name: content[name] for name in KEPT}
        network, optimizer = content["network"], content["optimizer"]
    except Exception as error:  # damaged files fail in many ways
        raise TrainingError(
            f"the checkpoint {checkpoint} cannot be read ({one_line(error)}); name another --out"
        ) from error
    if differing := sorted(key for key in {*saved, *identity} if saved.get(key) != identity.get(key)):
        words = ", ".join(f"{key} {saved.get(key)!r} instead of {identity.get(key)!r}" for key in differing)
        raise UsageError(f"{folder} holds a run with {words}; name another --out")
    try:
        state.network.load_state_dict(network)
        state.optimizer.load_state_dict(optimizer)
    except (RuntimeError, ValueError, KeyError) as error:
        raise TrainingError(f"the checkpoint {checkpoint} belongs to a network with other layers") from error
    for name, value in parts.items():
        setattr(state, name, value)
