"""Latents as integers: exact streams, doubtful streams and tables, and what the fit finds."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from codecbench.errors import BitstreamError, WeightsError
from codecbench.learned.autoencoder import Autoencoder
from codecbench.learned.coding.latents import HIGHEST, LOWEST, LatentCoder
from codecbench.learned.training import fit_latents


def make(classes: int = 1, slope: float = 0.0) -> LatentCoder:
    """Two channels of 3 and 7 symbols, steps of 1/2 and 1/4, the class in front."""
    counts = np.array([[[5, 90, 4, 0, 0, 0, 0], [1, 2, 40, 20, 8, 2, 1]]] * classes, np.int64)
    counts[:, 0, 1] += 10 * np.arange(classes)
    return LatentCoder(
        mean=np.array([0.5, -1.0], np.float32),
        analysis=np.diag(np.array([2.0, 4.0], np.float32)),
        synthesis=np.diag(np.array([0.5, 0.25], np.float32)),
        low=np.array([-1, -2]),
        counts=counts,
        front=np.arange(1, classes + 1),
        slope=slope,
    )


def symbols_of(rng: np.random.Generator, count: int, places: int) -> np.ndarray:
    channels = rng.integers(-1, 2, (count, places)), rng.integers(-2, 5, (count, places))
    return np.stack(channels, axis=2).astype(np.int32)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(0, 9), st.integers(1, 5), st.integers(1, 4))
def test_symbols_come_back(seed: int, count: int, places: int, classes: int) -> None:
    coder, rng = make(classes), np.random.default_rng(seed)
    symbols, of = symbols_of(rng, count, places), rng.integers(0, classes, count).astype(np.int32)
    stream = coder.encode(symbols, of)
    found, classes_found = coder.decode(stream, count, places, "it")
    assert np.array_equal(found, symbols)
    assert np.array_equal(classes_found, of)
    assert coder.bits(symbols, of).sum() - 1 < 8 * len(stream) < coder.bits(symbols, of).sum() + 17
    for end in range(len(stream)):
        with pytest.raises(BitstreamError):
            coder.decode(stream[:end], count, places, "it")
    with pytest.raises(BitstreamError):
        coder.decode(stream + b"\0", count, places, "it")


def test_rounding() -> None:
    coder = make()
    z = np.array([[[0.5, 0.76], [-1.0, -0.6]], [[9.0, -np.inf], [1e30, -1.4]]], np.float32)  # (N, C, P)
    symbols, classes = coder.quantise(z)
    assert symbols.tolist() == [[[0, 0], [1, 2]], [[1, 4], [-1, -2]]]
    assert classes.tolist() == [0, 0]
    assert coder.dequantise(symbols).tolist() == [[[0.5, 1.0], [-1.0, -0.5]], [[1.0, 0.0], [0.0, -1.5]]]


def test_bits_and_their_price_which_prefers_frequent_symbols(monkeypatch: pytest.MonkeyPatch) -> None:
    bits = make(2).bits(np.array([[[0, 0]], [[-1, 4]]], np.int32), np.array([0, 1], np.int32))
    expected = [np.log2(3 / 1 * 99 / 90 * 74 / 40), np.log2(3 / 2 * 109 / 5 * 74 / 1)]
    assert bits == pytest.approx(expected, rel=1e-6)
    z = np.array([[[0.5 + 0.3], [-1.0]]], np.float32)  # 0.6 steps above the mean
    assert make(slope=0.0).quantise(z)[0][0, 0, 0] == 1
    assert make(slope=0.2).quantise(z)[0][0, 0, 0] == 0
    z = np.random.default_rng(0).normal(0, 1, (500, 2, 3)).astype(np.float32)
    coders = [make(slope=slope) for slope in (0.0, 0.1, 0.5)]
    whole = [coder.quantise(z) for coder in coders]
    cost = [coder.bits(*found).mean() for coder, found in zip(coders, whole, strict=True)]
    assert cost[0] > cost[1] > cost[2]
    monkeypatch.setattr("codecbench.learned.coding.latents.CHUNK", 40)
    assert np.array_equal(coders[1].quantise(z)[0], whole[1][0])  # in parts as well


# --- Tables -------------------------------------------------------------------------------------------------


def put(place, value):
    def change(tensor: torch.Tensor) -> torch.Tensor:
        tensor[place] = value
        return tensor

    return change


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("mean", lambda t: t[:1], "not made for 2 channels"),
        ("synthesis", lambda t: t.flatten(), "not made for 2 channels"),
        ("front", lambda t: t[:1], "not made for 2 channels"),
        ("counts", lambda t: t[0], "wrong shapes"),
        ("synthesis", put((0, 1), torch.inf), "not finite"),
        ("slope", put(0, -1.0), "not finite"),
        ("counts", put((1, 1, 3), 0), "lack counts"),
        ("counts", put((0, 0, 5), 1), "lack counts"),
        ("counts", put((0, 1, 0), 1 << 20), "out of range"),
        ("front", put(0, 0), "out of range"),
        ("low", put(0, LOWEST - 1), "symbols outside -128 to 127"),
        ("low", put(1, HIGHEST - 5), "symbols outside -128 to 127"),
    ],
)
def test_damaged_tables(name: str, change, words: str) -> None:
    tables = make(2).tables()
    with pytest.raises(WeightsError, match=rf"it: the tables of the latent .*{words}.*; train it anew"):
        LatentCoder.of({**tables, name: change(tables[name].clone())}, 2, "it")


def test_tables_that_lack_one_or_have_one_more() -> None:
    tables = make().tables()
    for wrong in ({**tables, "more": tables["low"]}, {k: v for k, v in tables.items() if k != "low"}, {}):
        with pytest.raises(WeightsError, match=r"it: tables analysis, counts, .* expected, .* found"):
            LatentCoder.of(wrong, 2, "it")


# --- The fit ------------------------------------------------------------------------------------------------

MIX = np.array([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]])


class Linear(Autoencoder):
    """Twelve pixels, three channels at two places; what the latent cannot hold is the error."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        base = torch.linalg.qr(torch.randn(6, 6, generator=generator))[0][:, :3]
        matrix = torch.from_numpy(MIX).float()
        self.encoder = nn.Conv2d(1, 3, (6, 1), stride=(6, 1))
        self.decoder = nn.ConvTranspose2d(3, 1, (6, 1), stride=(6, 1))
        with torch.no_grad():
            self.encoder.weight.copy_((base @ torch.linalg.inv(matrix)).T[:, None, :, None])
            self.decoder.weight.copy_((base @ matrix.T).T[:, None, :, None])
            self.decoder.bias.fill_(0.5)
            self.encoder.bias.copy_(-0.5 * self.encoder.weight.sum((1, 2, 3)))


