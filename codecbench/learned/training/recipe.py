"""A training recipe: everything that decides a training run, as data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_type_hints

import torch

from codecbench.errors import UnknownNameError, UsageError
from codecbench.plugins.settings import Setting, Value

Augment = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
"""Changes a batch of float images (N, C, H, W) at random, on their device."""

Network = Callable[..., torch.Tensor]
"""What a loss sees: the network, compiled or not; it takes images, and their labels where the recipe says so."""

Loss = Callable[..., torch.Tensor]
"""The scalar to minimise for a network, a batch of images (N, C, H, W) in [0, 1], and what else the network takes."""

Score = Callable[..., torch.Tensor]
"""What a network is judged by, lower is better: (N,), for the network, images (N, C, H, W) in [0, 1] and their labels
where the recipe says so. Its attribute ``words`` names it with its unit, for people, such as ``bits per pixel``; a
function gets it by :func:`called`, a dataclass as a class variable."""

Start = Callable[[torch.nn.Module, torch.Tensor], None]
"""Fills a new network before the first step, given the training images, uint8 (N, C, H, W)."""


MOST_SEED = 2**32 - 1

Function = TypeVar("Function", bound=Callable[..., Any])


def called(words: str) -> Callable[[Function], Function]:
    """Names a score for people, with its unit: ``@called("bits per pixel")`` above the function."""

    def named(function: Function) -> Function:
        setattr(function, "words", words)  # noqa: B010  # functions have no such attribute of their own
        return function

    return named


def reconstruction_mse(network: Network, images: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    """Mean squared error between the images and what the network makes of them."""
    return torch.nn.functional.mse_loss(network(images, *others).float(), images)


@dataclass(frozen=True)
class Recipe:
    """What one training run does."""

    dataset: str  # spec of the training images, e.g. ``mnist:split=train``
    test: str  # spec of the test images, only reported on, never chosen by
    held_out: int  # training images kept aside, drawn by ``seed``, to choose the best epoch
    epochs: int  # how often the learning rate's schedule, the held-out images and the log move on
    batch_size: int  # images a step
    learning_rate: float  # its peak
    optimizer: Literal["adam", "muon"] = "adam"
    """``muon`` for matrices with AdamW for all else, see ``loop.build_optimizer``."""
    vector_learning_rate_scale: float = 1.0  # AdamW's learning rate beside Muon's, as a multiple of it
    passes: int = 1  # passes over the training images per epoch; an incomplete batch at the end of a pass is left out
    schedule: Literal["onecycle", "exponential", "constant"] = "onecycle"
    """``onecycle``: cosine up in a tenth, then down to nearly zero; ``exponential``: times ``gamma`` an epoch."""
    gamma: float = 1.0  # factor an epoch of the exponential schedule
    weight_decay: float = 0.0  # L2 coefficient of Adam; Muon takes none
    augment: Augment | None = None  # random change of every batch; a function or a dataclass, so that it has a name
    crop: tuple[int, int] | None = None  # height and width of the centre crop of held-out and test images
    loss: Loss = reconstruction_mse  # what is minimised; a function or a dataclass
    score: Score | None = None
    """What held-out and test images are judged by; None for the mean squared error of the restored images."""
    halved: tuple[str, ...] = ()
    """Parameters whose names begin with one of these are stored as bfloat16 at the end, for a smaller weight file. It
    decides nothing of the training, so a finished run can be resumed with another choice."""
    start: Start | None = None  # initialises the network before the first step; None for what its constructor does
    labels: bool = False  # the network and the loss take the images' labels too
    variant: str = ""
    """Which of a codec's networks is trained, a key of its ``networks``; empty where there is only one."""
    bfloat16: bool = False  # autocast, except in the last ``full_precision_epochs``
    full_precision_epochs: int = 0  # epochs at the end that run in float32
    channels_last: bool = False  # memory format of images and convolutions
    compile: bool = False  # run the training steps through ``torch.compile``, which needs a C++ compiler
    otherwise: str = ""  # spec of the images to train on where those of ``dataset`` are not on disk; empty for an error
    most_images: int | None = None  # train on at most so many images, drawn by ``seed``
    seed: int = 0  # of initialisation, hold-out, shuffling and augmentation

    @property
    def judged_by(self) -> str:
        """What the columns of the log are named after: ``mse``, or ``score`` for any other."""
        return "mse" if self.score is None else "score"

    @property
    def words(self) -> str:
        """What networks are judged by, for people, with its unit: ``MSE``, or the score's ``words``."""
        return "MSE" if self.score is None else str(getattr(self.score, "words", "score"))

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """The learning rate of one optimiser step, counted from 0 over the whole run."""
        if self.schedule == "exponential":
            return self.learning_rate * self.gamma ** (step // steps_per_epoch)
        if self.schedule == "constant":
            return self.learning_rate
        total = self.epochs * steps_per_epoch
        warm = max(1, total // 10)
        if step < warm:
            return self.learning_rate * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * step / warm)))
        done = (step - warm) / max(1, total - warm)
        return self.learning_rate * (1e-3 + (1 - 1e-3) * 0.5 * (1 + math.cos(math.pi * done)))


CHANGEABLE: dict[str, type] = {
    name: kind for name, kind in get_type_hints(Recipe).items() if kind in (bool, float, int) and name != "labels"
}
"""Fields that :func:`change` takes from a text, with their types."""


def change(recipe: Recipe, texts: Sequence[str]) -> Recipe:
    """A recipe with some fields of ``CHANGEABLE`` changed by texts ``FIELD=VALUE``, for trials."""
    changes: dict[str, Value] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"{text!r} is not allowed; allowed: FIELD=VALUE, such as batch_size=100")
        if name not in CHANGEABLE:
            raise UnknownNameError("field of a recipe that can be changed", name, CHANGEABLE)
        kind = CHANGEABLE[name]
        low = 0 if name in ("full_precision_epochs", "weight_decay") else 1 if kind is int else 1e-12
        low, high = (0, MOST_SEED) if name == "seed" else (low, None)
        setting = Setting(name, kind, getattr(recipe, name), None if kind is bool else low, high)
        changes[name] = setting.parse(value, "the recipe")
    return dataclasses.replace(recipe, **changes)  # type: ignore[arg-type]


AFTERWARDS = ("halved",)
"""Fields that decide what becomes of the weights, and nothing of the training; they may differ when it is resumed."""


def describe(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain JSON values; functions by their names, other objects by their ``repr``."""
    return {field.name: _plain(getattr(recipe, field.name)) for field in dataclasses.fields(recipe)}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return getattr(value, "__name__", repr(value))
