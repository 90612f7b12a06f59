"""The network of a codec trained for rate and distortion: linear transforms, nonlinear stages and an entropy model."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from codecbench.learned.layers.contexts import ContextModel

LATENT_SCALE = 8.0
"""How much latents are larger than coefficients of an orthonormal transform."""


class RateDistortionNetwork(nn.Module):
    """Analysis, entropy model and synthesis.

    Each transform is the sum of a linear one and of stages that are zero at first: training starts from a classical
    transform code.

    Attributes:
        analysis: stages from images (N, C, H, W), centred at 0, to latents.
        contexts: the entropy model.
        synthesis: stages from quantised latents to images.
        forth: the linear transform from images to latents.
        back: its inverse.
        channels: of the images.
        stride: pixels by which one place of the latents is as high and wide.
        unit: the sides of images are multiples of it.
    """

    channels: ClassVar[int]
    stride: ClassVar[int]
    unit: ClassVar[int]
    analysis: nn.ModuleList
    synthesis: nn.ModuleList
    contexts: ContextModel
    forth: nn.Module
    back: nn.Module

    def analyse(self, images: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
        """Latents of images in [0, 1]."""
        centred = images - 0.5
        x = centred
        for stage in self.analysis:
            x = stage(x, quality)
        return self.forth(centred) + x

    def synthesise(self, latents: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
        """Images, nominally in [0, 1], from latents."""
        x = latents
        for stage in self.synthesis:
            x = stage(x, quality)
        return self.finish(self.back(latents / LATENT_SCALE**2) + x)

    def finish(self, centred: torch.Tensor) -> torch.Tensor:
        """Images from the sum of both transforms."""
        return centred + 0.5

    def forward(self, images: torch.Tensor, quality: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Reconstructions (N, C, H, W) and bits (N,)."""
        latents, bits = self.contexts(self.analyse(images, quality), quality)
        return self.synthesise(latents, quality), bits
