"""The lossy convolutional autoencoder of the MNIST experiment: 32 float32 numbers a digit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

import codecbench as cb
from codecbench import learned

from ._mnist_source import SOURCE


class LossyAutoencoder(learned.Autoencoder):
    """239,641 parameters; layers and parameter counts as in the source experiment (A. Nazmiev, 2024).

    The source does not give its pool sizes. Ours are 2, then 3 with a padding of 1, then 2, so that the sides run
    28, 26, 13, 11, 4, 2, 1 and every pixel is seen; the decoder's run 1, 3, 7, 13, 22, 26, 28. Weights start as
    Kaiming's for PReLU (He et al. 2015; fan-out for the transposed convolutions) and the last bias at −2, since most
    pixels are black.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 64, 3),
            nn.PReLU(64),
            nn.AvgPool2d(2),
            nn.Conv2d(64, 128, 3),
            nn.PReLU(128),
            nn.AvgPool2d(3, padding=1, count_include_pad=False),
            nn.Conv2d(128, 64, 3),
            nn.PReLU(64),
            nn.AvgPool2d(2),
            nn.Conv2d(64, 32, 1),
            nn.PReLU(32),
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(32, 32, 3),
            nn.PReLU(32),
            nn.ConvTranspose2d(32, 32, 5),
            nn.PReLU(32),
            nn.ConvTranspose2d(32, 16, 7),
            nn.PReLU(16),
            nn.ConvTranspose2d(16, 16, 10),
            nn.PReLU(16),
            nn.ConvTranspose2d(16, 8, 5),
            nn.PReLU(8),
            nn.ConvTranspose2d(8, 1, 3),
            nn.Sigmoid(),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(
                    module.weight,
                    a=0.25,
                    mode="fan_in" if isinstance(module, nn.Conv2d) else "fan_out",
                    nonlinearity="leaky_relu",
                )
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        last = self.decoder[-2]
        assert isinstance(last, nn.ConvTranspose2d)
        assert last.bias is not None
        nn.init.constant_(last.bias, -2.0)


FAST = learned.Recipe(
    dataset="mnist:split=train",
    test="mnist",
    held_out=5_000,
    epochs=90,
    batch_size=128,
    optimizer="muon",
    learning_rate=0.02,
    vector_learning_rate_scale=0.5,
    bfloat16=True,
    full_precision_epochs=2,
    channels_last=True,
    compile=True,
)


@cb.register_codec
@dataclass(frozen=True)
class LossyAe(learned.LatentCodec):
    """Convolutional autoencoder for 28×28 gray digits: 32 numbers per image, as float32 always 128 bytes."""

    trained_on: ClassVar[tuple[str, ...]] = ("mnist",)
    network: ClassVar[type[learned.Autoencoder]] = LossyAutoencoder
    image_shape: ClassVar[cb.Shape] = (28, 28, 1)
    latent_shape: ClassVar[tuple[int, ...]] = (32, 1, 1)
    recipes: ClassVar[dict[str, learned.Recipe]] = {"fast": FAST, "source": SOURCE}

    latent: str = cb.setting(
        "float32",
        choices=("float32", "int8"),
        sweep=("float32", "int8"),
        help="type of a latent number in the stream; int8 is entropy-coded",
    )
    tiles: bool = cb.setting(
        False, help="cut images of any size into blocks of 28×28; height and width go into the stream"
    )
