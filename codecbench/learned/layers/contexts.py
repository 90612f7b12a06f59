"""The entropy model of a lossy codec: mean and scale of each latent, from what was decoded before.

Latents y (N, C, h, w) are coded in groups: slices of the channels, one after the other, and of each slice first the
places of even parity, then the others (a checkerboard, D. He et al., Checkerboard Context Model for Efficient Learned
Image Compression, CVPR 2021; slices of growing size, D. He et al., ELIC, CVPR 2022). A small network predicts mean and
scale of a group from all groups before it, from the quality, and from a hyper-latent z (J. Ballé, D. Minnen et al.,
Variational image compression with a scale hyperprior, ICLR 2018; D. Minnen, J. Ballé, G. Toderici, Joint Autoregressive
and Hierarchical Priors, NeurIPS 2018). A latent is quantised as its distance from its mean, in steps that the quality
sets channel by channel.
"""

from __future__ import annotations

import decimal
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from codecbench.learned.layers.exact import ACTIVATION_BITS, LARGEST, ExactConv2d, decimals, on_grid
from codecbench.learned.layers.levels import Levels, exact_exp

SCALES = 64
SMALLEST_SCALE, LARGEST_SCALE = 0.06, 64.0
"""Scales of the logistic distributions of symbols, in quantisation steps; ``SCALES`` of them, evenly by logarithm."""

Layer = Callable[[torch.Tensor], torch.Tensor]

Coding = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]
"""Codes the symbols of one group of some images. Given is which of the ``SCALES`` each symbol has, int64 (N, S), and
when encoding what is to be rounded to symbols, float64 (N, S), else None; the answer is the symbols, int64 (N, S)."""


@dataclass(frozen=True)
class Layout:
    """The sizes of an entropy model."""

    slices: tuple[int, ...]  # channels of each slice of the latent
    checkerboard: bool = True  # two passes over the places of a slice
    hyper: int = 0  # channels of the hyper-latent, a quarter as high and wide as the latent; 0 for none
    hidden: int = 128  # channels inside the networks
    kernel: int = 3  # side of the window of decoded latents that a network sees
    spread: tuple[float, float] = (2.0, 0.1)  # initial step at quality 1 and at the highest

    @property
    def channels(self) -> int:
        """Channels of the latent."""
        return sum(self.slices)

    @property
    def groups(self) -> list[tuple[int, int, int]]:
        """First channel, end and parity (0, 1, or -1 for all places) of each group, in the order of the stream."""
        found, start = [], 0
        for size in self.slices:
            found += [(start, start + size, parity) for parity in ((0, 1) if self.checkerboard else (-1,))]
            start += size
        return found


