"""The nearly lossless fully connected autoencoder of the MNIST experiment: 784 float32 numbers a digit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy.typing as npt
import torch
from torch import nn

from codecbench import register_codec
from codecbench.learned.autoencoder import Autoencoder, RawLatentCodec
from codecbench.learned.recipe import Recipe
from codecbench.records import Shape

PIXELS = 28 * 28


class LosslessAutoencoder(Autoencoder):
    """Four linear layers of 784, 2,464,896 parameters, as in the source experiment (A. Nazmiev, 2024).

    The source does not say how the weights start. Here every layer starts as the identity (as the recurrent layers of
    Le, Jaitly and Hinton 2015 do), and the last one as ``STEEPNESS · (x − ½)`` with a PReLU that is linear at first, so
    that the sigmoid behind it begins near the identity too and no pixel's information has to be found again.
    """

    STEEPNESS = 8.0

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Flatten(),
            nn.Linear(PIXELS, PIXELS),
            nn.PReLU(PIXELS),
            nn.Linear(PIXELS, PIXELS),
            nn.PReLU(PIXELS),
        )
        self.decoder = nn.Sequential(
            nn.Linear(PIXELS, PIXELS),
            nn.PReLU(PIXELS),
            nn.Linear(PIXELS, PIXELS),
            nn.PReLU(PIXELS),
            nn.Unflatten(1, (1, 28, 28)),
            nn.Sigmoid(),
        )
        linears = [module for module in self.modules() if isinstance(module, nn.Linear)]
        for linear in linears:
            nn.init.eye_(linear.weight)
            nn.init.zeros_(linear.bias)
        with torch.no_grad():
            linears[-1].weight.mul_(self.STEEPNESS)
            linears[-1].bias.fill_(-self.STEEPNESS / 2)
            last_activation = self.decoder[3]
            assert isinstance(last_activation, nn.PReLU)
            last_activation.weight.fill_(1.0)


FAST = Recipe(
    dataset="mnist:split=train",
    test="mnist",
    held_out=5_000,
    epochs=25,
    batch_size=250,
    learning_rate=1e-3,
)


@register_codec
@dataclass(frozen=True)
class LosslessAe(RawLatentCodec):
    """Nearly lossless autoencoder for 28×28 gray digits: 3,136 bytes an image, more than the raw pixels.

    It does not restore every pixel, so it does not claim ``lossless``.
    """

    trained_on: ClassVar[tuple[str, ...]] = ("mnist",)
    network: ClassVar[type[Autoencoder]] = LosslessAutoencoder
    image_shape: ClassVar[Shape] = (28, 28, 1)
    latent_shape: ClassVar[tuple[int, ...]] = (PIXELS,)
    recipes: ClassVar[dict[str, Recipe]] = {"fast": FAST}

    @property
    def latent_dtype(self) -> npt.DTypeLike:
        """float32, as in the source experiment."""
        return "<f4"
