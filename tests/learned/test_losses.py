"""Who gets which gradients in the adversarial game, and distances between features by cases that can be reckoned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from codecbench.learned.training.losses import FeatureNetwork, PatchDiscriminator, adversarial_losses, feature_distance


@pytest.fixture
def discriminator() -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator(3, 5, width=8, narrow=2)


@pytest.fixture
def classifier() -> FeatureNetwork:
    torch.manual_seed(1)
    return FeatureNetwork(7, widths=(4, 8, 8)).eval()


def some(*shape: int, seed: int = 2) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# ---- the game -------------------------------------------------------------------------------------------------------


def test_each_side_has_gradients_of_its_own(discriminator: PatchDiscriminator) -> None:
    images, latents = some(2, 3, 32, 32), some(2, 5, 4, 4)
    restored = some(2, 3, 32, 32, seed=3).requires_grad_()
    fooling, telling = adversarial_losses(discriminator, images, restored, latents)
    parameters = list(discriminator.parameters())
    assert torch.autograd.grad(fooling, restored, retain_graph=True)[0].abs().sum() > 0
    assert torch.autograd.grad(fooling, parameters, retain_graph=True, allow_unused=True) == (None,) * len(parameters)
    assert torch.autograd.grad(telling, restored, retain_graph=True, allow_unused=True) == (None,)
    assert all(grad.abs().sum() > 0 for grad in torch.autograd.grad(telling, parameters))


def test_the_discriminator_learns_and_is_fooled(discriminator: PatchDiscriminator) -> None:
    images, latents = some(2, 3, 16, 16), some(2, 5, 2, 2)
    restored = torch.full_like(images, 0.5).requires_grad_()
    parameters = list(discriminator.parameters())
    for _ in range(30):
        told = adversarial_losses(discriminator, images, restored, latents)[1]
        for parameter, slope in zip(parameters, torch.autograd.grad(told, parameters), strict=True):
            parameter.data -= 3e-3 * slope.sign()
    assert told < 0.3
    before = adversarial_losses(discriminator, images, restored, latents)[0]
    (slope,) = torch.autograd.grad(before, restored)
    better = (restored - 0.1 * slope.sign()).detach()
    assert adversarial_losses(discriminator, images, better, latents)[0] < before


# ---- features -------------------------------------------------------------------------------------------------------


def test_distance_of_features(classifier: FeatureNetwork) -> None:
    images = some(3, 3, 64, 64).requires_grad_()
    assert feature_distance(classifier, images, images.detach()).abs().max() == 0
    moved = [(images + size * some(3, 3, 64, 64, seed=4)).detach().requires_grad_() for size in (0.02, 0.1, 0.5)]
    apart = [feature_distance(classifier, images, other) for other in moved]
    assert apart[0].shape == (3,)
    assert (apart[0] > 0).all()
    assert (apart[0] < apart[1]).all()
    assert (apart[1] < apart[2]).all()
    assert (apart[2] <= 4).all()
    apart[1].sum().backward()
    assert images.grad is None
    assert moved[1].grad is not None


def test_frechet_distance_of_the_documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "docs")
    from perceptual import frechet_distance

    rng = np.random.default_rng(0)
    one = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6))
    other = rng.normal(size=(150, 6)) @ rng.normal(size=(6, 6)) + 0.3
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    expected = np.square(one.mean(0) - other.mean(0)).sum()
    expected += np.trace(first + second - 2 * np.real(sqrtm(first @ second)))
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(other, one) == pytest.approx(expected, rel=1e-9)
    few = one[:4]  # fewer vectors than numbers in each: the covariance is singular
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-6)