@functools.cache
def samples() -> tuple[Linear, torch.Tensor, torch.Tensor]:
    """A network, images (N, 1, 12, 1) and their latents (N, 3, 2, 1)."""
    rng = np.random.default_rng(0)
    network = Linear().eval().requires_grad_(False)
    spread = torch.tensor([0.13, 0.06, 0.03])
    y = torch.from_numpy(rng.normal(0, 1, (3_000, 3, 2, 1)).astype(np.float32)) * spread[:, None, None]
    z = torch.einsum("cd,ndhw->nchw", torch.linalg.inv(torch.from_numpy(MIX).float()).T, y)
    images = network.decoder(z) + torch.from_numpy(rng.normal(0, 0.02, (3_000, 1, 12, 1)).astype(np.float32))
    levels = (images.clamp(0, 1) * 255).round().byte()
    return network, levels, network.encoder(levels.float() / 255)


@functools.cache
def fitted() -> LatentCoder:
    return fit_latents.fit_tables(*samples()[:2], excess=0.1)


def test_fit_keeps_to_the_excess_and_decorrelates() -> None:
    (network, images, z), coder = samples(), fitted()
    symbols, classes = coder.quantise(z.numpy())
    restored = torch.from_numpy(coder.dequantise(symbols)).reshape(z.shape)
    error = [float((network.decoder(part) - images / 255.0).square().mean()) for part in (z, restored)]
    assert error[1] / error[0] - 1 == pytest.approx(0.1, rel=0.1)
    y = np.moveaxis(symbols, 2, 0).reshape(3, -1)
    assert np.abs(np.corrcoef(y) - np.eye(3)).max() < 0.05
    assert (np.diff(y.std(1)) < 0).all()
    assert np.allclose(coder.analysis @ coder.synthesis, np.eye(3), atol=1e-4)
    entropies = 0.0  # bits are those of the symbols' frequencies
    for channel in y:
        shares = np.unique(channel, return_counts=True)[1] / channel.size
        entropies -= 2 * float((shares * np.log2(shares)).sum())
    assert coder.bits(symbols, classes).mean() == pytest.approx(entropies, rel=0.02)


def test_fit_finds_the_sensitivity_of_a_linear_decoder() -> None:
    (network, _, z), coder = samples(), fitted()
    metric = fit_latents.sensitivity(z[:50], lambda z, _: network.decoder(z))
    assert np.allclose(metric, MIX @ MIX.T / 12, rtol=1e-3, atol=1e-4)
    # An error of one step in any coefficient costs the same.
    costs = np.diag(coder.synthesis @ metric @ coder.synthesis.T)
    assert np.allclose(costs, costs[0], rtol=1e-2)


def test_each_class_gets_tables_of_its_own_seen_or_not() -> None:
    network, images, z = samples()
    classes = (z[:, 0, 0, 0] > z[:, 0, 0, 0].median()).numpy().astype(np.int32)
    coder = fit_latents.fit_coder(
        images, z, lambda z, _: network.decoder(z), excess=0.1, classes=classes, most_classes=3
    )
    assert coder.counts.shape[0] == 3
    assert coder.front.tolist() == [1501, 1501, 1]
    symbols, of = coder.quantise(z.numpy(), classes)
    assert coder.bits(symbols, of).mean() < coder.bits(symbols, 1 - of).mean()
    for label in (0, 2):
        stream = coder.encode(symbols[:1], np.array([label], np.int32))
        assert coder.decode(stream, 1, 2, "it")[1].tolist() == [label]


def test_a_channel_that_never_changes_and_a_decoder_that_ignores_its_latent() -> None:
    network, images, z = samples()
    z = z.clone()
    z[:, 2] = 0.25
    for decoder in (network.decoder, lambda z: torch.full_like(images, 0.5, dtype=torch.float32)[: len(z)]):
        coder = fit_latents.fit_coder(images, z, lambda z, _, decode=decoder: decode(z), excess=0.1)
        restored = coder.dequantise(coder.quantise(z.numpy())[0])
        assert np.isfinite(restored).all()
        assert decoder is not network.decoder or np.abs(restored[:, 2] - 0.25).max() < 0.2
        assert np.isfinite(coder.analysis).all()
        assert np.isfinite(coder.synthesis).all()
