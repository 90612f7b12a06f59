"""An autoencoder for digits whose decoder is conditioned on the digit's label, and the same without: does it help?"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

import codecbench as cb
from codecbench import learned

from .lossy_ae import LossyAutoencoder

LABELS = 10


class ConditionalAutoencoder(LossyAutoencoder):
    """The network of ``lossy_ae`` with ``size`` numbers in a latent and ten channels for the label, one of them 1.

    The idea of the conditional autoencoder (K. Sohn, H. Lee, X. Yan, Learning Structured Output Representation using
    Deep Conditional Generative Models, NeurIPS 2015), without its sampling. Where it is not ``labelled`` the ten
    channels are 0, so that nothing but that differs.
    """

    encoder: nn.Sequential
    decoder: nn.Sequential

    def __init__(self, size: int, labelled: bool):
        super().__init__()
        self.labelled = labelled
        self.classes = LABELS if labelled else 1
        narrow, wide = nn.Conv2d(64, size, 1), nn.ConvTranspose2d(size + LABELS, 32, 3)
        nn.init.kaiming_normal_(narrow.weight, a=0.25, nonlinearity="leaky_relu")
        nn.init.kaiming_normal_(wide.weight, a=0.25, mode="fan_out", nonlinearity="leaky_relu")
        self.encoder[-2], self.encoder[-1], self.decoder[0] = narrow, nn.PReLU(size), wide

    def restore(self, latents: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Images (N, 1, 28, 28) from latents (N, size, 1, 1) and labels from 0 to 9, int64, (N,)."""
        label = nn.functional.one_hot(classes, LABELS)[:, :, None, None].to(latents.dtype)
        return self.decoder(torch.cat([latents, label if self.labelled else 0 * label], dim=1))

    def choose(self, images: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """The label that restores each image best, of all ten; int64, (N,)."""
        if not self.labelled:
            return super().choose(images, latents)
        errors = []
        for label in range(LABELS):
            restored = self.restore(latents, torch.full((len(images),), label, device=images.device))
            errors.append((restored - images).square().flatten(1).sum(1))
        return torch.stack(errors).argmin(0)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Reconstructs images (N, 1, 28, 28)."""
        return self.restore(self.encoder(images), labels)


def variant(size: int, labels: bool) -> str:
    """The name of one of the four networks, of its recipe and of its weights."""
    return f"{size}" if labels else f"{size}-blind"


NETWORKS = {
    variant(size, labels): functools.partial(ConditionalAutoencoder, size, labels)
    for size in (8, 32)
    for labels in (True, False)
}
RECIPES = {
    name: learned.Recipe(
        dataset="mnist:split=train",
        test="mnist",
        held_out=5_000,
        epochs=8,
        batch_size=128,
        optimizer="muon",
        learning_rate=0.02,
        vector_learning_rate_scale=0.5,
        labels=True,
        variant=name,
        bfloat16=True,
        full_precision_epochs=1,
        channels_last=True,
        compile=True,
    )
    for name in NETWORKS
}
"""One recipe for all four, shorter than that of ``lossy_ae``: they are to be compared with one another."""


@cb.register_codec
@dataclass(frozen=True)
class CondAe(learned.LatentCodec):
    """Autoencoder for 28×28 gray digits whose decoder is conditioned on the label, which is part of the stream.

    The codec sees images alone: the encoder tries all ten labels and writes the one that restores an image best. With
    ``labels=false`` the network was trained the same way without labels, and none is written.
    """

    trained_on: ClassVar[tuple[str, ...]] = ("mnist",)
    image_shape: ClassVar[cb.Shape] = (28, 28, 1)
    networks: ClassVar[Mapping[str, Callable[[], learned.Autoencoder]]] = NETWORKS
    recipes: ClassVar[dict[str, learned.Recipe]] = RECIPES

    size: int = cb.setting(32, choices=(8, 32), sweep=(8, 32), help="numbers in a latent")
    labels: bool = cb.setting(True, sweep=(True, False), help="the decoder gets the digit's label")
    latent: str = cb.setting(
        "float32",
        choices=("float32", "int8"),
        sweep=("float32", "int8"),
        help="type of a latent number in the stream; int8 is entropy-coded",
    )

    @property
    def variant(self) -> str:  # type: ignore[override]
        """Which of the networks."""
        return variant(self.size, self.labels)

    @property
    def latent_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """One number per channel."""
        return self.size, 1, 1
