"""A lossy codec trained for rate and distortion together: one network for a whole curve, exact entropy coding."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

import codecbench as cb
from codecbench import learned

COLOUR = learned.Layout(slices=(16, 16, 32, 64), hyper=32, hidden=128, spread=(2.8, 0.3))
DIGITS = learned.Layout(slices=(8, 8, 8, 8, 8, 8, 8, 8), checkerboard=False, hidden=64, kernel=1, spread=(8.0, 0.8))
SIDE = 28


class Residual(nn.Module):
    """Two 3×3 convolutions beside the identity.

    K. He et al., Identity Mappings in Deep Residual Networks (ECCV 2016).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to the same."""
        return x + self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.1)), 0.1))


class Stage(nn.Module):
    """A layer, a factor for each channel that the quality sets, and residual blocks."""

    def __init__(self, layer: nn.Module, channels: int, blocks: int):
        super().__init__()
        self.layer = layer
        self.factor = learned.Levels(channels)
        self.blocks = nn.Sequential(*(Residual(channels) for _ in range(blocks)))

    def forward(self, x: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
        """(N, …) and qualities (N,) to (N, channels, H, W)."""
        x = self.layer(x)
        x = x * (1 + self.factor(quality)[:, :, None, None]).to(x.dtype)
        return self.blocks(x)


def _shuffled(inputs: int, outputs: int) -> nn.Sequential:
    """Twice as high and wide (W. Shi et al., sub-pixel convolution, CVPR 2016)."""
    return nn.Sequential(nn.Conv2d(inputs, 4 * outputs, 3, padding=1), nn.PixelShuffle(2))


def _silence(stage: nn.Module) -> None:
    """Sets the last convolution or linear layer of a stage to zero."""
    last = [layer for layer in stage.modules() if isinstance(layer, nn.Conv2d | nn.Linear)][-1]
    for parameter in last.parameters():
        nn.init.zeros_(parameter)


BLOCK = 8
"""Side of the blocks of the linear transform."""


def cosine_basis(channels: int) -> torch.Tensor:
    """The first vectors of an orthonormal transform of 8×8 blocks in colour: (channels, 3, 8, 8).

    A cosine transform (DCT-II) of luma and two differences of colours, in the order of the frequency, that of the
    differences counted 2.2-fold, since there is less in them.
    """
    side = torch.arange(BLOCK, dtype=torch.float64)
    cosines = torch.cos((2 * side[None] + 1) * side[:, None] * math.pi / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    cosines[0] /= math.sqrt(2)
    colours = torch.tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]], dtype=torch.float64)
    colours /= colours.square().sum(1, keepdim=True).sqrt()
    frequency = (side[:, None].square() + side[None].square()).sqrt()
    order = torch.stack([frequency + 0.5, 2.2 * frequency + 1, 2.2 * frequency + 1]).flatten().argsort(stable=True)
    basis = torch.einsum("ck,ui,vj->cuvkij", colours, cosines, cosines).reshape(-1, 3, BLOCK, BLOCK)
    return basis[order[:channels]].float()


class ColourNetwork(learned.RateDistortionNetwork):
    """For colour images of any size that is a multiple of 32: latents an eighth as high and wide."""

    channels: ClassVar[int] = 3
    stride: ClassVar[int] = 8
    unit: ClassVar[int] = 32

    def __init__(self, layout: learned.Layout = COLOUR, narrow: int = 128, wide: int = 160, thin: int = 48) -> None:
        super().__init__()
        self.contexts = learned.ContextModel(layout)
        self.forth = nn.Conv2d(3, layout.channels, BLOCK, stride=BLOCK, bias=False)
        self.back = nn.ConvTranspose2d(layout.channels, 3, BLOCK, stride=BLOCK, bias=False)
        basis = cosine_basis(layout.channels)
        self.forth.weight.data.copy_(learned.LATENT_SCALE * basis)
        self.back.weight.data.copy_(learned.LATENT_SCALE * basis)
        self.analysis = nn.ModuleList(
            [
                Stage(nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 64, 3, padding=1), nn.LeakyReLU(0.1)), 64, 0),
                Stage(nn.Conv2d(64, narrow, 3, stride=2, padding=1), narrow, 2),
                Stage(nn.Conv2d(narrow, wide, 3, stride=2, padding=1), wide, 2),
                Stage(nn.Conv2d(wide, layout.channels, 3, padding=1), layout.channels, 0),
            ]
        )
        self.synthesis = nn.ModuleList(
            [
                Stage(nn.Conv2d(layout.channels, wide, 3, padding=1), wide, 2),
                Stage(_shuffled(wide, narrow), narrow, 2),
                Stage(_shuffled(narrow, thin), thin, 1),
                Stage(_shuffled(thin, 3), 3, 0),
            ]
        )
        _silence(self.analysis[-1])
        _silence(self.synthesis[-1])


class Dense(nn.Module):
    """A linear layer from everything to a shape, behind a leaky ReLU where asked for."""

    def __init__(self, inputs: int, shape: tuple[int, int, int], bent: bool = False):
        super().__init__()
        self.linear = nn.Linear(inputs, math.prod(shape), bias=True)
        self.shape, self.bent = shape, bent

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, …) to (N, *shape)."""
        x = F.leaky_relu(x, 0.1) if self.bent else x
        return self.linear(x.flatten(1)).unflatten(1, self.shape)


