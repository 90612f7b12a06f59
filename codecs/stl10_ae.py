"""The convolutional autoencoder of the STL-10 experiment: 384 numbers for a 64×64 colour crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

import codecbench as cb
from codecbench import learned


class Stl10Autoencoder(learned.Autoencoder):
    """Four 4×4 convolutions of stride 2 down to 24×4×4, four transposed ones back; 84,291 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 12, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(12, 24, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(24, 48, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(48, 24, 4, stride=2, padding=1),
            nn.ReLU(),
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(24, 48, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(48, 24, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(24, 12, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(12, 3, 4, stride=2, padding=1),
            nn.Sigmoid(),
        )


FAST = learned.Recipe(
    dataset="stl10:split=train,crop=none",
    test="stl10",
    held_out=500,
    epochs=300,
    batch_size=64,
    optimizer="muon",
    learning_rate=0.02,
    vector_learning_rate_scale=0.1,
    augment=learned.RandomCropFlip(64, 64),
    crop=(64, 64),
    bfloat16=True,
    full_precision_epochs=10,
    channels_last=True,
)

SOURCE = learned.Recipe(
    dataset="stl10:split=unlabeled",
    otherwise="stl10:split=train",
    most_images=10_000,
    test="stl10",
    held_out=500,
    epochs=500,
    batch_size=64,
    learning_rate=1e-3,
    schedule="constant",
)
"""The source's own; it does not tell its batch size, its learning rate (Adam's default here) or where it crops."""


@cb.register_codec
@dataclass(frozen=True)
class Stl10Ae(learned.LatentCodec):
    """Convolutional autoencoder for 64×64 RGB crops: 384 numbers per image, as wide as ``latent`` says."""

    trained_on: ClassVar[tuple[str, ...]] = ("stl10",)
    network: ClassVar[type[learned.Autoencoder]] = Stl10Autoencoder
    image_shape: ClassVar[cb.Shape] = (64, 64, 3)
    latent_shape: ClassVar[tuple[int, ...]] = (24, 4, 4)
    recipes: ClassVar[dict[str, learned.Recipe]] = {"fast": FAST, "source": SOURCE}

    latent: str = cb.setting(
        "float32",
        choices=("float64", "float32", "float16", "int8"),
        sweep=("float64", "float32", "float16", "int8"),
        help="type of a latent number in the stream; float64 is the source's accounting, int8 is entropy-coded",
    )
    tiles: bool = cb.setting(
        False, help="cut images of any size into blocks of 64×64; height and width go into the stream"
    )
