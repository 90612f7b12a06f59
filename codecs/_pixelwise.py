"""A start for fully connected autoencoders with a sigmoid at the end: every pixel gets a small network of its own.

Such an autoencoder can only restore a pixel's value x by making logit(x), and has nothing but the kinks of its PReLUs
to bend a line into it. One unit in each of its layers makes a curve of few pieces, two units one of many more, and how
well that does depends on where the kinks are: most random starts are ten times worse than the best. So small networks
of one and of two units a layer are fitted to the one-dimensional task, from many random starts, weighted by how often
each of the 256 levels occurs. Then every pixel is given one of them. Pixels that hardly ever vary get none: they cost
next to nothing, and what they free goes to those for which a second unit saves most. Training goes on from there, with
all layers fully connected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

import codecbench as cb

Layers = list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
"""Weight (in, out), bias (out,) and PReLU slope (out,) of each layer of a small network."""


@dataclass(frozen=True)
class PixelwiseStart:
    """Fills four linear layers, each followed by a PReLU, pixel by pixel; see the module.

    ``starts`` random starts, drawn by ``seed``, of each small network are fitted side by side, by ``steps`` of Adam.
    """

    starts: int = 192
    steps: int = 8_000
    seed: int = 0

    def __call__(self, network: nn.Module, images: torch.Tensor) -> None:
        """Fills a network of four ``Linear`` layers of as many units as an image has pixels, and four ``PReLU``s.

        Given training images, uint8, (N, 1, H, W); raises ``TrainingError`` where the network has other layers.
        """
        linears = [module for module in network.modules() if isinstance(module, nn.Linear)]
        slopes = [module for module in network.modules() if isinstance(module, nn.PReLU)]
        pixels = images[0].numel()
        if len(slopes) != 4 or [(layer.in_features, layer.out_features) for layer in linears] != [(pixels, pixels)] * 4:
            raise cb.TrainingError(f"a pixelwise start takes four layers of {pixels} units with PReLU")
        levels = level_counts(images)
        share = torch.from_numpy(levels / len(images))
        one, two = (fit_levels(units, share.mean(0), self.starts, self.steps, self.seed) for units in (1, 2))
        none = _scatter(share)
        errors = [none, *((share * (restore(layers) - _LEVELS) ** 2).sum(1) for layers in (one, two))]
        units = allot_units(*errors)
        owners = [[pixel] for pixel in range(pixels)]
        spare = [pixel for pixel in range(pixels) if units[pixel] == 0]
        means = share @ _LEVELS
        with torch.no_grad():
            for linear, slope in zip(linears, slopes, strict=True):
                linear.weight.zero_()
                linear.bias.zero_()
                slope.weight.fill_(1.0)
            for pixel in spare:
                mean = min(max(float(means[pixel]), 1e-7), 1 - 1e-7)
                linears[-1].bias[pixel] = math.log(mean / (1 - mean))
            for pixel in range(pixels):
                if units[pixel] == 2:
                    owners[pixel].append(spare.pop())
                if units[pixel]:
                    _place(linears, slopes, pixel, owners[pixel], one if units[pixel] == 1 else two)


_LEVELS = torch.arange(256, dtype=torch.float64) / 255.0


def level_counts(images: torch.Tensor) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """How often each pixel of uint8 images (N, …) has each of the 256 levels: (pixels, 256)."""
    flat = images.flatten(1).cpu().numpy()
    return np.stack([np.bincount(flat[:, pixel], minlength=256) for pixel in range(flat.shape[1])])


def _scatter(share: torch.Tensor) -> torch.Tensor:
    """Each pixel's variance, from the shares of its levels."""
    mean = share @ _LEVELS
    return (share * (_LEVELS - mean[:, None]) ** 2).sum(1)


def fit_levels(units: int, weights: torch.Tensor, starts: int, steps: int, seed: int) -> Layers:
    """Fits a network of three layers of ``units`` and one output, with a sigmoid behind, to return its input.

    The 256 levels count by their ``weights``, float64, (256,). Returns the four layers of the best of ``starts``
    networks, each fitted by ``steps`` of Adam on a cosine schedule.
    """
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int, scale: float) -> torch.Tensor:
        return torch.randn(starts, *shape, generator=generator, dtype=torch.float64) * scale

    widths = [1, units, units, units, 1]
    layers: Layers = []
    for number in range(4):
        fan, out, last = widths[number], widths[number + 1], number == 3
        slope = torch.full((starts, out), 1.0 if last else 0.25, dtype=torch.float64)
        weight = drawn(fan, out, scale=(4.0 if last else 1.0) / math.sqrt(fan))
        layers.append((weight, drawn(out, scale=1.0 if last else 0.5), slope))
    parameters = [parameter.requires_grad_() for layer in layers for parameter in layer]
    optimizer = torch.optim.Adam(parameters, lr=PEAK)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-5 + PEAK * 0.5 * (1 + math.cos(math.pi * step / steps))
        errors = (weights * (restore(layers) - _LEVELS) ** 2).sum(-1)
        optimizer.zero_grad()
        errors.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        errors = (weights * (restore(layers) - _LEVELS) ** 2).sum(-1)
        best = int(torch.nan_to_num(errors, nan=math.inf).argmin())
    return [(weight[best].detach(), bias[best].detach(), slope[best].detach()) for weight, bias, slope in layers]


PEAK = 3e-2
"""Largest learning rate of that fit."""


def restore(layers: Layers) -> torch.Tensor:
    """What a small network makes of the 256 levels: (…, 256), with the leading axes of its parameters."""
    values = _LEVELS[:, None]
    for weight, bias, slope in layers:
        values = values @ weight + bias[..., None, :]
        values = torch.where(values > 0, values, slope[..., None, :] * values)
    return torch.sigmoid(values[..., 0])


def allot_units(none: torch.Tensor, one: torch.Tensor, two: torch.Tensor) -> list[int]:
    """Deals out as many units as there are pixels: none, one or two a pixel, for the least sum of errors.

    Given each pixel's error without a unit, with one and with two, (pixels,) each. The sum is the least where a pixel's
    first unit saves at least as much as its second, as it does here.
    """
    units = [1] * len(one)
    costs = sorted((float(none[pixel] - one[pixel]), pixel) for pixel in range(len(units)))
    savings = sorted(((float(one[pixel] - two[pixel]), pixel) for pixel in range(len(units))), reverse=True)
    for (cost, loser), (saving, winner) in zip(costs, savings, strict=True):
        if saving <= cost or units[loser] != 1 or units[winner] != 1 or loser == winner:
            break
        units[loser], units[winner] = 0, 2
    return units


def _place(linears: list[nn.Linear], slopes: list[nn.PReLU], pixel: int, units: list[int], layers: Layers) -> None:
    """Writes one pixel's small network into the large one."""
    places = [[pixel], units, units, units, [pixel]]
    for number, (weight, bias, slope) in enumerate(layers):
        for source, row in zip(places[number], weight, strict=True):
            linears[number].weight[places[number + 1], source] = row.float()
        linears[number].bias[places[number + 1]] = bias.float()
        slopes[number].weight[places[number + 1]] = slope.float()