class GroupNetwork(nn.Module):
    """Mean and logarithm of the scale of one group, from features and decoded latents."""

    def __init__(self, inputs: int, outputs: int, layout: Layout):
        super().__init__()
        self.first = ExactConv2d(inputs, layout.hidden, layout.kernel) if inputs else None
        self.quality = Levels(layout.hidden)
        self.second = ExactConv2d(layout.hidden, layout.hidden, 1)
        self.third = ExactConv2d(layout.hidden, 2 * outputs, 1)

    def forward(self, known: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
        """(N, inputs, h, w) and qualities (N,) to (N, 2·outputs, h, w)."""
        bias = self.quality(quality)[:, :, None, None]
        hidden = bias.expand(-1, -1, *known.shape[2:]) if self.first is None else self.first(known) + bias
        return self.third(F.relu(self.second(F.relu(hidden))))

    def exact(self, known: torch.Tensor, quality: float, places: torch.Tensor) -> torch.Tensor:
        """The same on the grid, at one quality and some places (P,) of an image: float64, (N, 2·outputs, P)."""
        bias = self.quality.exact(quality)[:, None]
        if self.first is None:
            hidden = bias.expand(len(known), -1, len(places))
        else:
            hidden = self.first.exact(known).flatten(2)[:, :, places] + bias
        hidden = hidden.clamp(0, LARGEST)[..., None]  # a sum of two activations may be larger than one
        return self.third.exact(F.relu(self.second.exact(hidden)))[..., 0]


class HyperNetwork(nn.Module):
    """A hyper-latent a quarter as high and wide as the latent, and the features made of it."""

    def __init__(self, layout: Layout):
        super().__init__()
        size, hidden = layout.hyper, layout.hidden
        self.analysis = nn.Sequential(
            nn.Conv2d(layout.channels, hidden, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(hidden, hidden, 3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(hidden, size, 3, stride=2, padding=1),
        )
        self.step = Levels(size)
        self.mean, self.scale = Levels(size), Levels(size)
        self.first = ExactConv2d(size, 2 * hidden, 3)
        self.second = ExactConv2d(hidden // 2, 2 * hidden, 3)

    def forward(self, y: torch.Tensor, quality: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (N, hidden/2, h, w) of latents (N, C, h, w) at qualities (N,), and the hyper-latents' bits (N,)."""
        shown = self.analysis(y).float() * self.step(quality).exp()[:, :, None, None]
        mean, scale = (levels(quality)[:, :, None, None] for levels in (self.mean, self.scale))
        z, cost = _quantise(shown, mean, scale, torch.ones_like(mean), self.training)
        return self._features(z, self.first, self.second), cost.flatten(1).sum(1)

    def code(
        self, coding: Coding, size: tuple[int, int, int], quality: float, latents: torch.Tensor | None
    ) -> torch.Tensor:
        """The features on the grid, the hyper-latents coded on the way, under one scale a channel; see ContextModel."""
        count, height, width = size
        mean, scale = (levels.exact(quality)[:, None] for levels in (self.mean, self.scale))
        shape = (count, len(mean), height // 4 * (width // 4))
        distance = None
        if latents is not None:
            at = torch.full((count,), quality, device=latents.device)
            shown = self.analysis(latents).float() * self.step(at).exp()[:, :, None, None]
            distance = (shown.double().flatten(2) - mean).flatten(1)
        symbols = coding(scale_index(scale).expand(shape).flatten(1), distance).view(shape)
        z = on_grid(symbols + mean).view(*shape[:2], height // 4, width // 4)
        return self._features(z, self.first.exact, self.second.exact)

    @staticmethod
    def _features(z: torch.Tensor, first: Layer, second: Layer) -> torch.Tensor:
        """Hyper-latents (N, Z, h/4, w/4) to features (N, hidden/2, h, w)."""
        return F.relu(F.pixel_shuffle(second(F.relu(F.pixel_shuffle(first(z), 2))), 2))


class ContextModel(nn.Module):
    """Codes latents group by group."""

    def __init__(self, layout: Layout):
        super().__init__()
        self.layout = layout
        self.step = Levels(layout.channels, math.log(layout.spread[0]), math.log(layout.spread[1]))
        self.hyper = HyperNetwork(layout) if layout.hyper else None
        features = layout.hidden // 2 if layout.hyper else 0
        self.networks = nn.ModuleList(
            GroupNetwork(features + (end if parity == 1 else start), end - start, layout)
            for start, end, parity in layout.groups
        )

    def forward(self, y: torch.Tensor, quality: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Quantises latents (N, C, h, w) at qualities (N,), with gradients; returns them and their bits (N,).

        The rate is that of latents with uniform noise; what is passed on is rounded, with the gradient of the identity
        (D. Minnen, S. Singh, Channel-wise Autoregressive Entropy Models, ICIP 2020). In ``eval`` both are rounded. The
        bits include those of the hyper-latents.
        """
        y = y.float()
        step = self.step(quality).exp()[:, :, None, None]
        bits = torch.zeros(len(y), device=y.device)
        features = []
        if self.hyper is not None:
            found, cost = self.hyper(y, quality)
            bits, features = bits + cost, [found]
        known = torch.zeros_like(y)
        parities = _parities(*y.shape[2:]).to(y.device)
        for (start, end, parity), network in zip(self.layout.groups, self.networks, strict=True):
            seen = [*features, known[:, : end if parity == 1 else start]]
            mean, scale = network(torch.cat(seen, 1), quality).float().chunk(2, 1)
            part, cost = _quantise(y[:, start:end], mean, scale, step[:, start:end], self.training)
            if parity >= 0:
                mask = (parities == parity).to(y.dtype)
                part, cost = part * mask, cost * mask
            known = torch.cat([known[:, :start], known[:, start:end] + part, known[:, end:]], 1)
            bits = bits + cost.flatten(1).sum(1)
        return known, bits

    @torch.inference_mode()
    def code(
        self, coding: Coding, size: tuple[int, int, int], quality: float, latents: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Goes through the groups of some images as encoder and decoder both do, on the grid of activations.

        ``coding`` encodes or decodes the symbols of a group, channel by channel, the places of each row by row.
        ``size`` is how many images, N, and height and width of a latent, with a hyper-latent multiples of 4.
        ``latents`` (N, C, h, w) are given when encoding. Returns the latents as a decoder gets them, float64 (N, C, h,
        w). They, and the scales that ``coding`` gets, are the same numbers on every machine; ``WeightsError`` where
        weights are too large for that.
        """
        count, height, width = size
        device = self.step.values.device
        known = torch.zeros(count, self.layout.channels, height, width, dtype=torch.float64, device=device)
        features = []
        if self.hyper is not None:
            features = [self.hyper.code(coding, size, quality, latents)]
        flat, wanted = known.flatten(2), None if latents is None else latents.double().flatten(2)
        scales = self.step.exact(quality)
        steps = exact_exp(scales)
        parities = _parities(height, width).flatten()
        for (start, end, parity), network in zip(self.layout.groups, self.networks, strict=True):
            places = torch.arange(height * width) if parity < 0 else (parities == parity).nonzero()[:, 0]
            places = places.to(device)
            seen = torch.cat([*features, known[:, : end if parity == 1 else start]], 1)
            assert isinstance(network, GroupNetwork)
            mean, scale = network.exact(seen, quality, places).chunk(2, 1)
            index = scale_index(scale - scales[start:end, None])
            step = steps[start:end, None]
            distance = None if wanted is None else ((wanted[:, start:end, places] - mean) / step).flatten(1)
            symbols = coding(index.flatten(1), distance).view(index.shape)
            flat[:, start:end, places] = on_grid(symbols * step + mean)
        return known


def _quantise(
    y: torch.Tensor, mean: torch.Tensor, scale: torch.Tensor, step: torch.Tensor, training: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rounded latents with a straight-through gradient, and bits of each."""
    distance = (y - mean) / step
    rounded = distance.detach().round()
    quantised = rounded * step + mean
    if training:  # with the gradient of the identity, and that of the step: a larger one errs more
        quantised = y + (rounded - distance).detach() * step
    noisy = (distance + torch.rand_like(distance) - 0.5 if training else rounded).abs()
    low, high = math.log(SMALLEST_SCALE), math.log(LARGEST_SCALE)
    scale = (_bounded(scale - step.log(), low, high)).exp()
    probability = torch.sigmoid((0.5 - noisy) / scale) - torch.sigmoid((-0.5 - noisy) / scale)
    return quantised, -torch.log2(_bounded(probability, 1e-6, 2.0))


def scale_index(logarithm: torch.Tensor) -> torch.Tensor:
    """The index of the nearest of the ``SCALES``, int64, by the natural logarithm of a scale in quantisation steps.

    The logarithms are float64, multiples of 2**-10; the result is the same on every machine.
    """
    factor, offset = _index_line()
    line = (logarithm * 2.0**ACTIVATION_BITS) * factor + offset  # integers below 2**53: exact
    return (line / 2.0**_LINE_BITS).floor().clamp(0, SCALES - 1).long()


_LINE_BITS = 20


@functools.cache
def _index_line() -> tuple[float, float]:
    """Integers a and b: index = floor((a · logarithm · 2**10 + b) / 2**20)."""
    with decimals(40):
        low, high = (decimal.Decimal(str(scale)).ln() for scale in (SMALLEST_SCALE, LARGEST_SCALE))
        per_unit = (SCALES - 1) / (high - low) * 2**_LINE_BITS
        factor, offset = per_unit / 2**ACTIVATION_BITS, decimal.Decimal(2) ** (_LINE_BITS - 1) - low * per_unit
        return float(round(factor)), float(round(offset))


def _parities(height: int, width: int) -> torch.Tensor:
    """The parity of each place, 0 or 1: (h, w)."""
    return (torch.arange(height)[:, None] + torch.arange(width)) % 2


class _Bounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, low, high):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(values)
        ctx.bounds = low, high
        return values.clamp(low, high)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (values,) = ctx.saved_tensors
        low, high = ctx.bounds
        passes = ((values >= low) | (gradient < 0)) & ((values <= high) | (gradient > 0))
        return gradient * passes, None, None


def _bounded(values: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Clamps; gradients that lead back into the bounds still pass."""
    return _Bounded.apply(values, low, high)
