"""The start of the nearly lossless autoencoder: small networks, their allotment and where they are put."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from codecbench.codecs import _pixelwise as pixelwise
from codecbench.errors import TrainingError

PIXELS = 6


def network_of(width: int = PIXELS) -> nn.Sequential:
    layers = [(nn.Linear(width, width), nn.PReLU(width)) for _ in range(4)]
    return nn.Sequential(nn.Flatten(), *itertools.chain(*layers), nn.Sigmoid())


def images_of(levels: list[tuple[int, ...]]) -> torch.Tensor:
    """(N, 1, 1, pixels)."""
    return torch.tensor(levels, dtype=torch.uint8)[:, None, None]


def test_the_fit_depends_on_its_seed_alone() -> None:
    weights = torch.full((256,), 1 / 256, dtype=torch.float64)
    found = []
    for caller, seed in ((1, 3), (2, 3), (2, 4)):
        torch.manual_seed(caller)
        layers = pixelwise.fit_levels(1, weights, starts=3, steps=20, seed=seed)
        found.append([part.tolist() for layer in layers for part in layer])
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("seed", range(8))
def test_allotment_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    two, saved, more = rng.exponential(size=(3, PIXELS))
    one, none = two + saved, two + 2 * saved + more
    units = pixelwise.allot_units(*(torch.from_numpy(errors.copy()) for errors in (none, one, two)))
    assert sum(units) == PIXELS

    def error(choice: tuple[int, ...]) -> float:
        return sum((none, one, two)[count][pixel] for pixel, count in enumerate(choice))

    best = min((c for c in itertools.product((0, 1, 2), repeat=PIXELS) if sum(c) == PIXELS), key=error)
    assert error(tuple(units)) == pytest.approx(error(best))


def test_the_network_does_what_its_small_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pixels that never vary give their units to the two that vary most, and a second unit pays."""
    fits, fit = {}, pixelwise.fit_levels

    def noted(units: int, *how: Any) -> Any:
        fits[units] = fit(units, *how)
        return fits[units]

    monkeypatch.setattr(pixelwise, "fit_levels", noted)
    rng = np.random.default_rng(0)
    varied = rng.integers(0, 256, (400, 4))
    varied[50:, 2:] = 0  # mostly black
    images = images_of([(9, *row, 0) for row in varied.tolist()])
    network = network_of()
    pixelwise.PixelwiseStart(starts=12, steps=400)(network, images)
    with torch.no_grad():
        restored = network(images.float() / 255)
    errors = ((restored - images.flatten(1) / 255) ** 2).mean(0)
    assert errors[0] < 1e-8  # a constant
    assert errors[5] < 1e-8
    assert errors.max() < 1e-3
    weights = torch.from_numpy(pixelwise.level_counts(images) / len(images)).mean(0)
    one, two = fits[1], fits[2]
    levels = images.flatten(1).long()
    for pixel, layers in ((1, two), (2, two), (3, one), (4, one)):
        expected = pixelwise.restore(layers)[levels[:, pixel]].float()
        torch.testing.assert_close(restored[:, pixel], expected, atol=1e-5, rtol=0)
    of_one, of_two = (
        float((weights * (pixelwise.restore(layers) - torch.arange(256) / 255) ** 2).sum()) for layers in (one, two)
    )
    assert of_two < of_one < 2e-3  # a line through the sigmoid alone leaves 5e-3


def test_other_networks_are_refused() -> None:
    images = images_of([(0,) * 4])
    for network in (network_of(PIXELS), nn.Sequential(nn.Linear(4, 4), nn.PReLU(4))):
        with pytest.raises(TrainingError, match="four layers of 4 units"):
            pixelwise.PixelwiseStart(starts=2, steps=1)(network, images)