class DenseResidual(nn.Module):
    """Two linear layers beside the identity, for (N, C, 1, 1)."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Linear(channels, channels)
        self.second = nn.Linear(channels, channels)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, 1, 1) to the same."""
        inner: torch.Tensor = self.second(F.leaky_relu(self.first(F.leaky_relu(x.flatten(1), 0.1)), 0.1))
        return x + inner[:, :, None, None]


class DigitsNetwork(learned.RateDistortionNetwork):
    """For gray images of 28×28 pixels: one vector of latents."""

    channels: ClassVar[int] = 1
    stride: ClassVar[int] = SIDE
    unit: ClassVar[int] = SIDE
    forth: Dense
    back: Dense

    def __init__(self, layout: learned.Layout = DIGITS, thin: int = 32, narrow: int = 64, wide: int = 384) -> None:
        super().__init__()
        pixels, channels, side = SIDE * SIDE, layout.channels, SIDE // 4
        self.contexts = learned.ContextModel(layout)
        self.forth = Dense(pixels, (channels, 1, 1))
        self.back = Dense(channels, (1, SIDE, SIDE))
        self.analysis = nn.ModuleList(
            [
                Stage(nn.Conv2d(1, thin, 3, stride=2, padding=1), thin, 1),
                Stage(nn.Conv2d(thin, narrow, 3, stride=2, padding=1), narrow, 1),
                Stage(Dense(narrow * side * side, (wide, 1, 1), bent=True), wide, 0),
                Stage(DenseResidual(wide), wide, 0),
                Stage(Dense(wide, (channels, 1, 1), bent=True), channels, 0),
            ]
        )
        self.synthesis = nn.ModuleList(
            [
                Stage(Dense(channels, (wide, 1, 1)), wide, 0),
                Stage(DenseResidual(wide), wide, 0),
                Stage(Dense(wide, (narrow, side, side), bent=True), narrow, 1),
                Stage(_shuffled(narrow, thin), thin, 1),
                Stage(_shuffled(thin, 1), 1, 0),
            ]
        )
        _silence(self.analysis[-1])
        _silence(self.synthesis[-1])

    def finish(self, centred: torch.Tensor) -> torch.Tensor:
        """Images from what the two transforms give together, bent into [0, 1], since most pixels are black or white."""
        return torch.sigmoid(4 * centred)


def principal_components(network: nn.Module, images: torch.Tensor) -> None:
    """Starts the linear transforms of a :class:`DigitsNetwork` as the principal components of the training images."""
    assert isinstance(network, DigitsNetwork)
    pixels = images.flatten(1).float().cpu() / 255 - 0.5
    mean = pixels.mean(0)
    covariance = torch.cov(pixels[::4].T)
    size = network.contexts.layout.channels
    basis = torch.linalg.eigh(covariance).eigenvectors.flip(1).T[:size].contiguous()
    forth, back = network.forth.linear, network.back.linear
    forth.weight.data.copy_(learned.LATENT_SCALE * basis)
    forth.bias.data.copy_(-learned.LATENT_SCALE * basis @ mean)
    back.weight.data.copy_(learned.LATENT_SCALE * basis.T)
    back.bias.data.copy_(mean.clamp(-0.45, 0.45))


