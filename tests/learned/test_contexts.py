"""Entropy models: what is coded exactly is what training saw, and the same integers whatever the batch."""

from __future__ import annotations

import pytest
import torch

from codecbench.learned.coding.scales import logistic_tables
from codecbench.learned.coding.symbols import SymbolDecoder, SymbolEncoder
from codecbench.learned.layers.contexts import ContextModel, Layout

LAYOUTS = {
    "checkerboard": Layout(slices=(3, 5), hyper=4, hidden=12, spread=(1.0, 0.2)),
    "slices": Layout(slices=(3, 5, 4), checkerboard=False, hidden=12, kernel=1, spread=(1.0, 0.2)),
    "no hyper-latent": Layout(slices=(6,), hidden=12, kernel=5, spread=(1.0, 0.2)),
}
SIZES = {"checkerboard": (8, 4), "slices": (1, 1), "no hyper-latent": (3, 5)}


def shaken(layout: Layout) -> ContextModel:
    """An untrained model whose means, scales and steps differ from place to place."""
    torch.manual_seed(2)
    model = ContextModel(layout).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter += 0.1 * torch.randn(parameter.shape)
    return model


def latents(name: str, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, LAYOUTS[name].channels, *SIZES[name], generator=generator)


def encoded(model: ContextModel, y: torch.Tensor, quality: float) -> tuple[torch.Tensor, SymbolEncoder]:
    writer = SymbolEncoder(logistic_tables())
    return model.code(writer, (len(y), *y.shape[2:]), quality, y), writer


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_coded_is_what_training_sees(name: str) -> None:
    model, y = shaken(LAYOUTS[name]), latents(name, 60)
    for quality in (1.0, 3.5, 8.0):
        seen, bits = model(y, torch.full((60,), quality))
        known, writer = encoded(model, y, quality)
        # Where rounding falls the other way, all that follows may differ a little; on the whole it is the same.
        step = model.step(torch.tensor([quality])).exp()[0, :, None, None]
        assert ((known - seen).abs() < 0.02 * step + 0.002).double().mean() > 0.95
        assert ((known - y) ** 2).mean() == pytest.approx(((seen - y) ** 2).mean().item(), rel=0.02)
        assert ((known - y).abs() <= step / 2 + 1e-3).double().mean() > 0.999
        assert writer.bits().mean() == pytest.approx(bits.mean().item(), rel=0.02)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_batch_is_read_one_by_one_on_any_number_of_threads(name: str) -> None:
    model, y = shaken(LAYOUTS[name]), latents(name, 100)
    known, writer = encoded(model, y, 5.25)
    assert known.dtype == torch.float64
    assert torch.equal(known * 2.0**10, (known * 2.0**10).round())  # on the grid
    streams = writer.streams()
    for threads, step in ((1, 4), (2, 25)):
        torch.set_num_threads(threads)
        try:
            for number in range(0, 100, step):
                reader = SymbolDecoder(logistic_tables(), streams[number : number + 1], "it")
                alone = model.code(reader, (1, *SIZES[name]), 5.25)
                reader.finish()
                assert torch.equal(alone, known[number : number + 1])
        finally:
            torch.set_num_threads(1)
