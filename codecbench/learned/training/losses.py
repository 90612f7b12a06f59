"""Perceptual training: a patch discriminator, a classifier whose features compare images, and their losses.

A network trained for the squared error alone restores the mean of all images that a stream could mean, which is
smoother than any of them. Two more terms ask for one that could be an original: a discriminator that distinguishes
originals from restored images patch by patch (I. Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014; P. Isola
et al., Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017), and a distance between the
features of a classifier (J. Johnson et al., Perceptual Losses for Real-Time Style Transfer and Super-Resolution, ECCV
2016; R. Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018). F. Mentzer et
al., High-Fidelity Generative Image Compression (NeurIPS 2020), combine them in a codec.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class PatchDiscriminator(nn.Module):
    """How much each patch of an image looks like one of an original, given the latents that it was restored from.

    The latents have ``latent_channels``, which are reduced to ``narrow``; ``width`` is the number of channels inside.
    """

    def __init__(self, channels: int, latent_channels: int, width: int = 64, narrow: int = 8):
        super().__init__()
        self.told = nn.Conv2d(latent_channels, narrow, 1)
        self.layers = nn.Sequential(
            nn.Conv2d(channels + narrow, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 3, padding=1),
        )

    def forward(self, images: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """Log odds, (N, 1, H/4, W/4), of images (N, C, H, W) in [0, 1] and latents (N, latent_channels, h, w)."""
        beside = F.interpolate(self.told(latents / 8), size=images.shape[2:], mode="nearest")
        return self.layers(torch.cat([2 * images - 1, beside.to(images.dtype)], 1))


def adversarial_losses(
    discriminator: nn.Module, images: torch.Tensor, restored: torch.Tensor, latents: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses of generator and discriminator, scalars, to be added and lowered by one optimiser.

    The non-saturating loss of Goodfellow et al. 2014, for images and restored ones, (N, C, H, W), and the latents that
    they were restored from. The first has gradients only for what restored the images, the second only for the
    discriminator, which takes images and latents to log odds.
    """
    fixed = {name: value.detach() for name, value in discriminator.named_parameters()}
    doubted = torch.func.functional_call(discriminator, fixed, (restored, latents))
    shown = torch.cat([images, restored.detach()])
    odds = discriminator(shown, torch.cat([latents, latents])).float()
    real, made = odds.chunk(2)
    return F.softplus(-doubted.float()).mean(), 0.5 * (F.softplus(-real).mean() + F.softplus(made).mean())


def _normed(inputs: int, outputs: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    """A 3×3 convolution and batch normalisation."""
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs)


class _Block(nn.Module):
    """Two 3×3 convolutions with batch normalisation beside the identity (K. He et al., CVPR 2016)."""

    def __init__(self, channels: int):
        super().__init__()
        self.inner = nn.Sequential(*_normed(channels, channels), nn.ReLU(), *_normed(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.inner(x))


class FeatureNetwork(nn.Module):
    """A small residual classifier of colour images, whose inner maps compare images.

    ``widths`` are the channels of its stages, each half as high and wide as the one before.
    """

    def __init__(self, classes: int, widths: tuple[int, ...] = (32, 64, 128, 192)):
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(*_normed(before, width, 2), nn.ReLU(), _Block(width))
            for before, width in zip((3, *widths), widths, strict=False)
        )
        self.head = nn.Linear(widths[-1], classes)

    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The outputs of the stages, (N, width, H/2, W/2) and so on, for images (N, 3, H, W) in [0, 1]."""
        found, x = [], 4 * images - 2
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """One vector an image, (N, width of the last stage): the means of its last map."""
        return self.maps(images)[-1].mean((2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Log odds of the classes, (N, classes)."""
        return self.head(self.features(images))


def feature_distance(network: FeatureNetwork, images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """How far the feature maps of images (N, 3, H, W) in [0, 1] are apart: (N,), 0 to 4.

    At every place of every map the channels are normalised to length 1, as Zhang et al. 2018 do; the mean of their
    squared distances is taken over places and stages, all stages alike. The network is in evaluation mode; the maps of
    the first images get no gradients.
    """
    with torch.no_grad():
        wanted = [F.normalize(found.float(), dim=1, eps=1e-3) for found in network.maps(images)]
    given = [F.normalize(found.float(), dim=1, eps=1e-3) for found in network.maps(others)]
    apart = [(one - other).square().sum(1).mean((1, 2)) for one, other in zip(wanted, given, strict=True)]
    return torch.stack(apart).mean(0)
