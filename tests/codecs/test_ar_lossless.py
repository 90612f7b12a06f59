"""The autoregressive codec of digits: what is coded is what was trained."""

from __future__ import annotations

import pytest
import torch
from small_weights import drawn_digits

from codecbench.codecs import ar_lossless
from codecbench.codecs.ar_lossless import ArLossless

pytestmark = pytest.mark.usefixtures("small_networks")


@pytest.fixture
def network() -> ar_lossless.CausalNetwork:
    return ArLossless().shipped_network()


def test_the_model_is_the_one_that_was_trained(network: ar_lossless.CausalNetwork) -> None:
    digits = drawn_digits(12)
    with torch.inference_mode():
        bits = network(torch.from_numpy(digits).permute(0, 3, 1, 2) / 255).numpy()
    assert ArLossless().estimate_bits(digits).mean() == pytest.approx(bits.mean(), rel=0.002)
