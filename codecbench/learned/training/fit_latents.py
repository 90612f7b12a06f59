"""Fits the tables of a latent coder to training images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from codecbench.learned.coding.entropy import MAX_TOTAL, Symbols
from codecbench.learned.coding.latents import HIGHEST, LOWEST, Classes, LatentCoder, Latents
from codecbench.learned.tiling import batches

if TYPE_CHECKING:
    from codecbench.learned.autoencoder import Autoencoder

BATCH = 500
EXCESS = 0.015
"""How far quantising the latents may raise the mean squared error, as a fraction of it."""
STATISTICS_IMAGES = 20_000
"""Images whose latents give the transform and the counts."""
ERROR_IMAGES = 2_000
"""Images over which the reconstruction's error is measured."""
PERTURBATIONS = 40_000
"""Reconstructions spent on the decoder's sensitivity."""
SLOPES = (0.0, 0.06, 0.12, 0.2)
"""Trials of the price of a bit, in squared steps; at high rates 0.12 balances rate and error."""
ROUNDS = 6
"""Trials of the step, each by the error that the one before it gave."""
WEIGHT = 16
"""Times that a symbol seen counts for one that was not."""

Matrix = npt.NDArray[np.float64]
Reconstruct = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Latents (B, …) and the numbers of their images (B,) to images (B, C, H, W)."""


@torch.inference_mode()
def fit_tables(network: Autoencoder, images: torch.Tensor, *, excess: float = EXCESS) -> LatentCoder:
    """Fits transform, step and tables to an autoencoder's latents of training images, uint8 (N, C, H, W).

    The network is in evaluation mode; ``excess`` is how far the mean squared error may rise above that of the float
    latents, as a fraction of it. The images that are used are drawn at random, always the same ones.
    """
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(images))[:STATISTICS_IMAGES])
    images = images[order.to(images.device)]
    latents, labels = _encode(network, images)
    restore, classes = _restore(network, labels), labels.int().cpu().numpy()
    return fit_coder(images, latents, restore, excess=excess, classes=classes, most_classes=network.classes)


@torch.inference_mode()
def judge(network: Autoencoder, coder: LatentCoder, images: torch.Tensor) -> dict[str, float]:
    """Measures a coder on images, uint8 (N, C, H, W), that it was not fitted to.

    Returns ``bits`` an image, by the tables, and ``mse_ratio``, the mean squared error over that of float latents.
    """
    latents, labels = _encode(network, images)
    z: Latents = latents.cpu().numpy()
    symbols, classes = coder.quantise(z, labels.int().cpu().numpy())
    error = partial(squared_error, images, latents.shape[1:], _restore(network, labels))
    bits = float(coder.bits(symbols, classes).mean())
    return {"bits": round(bits, 2), "mse_ratio": round(error(coder.dequantise(symbols)) / error(z), 5)}


def _encode(network: Autoencoder, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents of images, and their classes."""
    found = []
    for part in batches(len(images), BATCH):
        x = images[part].float() / 255.0
        latents = network.encoder(x)
        found.append((latents, network.choose(x, latents)))
    return torch.cat([latents for latents, _ in found]), torch.cat([labels for _, labels in found])


def _restore(network: Autoencoder, labels: torch.Tensor) -> Reconstruct:
    return lambda latents, numbers: network.restore(latents, labels[numbers.to(labels.device)])


