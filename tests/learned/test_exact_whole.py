"""The network on whole numbers, which is the exact one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codecbench.errors import WeightsError
from codecbench.learned.layers.exact import (
    ACTIVATION_BITS,
    LARGEST,
    ROWS,
    WEIGHT_BITS,
    ExactResidual,
    IntegerNetwork,
    on_grid,
)

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
UNIT = 2.0**ACTIVATION_BITS


@pytest.fixture
def network() -> ExactResidual:
    """Small, with all its weights drawn, some of them large."""
    torch.manual_seed(0)
    network = ExactResidual(9, 12, 2, 5)
    for parameter in network.parameters():
        parameter.data = torch.randn_like(parameter) * 2
    return network.requires_grad_(False)


def drawn(count: int, size: int, largest: float = 4.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(size)
    return on_grid((torch.rand(count, size, generator=generator) - 0.5) * 2 * largest)


@pytest.mark.parametrize("largest", [4.0, LARGEST])
def test_it_is_the_exact_network(network: ExactResidual, largest: float) -> None:
    inputs, bias = drawn(50, 9, largest), drawn(50, 12)
    assert torch.equal(IntegerNetwork.of(network)(inputs * UNIT, bias * UNIT) / UNIT, network.exact(inputs, bias))
    assert torch.equal(IntegerNetwork.of(network)(inputs * UNIT, bias[0] * UNIT) / UNIT, network.exact(inputs, bias[0]))
    assert torch.equal(IntegerNetwork.of(network)(inputs * UNIT) / UNIT, network.exact(inputs))


@pytest.mark.parametrize("count", [0, 1, ROWS, ROWS + 1, 2 * ROWS + 30])
def test_inputs_go_in_parts(network: ExactResidual, count: int) -> None:
    fast, inputs, bias = IntegerNetwork.of(network), drawn(count, 9) * UNIT, drawn(count, 12) * UNIT
    assert torch.equal(fast(inputs), network.exact(inputs / UNIT) * UNIT)
    assert torch.equal(fast(inputs, bias), network.exact(inputs / UNIT, bias / UNIT) * UNIT)
    assert torch.equal(fast(inputs, bias[0] if count else None)[:1], fast(inputs[:1], bias[:1]))


def test_it_is_integer_arithmetic(network: ExactResidual) -> None:
    def layer(one: torch.nn.Module, inputs: np.ndarray) -> np.ndarray:
        weight, bias = (np.rint(p.double().numpy() * 2**WEIGHT_BITS).astype(object) for p in (one.weight, one.bias))
        sums, unit = inputs @ weight.T + bias * int(UNIT), 1 << WEIGHT_BITS
        down, rest = sums // unit, sums % unit
        rounded = down + ((rest * 2 > unit) | ((rest * 2 == unit) & (down % 2 == 1)))
        return np.clip(rounded, -limit, limit)

    limit = int(LARGEST * UNIT)
    inputs = (drawn(20, 9, LARGEST) * UNIT).numpy().astype(int).astype(object)
    hidden = layer(network.first, inputs)
    for first, second in zip(network.inner[::2], network.inner[1::2], strict=True):
        change = layer(second, np.maximum(layer(first, np.maximum(hidden, 0)), 0))
        hidden = np.clip(hidden + change, -limit, limit)
    expected = layer(network.last, np.maximum(hidden, 0))
    found = IntegerNetwork.of(network)(torch.from_numpy(inputs.astype(float)))
    assert found.numpy().tolist() == expected.tolist()


def test_batch_threads_and_layout_make_no_difference(network: ExactResidual) -> None:
    fast, inputs, bias = IntegerNetwork.of(network), drawn(300, 9) * UNIT, drawn(1, 12)[0] * UNIT
    together = fast(inputs, bias)
    assert torch.equal(fast(inputs.T.contiguous().T, bias), together)
    assert all(torch.equal(fast(inputs[[row]], bias)[0], together[row]) for row in range(0, 300, 50))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert torch.equal(fast(inputs, bias), together)
    finally:
        torch.set_num_threads(before)


@CUDA
def test_a_gpu_gives_the_same(network: ExactResidual) -> None:
    inputs, bias = drawn(300, 9) * UNIT, drawn(1, 12)[0] * UNIT
    here = IntegerNetwork.of(network)(inputs, bias)
    assert torch.equal(IntegerNetwork.of(network.cuda())(inputs.cuda(), bias.cuda()).cpu(), here)


def test_weights_too_large_for_exact_sums_are_refused(network: ExactResidual) -> None:
    network.inner[1].weight.data *= 1e6  # type: ignore[operator,union-attr]
    with pytest.raises(WeightsError, match="too large for exact sums"):
        IntegerNetwork.of(network)
