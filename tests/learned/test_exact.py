"""Layers on a grid are the arithmetic of integers, which no batch, order or thread changes; and levels."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from codecbench.errors import WeightsError
from codecbench.learned.layers.exact import (
    ACTIVATION_BITS,
    LARGEST,
    ROWS,
    WEIGHT_BITS,
    ExactConv2d,
    ExactLinear,
    ExactResidual,
    IntegerNetwork,
    on_grid,
)
from codecbench.learned.layers.levels import LEVELS, STEPS, Levels

UNIT, WEIGHT_UNIT = 2**ACTIVATION_BITS, 2**WEIGHT_BITS
LIMIT = int(LARGEST * UNIT)


@pytest.fixture
def network() -> ExactResidual:
    """Small, with all its weights drawn, some of them large."""
    torch.manual_seed(0)
    network = ExactResidual(9, 12, 2, 5)
    for parameter in network.parameters():
        parameter.data = torch.randn_like(parameter) * 2
    return network.requires_grad_(False)


def by_integers(layer: nn.Module, inputs: torch.Tensor) -> np.ndarray:
    """Outputs for inputs (P, K), in units, by Python's integers, rounded once; ties go to the even one."""
    weight, bias = (
        np.rint(p.detach().double().numpy() * WEIGHT_UNIT).astype(object) for p in (layer.weight, layer.bias)
    )
    known = inputs.numpy().astype(int).astype(object)
    sums = known @ weight.reshape(len(weight), -1).T + bias * UNIT
    down, rest = sums // WEIGHT_UNIT, sums % WEIGHT_UNIT
    rounded = down + ((rest * 2 > WEIGHT_UNIT) | ((rest * 2 == WEIGHT_UNIT) & (down % 2 == 1)))
    return np.clip(rounded, -LIMIT, LIMIT)


# ---- the same numbers everywhere -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_convolution_is_integer_arithmetic(kernel: int) -> None:
    torch.manual_seed(7)
    layer, inputs = ExactConv2d(2, 3, kernel), on_grid(600.0 * torch.randn(1, 2, 3, 4))
    windows = nn.functional.unfold(inputs, kernel, padding=kernel // 2)[0].T * UNIT
    assert (layer.exact(inputs)[0].flatten(1).T * UNIT).tolist() == by_integers(layer, windows).tolist()


# ---- states of a layer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1e6, -1e6, float("nan"), float("inf")])
def test_weights_too_large_for_exact_sums_are_refused(network: ExactResidual, value: float) -> None:
    for layer in (network.first, network.inner[1], ExactConv2d(2, 2, 3)):
        with torch.no_grad():
            layer.weight.view(-1)[1] = value
    inputs = torch.zeros((1, 9), dtype=torch.float64)
    for act in (
        lambda: network.first.exact(inputs),
        lambda: layer.exact(torch.zeros((1, 2, 4, 4), dtype=torch.float64)),
        lambda: IntegerNetwork.of(network),
    ):
        with pytest.raises(WeightsError, match="too large for exact sums; train it anew"):
            act()


def test_the_largest_weights_that_are_taken_sum_exactly() -> None:
    layer = ExactLinear(3, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[80_000.0, 80_000.0, -80_000.0]]))
        layer.bias.fill_(1 / WEIGHT_UNIT)
    inputs = torch.tensor([[LIMIT, -LIMIT + 1, 0]], dtype=torch.float64)
    assert (layer.exact(inputs / UNIT) * UNIT).tolist() == by_integers(layer, inputs).tolist() == [[80_000]]


# ---- levels ----------------------------------------------------------------------------------------------------------


def test_levels_at_and_between_whole_qualities() -> None:
    torch.manual_seed(9)
    found = Levels(5)
    nn.init.normal_(found.values)
    table = found.values.view(LEVELS, 5)
    assert torch.equal(found(torch.arange(1, LEVELS + 1).float()), table)
    units = (on_grid(table.detach()) * UNIT).int().tolist()
    for step in (0, 1, 63, 64, 100, (LEVELS - 1) * STEPS):
        quality = 1 + step / STEPS
        below = min(step // STEPS, LEVELS - 2)
        share = step - below * STEPS
        expected = [
            round(Fraction(low * (STEPS - share) + high * share, STEPS)) / UNIT
            for low, high in zip(units[below], units[below + 1], strict=True)
        ]
        assert found.exact(quality).tolist() == expected
        assert (found.exact(quality) - found(torch.tensor([quality]))[0]).abs().max() <= 1.01 / UNIT


# ---- the network on integers ----------------------------------------------------------------------------------------


def even(count: int, size: int, largest: float = 4.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(size)
    return on_grid((torch.rand(count, size, generator=generator) - 0.5) * 2 * largest)


@pytest.mark.parametrize("count", [0, 1, ROWS, ROWS + 1, 2 * ROWS + 30])
@pytest.mark.parametrize("largest", [4.0, LARGEST])
def test_the_integer_network_is_the_exact_one(network: ExactResidual, count: int, largest: float) -> None:
    """Inputs go in parts of ``ROWS``."""
    fast, inputs, bias = IntegerNetwork.of(network), even(count, 9, largest), even(count, 12)
    for more in ((), (bias,), (bias[0],) if count else ()):
        found = fast(inputs * UNIT, *(part * UNIT for part in more))
        assert torch.equal(found, network.exact(inputs, *more) * UNIT)


def test_the_integer_network_is_integer_arithmetic(network: ExactResidual) -> None:
    def layer(one: nn.Module, inputs: np.ndarray) -> np.ndarray:
        return by_integers(one, torch.from_numpy(inputs.astype(float)))

    inputs = even(20, 9, LARGEST) * UNIT
    hidden = by_integers(network.first, inputs)
    for first, second in zip(network.inner[::2], network.inner[1::2], strict=True):
        change = layer(second, np.maximum(layer(first, np.maximum(hidden, 0)), 0))
        hidden = np.clip(hidden + change, -LIMIT, LIMIT)
    expected = layer(network.last, np.maximum(hidden, 0))
    assert IntegerNetwork.of(network)(inputs).numpy().tolist() == expected.tolist()