@torch.inference_mode()
def fit_coder(
    images: torch.Tensor,
    latents: torch.Tensor,
    reconstruct: Reconstruct,
    *,
    excess: float,
    classes: Classes | None = None,
    most_classes: int = 1,
) -> LatentCoder:
    """Fits a coder to latents, float32 (N, C, …), of images, uint8 (N, C, H, W), in random order.

    The decoder's mean Jacobian tells how much an error of the latent costs in the image. In that metric the channels
    are decorrelated. All coefficients then have the same step, the largest that keeps within the excess (a wider one
    only where 256 symbols would not reach), and tables of their own. Of a few prices of a bit the one is kept that
    costs fewest bits at that error. Where there are ``classes``, int32 (N,), each of ``most_classes`` has tables of its
    own.
    """
    z: Latents = latents.flatten(2).cpu().numpy() if latents.ndim > 2 else latents.unsqueeze(2).cpu().numpy()
    given = np.zeros(len(z), np.int32) if classes is None else classes
    shown = slice(0, ERROR_IMAGES)
    error = partial(squared_error, images[shown], latents.shape[1:], reconstruct)
    exact = error(z[shown])
    mean, analysis, synthesis = transform(z, sensitivity(latents, reconstruct))
    # Coefficients that would leave a symbol's range have a wider step of their own: being cut off costs far more.
    reach = np.abs((z.swapaxes(1, 2) - mean) @ analysis).max((0, 1)) / (HIGHEST - 1)
    found: list[tuple[float, LatentCoder]] = []
    step = float(np.sqrt(12 * excess * exact / z[0].size))
    for slope in SLOPES:
        for _ in range(ROUNDS):
            steps = np.maximum(np.float32(step), reach)
            bare = LatentCoder(mean, analysis / steps, synthesis * steps[:, None], *_open(len(mean), most_classes))
            coder = fit_counts(bare, z, slope, given)
            symbols, _ = coder.quantise(z[shown], given[shown])
            rise = error(coder.dequantise(symbols)) / exact - 1
            if abs(rise - excess) < 0.01 * excess:
                break
            # The rise goes with the step's square, nearly.
            step *= float(np.clip(np.sqrt(excess / max(rise, 1e-9)), 0.5, 2.0))
        found.append((float(coder.bits(*coder.quantise(z, given)).mean()), coder))
        if len(found) > 1 and found[-1][0] > found[-2][0]:
            break
    return min(found, key=lambda pair: pair[0])[1]


def squared_error(images: torch.Tensor, shape: Sequence[int], reconstruct: Reconstruct, latents: Latents) -> float:
    """Mean squared error, on the [0, 1] scale, of images (N, C, H, W) restored from N latents of a shape."""
    total = 0.0
    for part in batches(len(images), BATCH):
        chosen = torch.arange(len(images))[part]
        z = torch.from_numpy(latents[chosen.numpy()]).reshape(len(chosen), *shape).to(images.device)
        difference = reconstruct(z, chosen) - images[chosen.to(images.device)].float() / 255.0
        total += float(difference.double().square().sum())
    return total / images.numel()


