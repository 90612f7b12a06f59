"""The autoregressive codec of digits: what is coded is what was trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_weights import drawn_digits

from codecbench.codecs import ar_lossless
from codecbench.codecs.ar_lossless import SIDE, ArLossless
from codecbench.learned import ExactResidual, Softmax, neighbours, on_grid

pytestmark = pytest.mark.usefixtures("small_networks")


@pytest.fixture
def network() -> ar_lossless.CausalNetwork:
    return ArLossless().shipped_network()


def test_the_model_is_the_one_that_was_trained(network: ar_lossless.CausalNetwork) -> None:
    digits = drawn_digits(12)
    with torch.inference_mode():
        bits = network(torch.from_numpy(digits).permute(0, 3, 1, 2) / 255).numpy()
    assert ArLossless().estimate_bits(digits).mean() == pytest.approx(bits.mean(), rel=0.002)


def test_distributions_come_from_the_exact_network(network: ar_lossless.CausalNetwork) -> None:
    image = torch.from_numpy(drawn_digits(1)[..., 0])
    row, column = (part[len(part) // 2] for part in np.nonzero(image[0].numpy()))
    place = row * SIDE + column
    known = neighbours(image.double()[:, None], ar_lossless.ABOVE, ar_lossless.ASIDE)[:, place, 0]
    assert bool(known.any())
    slow = ExactResidual(ar_lossless.FEATURES * known.shape[1], 16, 1, 256)
    slow.load_state_dict({k: v for k, v in network.state_dict().items() if k.startswith(("first", "inner", "last"))})
    rows, columns = (on_grid(p.detach()).view(SIDE, -1) for p in (network.rows, network.columns))
    logits = slow.exact(ar_lossless.features(known), rows[row] + columns[column])
    expected = Softmax(logits * 2**10).bounds(torch.tensor([77]))
    block = ar_lossless.planes(image)[:, :, row : row + ar_lossless.HIGH, column : column + ar_lossless.WIDE]
    found = ar_lossless.ExactModel(network).distributions(block, int(place)).bounds(torch.tensor([77]))
    assert found == expected
