"""The nearly lossless fully connected autoencoder of the MNIST experiment: 784 float32 numbers a digit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

import codecbench as cb
from codecbench import learned

from ._mnist_source import SOURCE
from ._pixelwise import PixelwiseStart

PIXELS = 28 * 28


class LosslessAutoencoder(learned.Autoencoder):
    """Four linear layers of 784, 2,464,896 parameters, as in the source experiment (A. Nazmiev, 2024)."""

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


FAST = learned.Recipe(
    dataset="mnist:split=train",
    test="mnist",
    held_out=5_000,
    epochs=25,
    batch_size=250,
    learning_rate=2e-5,
    start=PixelwiseStart(starts=256, steps=10_000),
)


@cb.register_codec
@dataclass(frozen=True)
class LosslessAe(learned.LatentCodec):
    """Nearly lossless autoencoder for 28×28 gray digits: 3,136 bytes per image, more than the raw pixels.

    It does not restore every pixel, so it does not claim ``lossless``.
    """

    trained_on: ClassVar[tuple[str, ...]] = ("mnist",)
    network: ClassVar[type[learned.Autoencoder]] = LosslessAutoencoder
    image_shape: ClassVar[cb.Shape] = (28, 28, 1)
    latent_shape: ClassVar[tuple[int, ...]] = (PIXELS,)
    recipes: ClassVar[dict[str, learned.Recipe]] = {"fast": FAST, "source": SOURCE}