def sensitivity(latents: torch.Tensor, reconstruct: Reconstruct) -> Matrix:
    """The mean of JᵀJ, J the Jacobian of the decoder by the channels of one place, per sample of an image, (C, C).

    Small errors e of the latent, independent from place to place, raise the mean squared error by eᵀ·JᵀJ·e a place.
    Taken by central differences, in each latent at one place drawn at random.
    """
    z = latents.flatten(2) if latents.ndim > 2 else latents.unsqueeze(2)
    channels, places = z.shape[1:]
    count = min(len(z), max(1, PERTURBATIONS // (2 * channels)))
    spread = z.std((0, 2))
    reach = torch.maximum(0.05 * spread, 1e-3 * spread.max() + 1e-6)
    at = torch.randint(places, (count,), generator=torch.Generator().manual_seed(0))
    total = np.zeros((channels, channels))
    for part in batches(count, BATCH // (2 * channels)):
        numbers = torch.arange(count)[part]
        moved = z[numbers.to(z.device)].repeat(2 * channels, 1, 1, 1)  # (2C, n, C, P)
        signed = torch.cat([torch.diag(reach), -torch.diag(reach)])
        every = torch.arange(len(numbers))
        moved[:, every, :, at[numbers]] += signed
        images = reconstruct(moved.reshape(-1, *latents.shape[1:]), numbers.repeat(2 * channels))
        plus, minus = images.reshape(2, channels, len(numbers), -1)
        jacobian = ((plus - minus) / (2 * reach[:, None, None])).transpose(0, 1)
        total += (jacobian @ jacobian.mT).sum(0).double().cpu().numpy() / jacobian.shape[2]
    return total / count


def transform(latents: Latents, metric: Matrix) -> tuple[Latents, Latents, Latents]:
    """Decorrelates the channels of latents (N, C, P) in a metric (C, C): mean (C,), analysis and synthesis (C, C).

    In the coefficients y = (z − mean)·analysis the metric is the identity and the latents' covariance diagonal, the
    largest first: the Karhunen-Loève transform after a change of coordinates.
    """
    z = latents.swapaxes(1, 2).reshape(-1, latents.shape[1]).astype(np.float64)
    covariance = np.cov(z, rowvar=False).reshape(metric.shape)
    values, vectors = np.linalg.eigh(metric)
    values = np.maximum(values, max(1e-6 * values.max(), 1e-30))  # a decoder may ignore its latent
    root, inverse = (vectors * values**power @ vectors.T for power in (0.5, -0.5))
    rotation = np.linalg.eigh(root @ covariance @ root)[1][:, ::-1]
    return z.mean(0).astype(np.float32), (root @ rotation).astype(np.float32), (rotation.T @ inverse).astype(np.float32)


def _open(channels: int, classes: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The full range of every symbol, with equal counts: low, counts and front of coefficients without tables."""
    counts = np.ones((classes, channels, HIGHEST - LOWEST + 1), np.int64)
    return np.full(channels, LOWEST, np.int64), counts, np.ones(classes, np.int64)


def fit_counts(coder: LatentCoder, latents: Latents, slope: float, classes: Classes) -> LatentCoder:
    """Tables by the symbols of latents (N, C, P); with a price of bits, by the symbols which that chooses in turn."""
    nearest, _ = coder.quantise(latents)
    coder = replace(_counted(coder, nearest, classes), slope=slope)
    for _ in range(2 if slope else 0):
        coder = _counted(coder, coder.quantise(latents, classes)[0], classes)
    return coder


def _counted(coder: LatentCoder, symbols: Symbols, classes: Classes) -> LatentCoder:
    """The coder with tables of the symbols (N, P, C), a little wider than their range, and no count of zero."""
    lowest, highest = (bound.astype(np.int64) for bound in (symbols.min((0, 1)), symbols.max((0, 1))))
    margin = 1 + (highest - lowest) // 4
    low, high = np.maximum(lowest - margin, LOWEST), np.minimum(highest + margin, HIGHEST)
    sizes = high - low + 1
    number, width = len(coder.front), int(sizes.max())
    tables = classes[:, None, None] * len(low) + np.arange(len(low))
    cells = tables * width + symbols - low
    seen = np.bincount(cells.ravel(), minlength=number * len(low) * width).reshape(number, len(low), width)
    weight = min(WEIGHT, (MAX_TOTAL - 2 * width) / seen.sum(2).max())
    smooth = np.stack([[_smooth(row) for row in rows] for rows in seen])
    counts = np.where(np.arange(width) < sizes[:, None], np.floor(weight * smooth).astype(np.int64) + 1, 0)
    front = np.bincount(classes, minlength=number) + 1
    return replace(coder, low=low, counts=counts, front=front)


def _smooth(seen: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float64]:
    """A histogram (S,) under a Gaussian kernel of Silverman's width (1986), which its sample's noise asks for."""
    places, total = np.arange(len(seen)), max(1, int(seen.sum()))
    mean = (seen * places).sum() / total
    spread = np.sqrt((seen * (places - mean) ** 2).sum() / total)
    width = max(0.9 * float(spread) * total**-0.2, 1e-3)
    kernel = np.exp(-0.5 * ((places[:, None] - places) / width) ** 2)
    return seen @ (kernel / kernel.sum(1, keepdims=True))
