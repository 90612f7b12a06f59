"""Counts the symbols of a trained network: tables for its entropy coder, and how far an encoder should trade.

Rounding each latent to its nearest symbol is not the best an encoder can do: it may take the neighbour that costs fewer
bits where the error grows little (rate-distortion optimised quantisation, as video encoders do it; G. Sullivan, T.
Wiegand, Rate-Distortion Optimization for Video Compression, 1998). How much error a bit is worth is tried for each
quality, by the loss that the network was trained for. The symbols that then occur at each scale are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from codecbench.learned.coding.scales import Histograms, ScaleTables, logistic_tables
from codecbench.learned.coding.symbols import SymbolEncoder
from codecbench.learned.layers.levels import LEVELS
from codecbench.learned.layers.ratedistortion import RateDistortionNetwork
from codecbench.learned.tiling import batches

COUNTED_PIXELS, TRIED_PIXELS = 1 << 21, 1 << 18
"""Of the images whose symbols are counted, and of those over which a slope is chosen."""

SLOPES = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2)
"""Squared errors, in steps, that may be worth a bit."""

ROUNDS = 3
"""ScaleTables and slopes depend on one another; both are made in turn."""

_BATCH_PIXELS = 1 << 17


def count_tables(network: RateDistortionNetwork, images: torch.Tensor, weight: Callable[[float], float]) -> ScaleTables:
    """Tables for a network in evaluation mode, from its training images, uint8 (N, C, H, W), on its device.

    ``weight`` gives the λ of a quality: bits per pixel for a unit of squared error on the 0–255 scale.
    """
    pixels = images[0, 0].numel()
    counted, tried = (images[: max(1, most // pixels)] for most in (COUNTED_PIXELS, TRIED_PIXELS))
    chosen = np.full(LEVELS, 3)
    tables = logistic_tables()
    for _ in range(ROUNDS):
        histograms = Histograms()
        for level, slope in enumerate(np.array(SLOPES)[chosen].tolist()):
            losses(network, counted, level + 1.0, tables, [slope], 0.0, histograms)
        tables = histograms.tables(np.array(SLOPES)[chosen])
        for level, number in enumerate(chosen.tolist()):
            low, high = max(0, number - 2), min(len(SLOPES), number + 3)
            found = losses(network, tried, level + 1.0, tables, SLOPES[low:high], weight(level + 1.0))
            chosen[level] = low + int(np.argmin(found))
    return ScaleTables(tables.counts, np.array(SLOPES)[chosen])


@torch.inference_mode()
def losses(
    network: RateDistortionNetwork,
    images: torch.Tensor,
    quality: float,
    tables: ScaleTables,
    slopes: Sequence[float],
    weight: float,
    histograms: Histograms | None = None,
) -> list[float]:
    """The training loss of the bits that are written, at each of some slopes of the encoder: the mean of all images.

    That is bits per pixel plus λ (``weight``) times the squared error on the 0–255 scale, clipped to it; a λ of 0
    leaves the error out. The symbols are added to the histograms.
    """
    totals = np.zeros(len(slopes))
    for part in batches(len(images), _BATCH_PIXELS // images[0, 0].numel()):
        batch = images[part].float() / 255
        qualities = torch.full((len(batch),), quality, device=batch.device)
        latents = network.analyse(batch, qualities)
        for number, slope in enumerate(slopes):
            writer = SymbolEncoder(tables, slope)
            known = network.contexts.code(writer, (len(batch), *latents.shape[2:]), quality, latents)
            totals[number] += writer.bits().sum() / batch[0, 0].numel()
            if histograms is not None:
                writer.count_into(histograms)
            if weight:
                restored = network.synthesise(known.float(), qualities).clamp(0, 1)
                error = (restored - batch).square().flatten(1).mean(1) * 255**2
                totals[number] += weight * float(error.sum())
    return (totals / len(images)).tolist()