@dataclass(frozen=True)
class RateDistortion:
    """Bits per pixel plus λ times the squared error, λ going geometrically from quality 1 to the highest.

    ``low`` is λ at quality 1, bits per pixel for a unit of squared error on the 0–255 scale; ``high`` is λ at quality
    ``LEVELS``.
    """

    low: float
    high: float

    def __call__(self, network: learned.Network, images: torch.Tensor) -> torch.Tensor:
        """The loss at qualities drawn at random, one an image."""
        quality = 1 + (learned.LEVELS - 1) * torch.rand(len(images)).to(images.device)
        return self.of(network, images, quality).mean()

    def of(self, network: learned.Network, images: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
        """The loss of each image (N,)."""
        result: tuple[torch.Tensor, torch.Tensor] = network(images, quality)  # type: ignore[assignment]
        restored, bits = result
        error = (restored.float() - images).square().flatten(1).mean(1) * 255**2
        weight = torch.exp(math.log(self.low) + (quality - 1) / (learned.LEVELS - 1) * math.log(self.high / self.low))
        return bits / images[0, 0].numel() + weight * error


@dataclass(frozen=True)
class AcrossQualities:
    """The loss of rounded latents, at eight qualities in turn, one an image."""

    words: ClassVar[str] = "bits per pixel + λ·squared error"
    loss: RateDistortion

    def __call__(self, network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        """The loss of each image (N,)."""
        quality = 1.0 + torch.arange(len(images), device=images.device) % learned.LEVELS
        return self.loss.of(network, images, quality)


COLOUR_LOSS = RateDistortion(0.0006, 0.12)

COLOUR_RECIPE = learned.Recipe(
    dataset="stl10:split=train,crop=none",
    test="stl10",
    held_out=400,
    epochs=4,
    passes=5,
    batch_size=32,
    optimizer="muon",
    learning_rate=0.006,
    vector_learning_rate_scale=0.25,
    augment=learned.Chain((learned.RandomCropFlip(64, 64), learned.RandomColour())),
    crop=(64, 64),
    loss=COLOUR_LOSS,
    score=AcrossQualities(COLOUR_LOSS),
    variant="colour",
    halved=("analysis.", "synthesis.", "contexts.hyper.analysis."),
    bfloat16=True,
    channels_last=True,
)

DIGITS_LOSS = RateDistortion(3e-5, 4e-3)

DIGITS_RECIPE = learned.Recipe(
    dataset="mnist:split=train",
    test="mnist",
    held_out=2_000,
    epochs=16,
    batch_size=256,
    optimizer="muon",
    learning_rate=0.008,
    vector_learning_rate_scale=0.2,
    augment=learned.RandomAffine(degrees=8, translate=0.04, scale=(0.92, 1.08), shear=6, share=0.3),
    loss=DIGITS_LOSS,
    score=AcrossQualities(DIGITS_LOSS),
    start=principal_components,
    variant="digits",
    halved=("analysis.", "synthesis."),
    bfloat16=True,
    channels_last=True,
)

NETWORKS = {"colour": ColourNetwork, "digits": DigitsNetwork}
RECIPES = {"colour": COLOUR_RECIPE, "digits": DIGITS_RECIPE}

FIXED: dict[str, cb.Shape] = {"64x64x3": (64, 64, 3), "28x28x1": (SIDE, SIDE, 1)}


@cb.register_codec
@dataclass(frozen=True)
class RdAe(learned.RateDistortionCodec):
    """A learned codec trained for rate and distortion together; one network for digits, one for colour."""

    trained_on: ClassVar[tuple[str, ...]] = ("mnist", "stl10")
    fixed: ClassVar[Mapping[str, cb.Shape]] = FIXED
    networks: ClassVar[Mapping[str, Callable[[], learned.RateDistortionNetwork]]] = NETWORKS
    recipes: ClassVar[dict[str, learned.Recipe]] = RECIPES

    quality: float = cb.setting(
        4.0,
        low=1.0,
        high=float(learned.LEVELS),
        sweep=tuple(map(float, range(1, learned.LEVELS + 1))),
        help="rounded to 1/64",
    )
    shape: str = cb.setting(
        learned.ANY_SHAPE,
        choices=(learned.ANY_SHAPE, *FIXED),
        help="a fixed one needs no header, and 28x28x1 has a network of its own",
    )
    checksum: bool = cb.setting(False, help="two bytes by which a decoder knows that its latents are the encoder's")

    @property
    def variant(self) -> str:  # type: ignore[override]
        """Which of the networks."""
        return "digits" if self.shape == "28x28x1" else "colour"

    @classmethod
    def loss_weight(cls, network: learned.RateDistortionNetwork, quality: float) -> float:
        """λ of the network's loss at a quality."""
        variant = "digits" if isinstance(network, DigitsNetwork) else "colour"
        (loss,) = {recipe.loss for recipe in cls.recipes.values() if recipe.variant == variant}
        assert isinstance(loss, RateDistortion)
        return loss.low * (loss.high / loss.low) ** ((quality - 1) / (learned.LEVELS - 1))
